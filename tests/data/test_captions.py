"""Sentences, names of colors, and words by number."""

import colorsys
import functools

import numpy as np
import pytest

from repr_jax.data import captions, shapes3d


def test_palettes_have_the_published_sizes():
    palettes = captions.palettes()
    assert [len(table) for table in palettes.rgb] == [10, 148, 949]
    assert len(set(palettes.names)) == 1107
    assert list(palettes.names) == sorted(palettes.names)


def test_colors_get_the_name_of_the_nearest():
    rng = np.random.default_rng(0)
    hue, palette = rng.random(40), rng.integers(3, size=40)
    found = captions.color_index(hue, palette)
    palettes = captions.palettes()
    for h, p, index in zip(hue, palette, found):
        rgb = colorsys.hsv_to_rgb(h, 1, 1)
        table = palettes.rgb[p]
        distances = [sum((a - b) ** 2 for a, b in zip(c, rgb)) for c in table]
        nearest = palettes.index[p][int(np.argmin(distances))]
        assert palettes.names[index] == palettes.names[nearest]


def test_names_by_hand():
    red, green, blue = 0.0, 1 / 3, 2 / 3
    found = captions.color_index(np.array([red, green, blue]), np.array([1, 1, 1]))
    names = [captions.palettes().names[i] for i in found]
    assert names == ["red", "lime", "blue"]
    assert captions.spoken("xkcd:fire engine red") == "fire engine red"
    assert captions.spoken("tab:red") == captions.spoken("red") == "red"


def test_a_hundred_names_can_be_reached():
    """8 + 22 + 70 names, of at most three words."""
    reachable = captions.reachable()
    assert len(reachable) == len(set(reachable)) == 100
    palettes = captions.palettes()
    counts = [len(set(index) & set(reachable)) for index in palettes.index]
    assert counts == [8, 22, 70]
    spoken = [captions.spoken(palettes.names[i]) for i in reachable]
    assert max(len(name.split()) for name in spoken) == 3
    hue = np.random.default_rng(1).random(3000)
    drawn = captions.color_index(hue, np.arange(3000) % 3)
    assert set(drawn.tolist()) <= set(reachable)


def test_patterns_say_everything_in_their_order():
    orders = ("scp", "csp", "pcs", "psc", "pcs")  # shape, color, place
    red = captions.palettes().names.index("xkcd:blood orange")
    for pattern, order in enumerate(orders):
        text = captions.sentence(pattern=pattern, shape=4, row=2, column=0, color=red)
        at = {"s": "armadillo", "c": '"blood orange"', "p": "bottom-left"}
        places = {letter: text.index(words) for letter, words in at.items()}
        assert "".join(sorted(places, key=places.get)) == order
        assert ("picture" in text) == (pattern == 3) and ("image" in text) != (
            pattern == 3
        )
    assert len(captions.PATTERNS) == 5


def test_words_are_split_as_published():
    text = 'At the top-left: a "blue/purple" hare, here.'
    words = 'At|the|top-left|:|a|"|blue/purple|"|hare|,|here|.'
    assert captions.split(text) == words.split("|")


def test_vocabulary_goes_by_first_appearance():
    vocabulary = captions.vocabulary(["b a b.", "c a"])
    assert vocabulary.words == ("<pad>", "<eos>", "<unk>", "b", "a", ".", "c")
    tokens = vocabulary.encode(["a b", "c dragon ."], 5)
    np.testing.assert_array_equal(tokens, [[4, 3, 1, 0, 0], [6, 2, 5, 1, 0]])
    assert tokens.dtype == np.int32
    assert vocabulary.decode(tokens[1]) == "c <unk> ."
    with pytest.raises(ValueError, match="at most 2 words; got 3 in 'a b c'"):
        vocabulary.encode(["a b c"], 3)


def test_vocabulary_survives_json():
    vocabulary, _ = captions.own()
    assert captions.vocabulary_from_json(vocabulary.to_json()) == vocabulary
    for text in ("[]", "{}", '{"w2i": {"a": "b"}}', "words"):
        with pytest.raises(ValueError, match="it: expected JSON with w2i"):
            captions.vocabulary_from_json(text, "it")
    with pytest.raises(ValueError, match="from 0 without gaps"):
        captions.vocabulary_from_json('{"w2i": {"a": 0, "b": 2}}')


def test_own_sentences_fit_the_published_network():
    vocabulary, length = captions.own()
    assert 24 <= length <= 31
    assert len(vocabulary.words) == 114
    rng = np.random.default_rng(2)
    longest = 0
    for _ in range(500):
        text = captions.sentence(
            pattern=rng.integers(5),
            shape=rng.integers(7),
            row=rng.integers(3),
            column=rng.integers(3),
            color=rng.choice(captions.reachable()),
        )
        (tokens,) = vocabulary.encode([text], length)
        assert captions.UNKNOWN not in tokens
        assert vocabulary.decode(tokens).split() == captions.split(text)
        longest = max(longest, len(captions.split(text)))
    assert longest == length - 1
    assert set(shapes3d.NAMES) <= set(vocabulary.words)


def test_sentences_end_where_zeros_or_the_end_are_likeliest():
    words = captions.vocabulary(["here is a cat"])
    tokens = words.encode(["a cat", "here is"], 6)
    codes = np.array(captions.one_hot_words(tokens, len(words.words)))
    read = functools.partial(captions.sentences, vocabulary=words.words)
    assert read(codes) == ["a cat", "here is"]
    codes[:, 2] = 0  # no end
    assert read(codes) == ["a cat", "here is"]
    codes[0, 2, 5] = 0.1
    assert read(codes)[0] == "a cat a"
