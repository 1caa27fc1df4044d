"""Scenes: attributes that can be seen, text that is true, and a test set of its own."""

import itertools

import jax
import numpy as np
import pytest

from repr_jax.data import captions, celeba, characters, mnist, scene_captions, scenes
from repr_jax.data.scene_captions import ATTRIBUTES, PHOTOGRAPHS, TINTS

compose = jax.jit(scenes.compose)


@pytest.fixture(scope="module")
def described():
    return scenes.with_attributes()


@pytest.fixture(scope="module")
def captioned():
    return scenes.with_captions()


def prepared(data, batch):
    return jax.tree.map(np.asarray, jax.jit(data.prepare)(batch))


def column(batch, name):
    return batch["attributes"][:, ATTRIBUTES.index(name)].astype(bool)


def test_a_batch_holds_what_the_module_says(described, captioned):
    words = len(scenes.vocabulary().words)
    for data, text in ((described, (256, 71)), (captioned, (32, words))):
        batch = prepared(data, next(data.train(4)))
        shapes = {"image": (64, 64, 3), "text": text, "attributes": (20,)}
        assert set(batch) == {*shapes, "label"} and data.modalities == ("image", "text")
        for name, shape in shapes.items():
            assert batch[name].shape == (4, *shape) and batch[name].dtype == np.float32
            assert batch[name].min() >= 0 and batch[name].max() <= 1
    three = scenes.with_attributes(modalities=("attributes", "text"))
    assert set(next(three.train(2))) == {"attributes", "text", "label"}


def test_attributes_are_true_of_the_digit_and_of_each_other(described):
    digits, labels = mnist.arrays("train")
    label_of = {image.tobytes(): label for image, label in zip(digits, labels)}
    batch = next(described.evaluate("train", 2000))
    for pair, label in zip(batch["digits"], batch["label"]):
        assert {label_of[digit.tobytes()] for digit in pair} == {label}
        assert pair[0].tobytes() != pair[1].tobytes()
    np.testing.assert_array_equal(column(batch, "Even"), batch["label"] % 2 == 0)
    np.testing.assert_array_equal(
        column(batch, "Greater_Than_Four"), batch["label"] > 4
    )
    for names in (TINTS, PHOTOGRAPHS):
        counts = np.sum([column(batch, name) for name in names], axis=0)
        assert (counts == 1).all()
    assert not (column(batch, "Dark") & column(batch, "Bright")).any()
    share = batch["attributes"].mean(axis=0)
    assert share.min() > 0.15 and share.max() < 0.55


def ink_of(**known):
    """Where the digit is, [64, 64], in a scene that has no attributes but these."""
    flags = {"Red": True, "Chelsea": True, "Dark": True, "Gray": True} | known
    attributes = np.array([flags.get(name, False) for name in ATTRIBUTES])
    digits = np.zeros((2, 28, 28), np.uint8)
    digits[:, 4:24, 12:16] = 255  # a bar of 20 x 4 in the middle
    images = [compose(jax.random.key(i), digits, attributes) for i in range(6)]
    return np.asarray(images)[..., 0] > 0.7  # nothing else is as red


def extent(mask, axis):
    return np.ptp(np.flatnonzero(mask.any(axis=axis))) + 1


def test_attributes_can_be_seen():
    for (top, left), (row, col) in zip(
        itertools.product([True, False], repeat=2),
        itertools.product([20, 44], repeat=2),
    ):
        for mask in ink_of(Top=top, Left=left):
            y, x = np.argwhere(mask).mean(axis=0)
            assert abs(y + 0.5 - row) < 4 and abs(x + 0.5 - col) < 4
    for large, low, high in ((True, 22, 30), (False, 12, 17)):
        assert all(low <= extent(mask, 1) <= high for mask in ink_of(Large=large))
    for mask in ink_of(Two_Digits=True, Large=True, Top=True):
        filled = mask.any(axis=0)
        assert np.count_nonzero(np.diff(filled.astype(int))) == 4  # two bars
    for mask, plain in zip(ink_of(Rotated=True, Large=True), ink_of(Large=True)):
        assert extent(mask, 0) > extent(plain, 0) + 4


def test_light_color_and_blur_are_as_said():
    digits, base = np.zeros((2, 28, 28), np.uint8), {"Blue": True, "China": True}

    def image(**known):
        flags = base | known
        attributes = np.array([flags.get(name, False) for name in ATTRIBUTES])
        return np.asarray(compose(jax.random.key(3), digits, attributes))

    plain = image()
    np.testing.assert_allclose(image(Dark=True), 0.4 * plain, atol=1e-6)
    np.testing.assert_allclose(image(Bright=True), 0.5 + 0.5 * plain, atol=1e-6)
    gray = image(Gray=True)
    assert np.ptp(gray, axis=-1).max() < 1e-6
    np.testing.assert_allclose(gray[..., 0], plain.mean(axis=-1), atol=1e-6)
    steps = [np.abs(np.diff(x, axis=0)).mean() for x in (plain, image(Blurred=True))]
    assert steps[1] < 0.7 * steps[0]
    assert abs(image(Blurred=True).mean() - plain.mean()) < 0.01
    assert np.abs(image(Blurred=True)[0] - plain[:2].mean(axis=0)).mean() < 0.1


def test_an_inverted_digit_stands_out():
    digits = np.full((2, 28, 28), 255, np.uint8)
    for name in PHOTOGRAPHS:
        attributes = np.array([n in ("Inverted", name) for n in ATTRIBUTES])
        blank = np.zeros_like(digits)
        for i in range(4):
            drawn, back = (
                np.asarray(compose(jax.random.key(i), d, attributes))
                for d in (digits, blank)
            )
            changed = np.abs(drawn - back).max(axis=-1)
            assert np.median(changed[changed > 0.02]) > 0.2


def test_text_names_the_attributes(described):
    batch = next(described.evaluate("test", 300))
    for row, code in zip(batch["attributes"], batch["text"]):
        names = [name.replace("_", " ").lower() for name in np.array(ATTRIBUTES)[row]]
        assert characters.decode(code).strip("*") == ", ".join(names)
        assert celeba.sentence(np.array(ATTRIBUTES)[row].tolist()) == ", ".join(names)


def test_captions_are_ten_true_sentences_of_each_scene(captioned):
    assert captioned.num_examples == {"train": 180_000, "test": 20_000}
    vocabulary, words = scenes.vocabulary(), set()
    batch = next(captioned.evaluate("test", 600))
    for scene in range(60):
        rows = slice(10 * scene, 10 * scene + 10)
        assert len({x.tobytes() for x in batch["digits"][rows]}) == 1
        texts = [vocabulary.decode(code) for code in batch["text"][rows]]
        assert len(set(texts)) >= 8
        words |= {word for text in texts for word in text.split()}
        known = dict(zip(ATTRIBUTES, batch["attributes"][10 * scene]))
        digit = scene_captions.DIGITS[batch["label"][10 * scene]]
        for text in texts:
            spoken = text.split()
            assert digit in spoken and len(spoken) <= 30
            for name, phrases in scene_captions.CLAUSES.items():
                if not known[name]:
                    assert not any(f" {phrase} " in f" {text} " for phrase in phrases)
            for name, phrases in scene_captions.COLORS.items():
                assert known[name] or not set(phrases) & set(spoken)
            assert not set(scene_captions.SIZES[not known["Large"]]) & set(spoken)
            for (left, top), phrases in scene_captions.PLACES.items():
                if (left, top) != (known["Left"], known["Top"]):
                    assert not any(phrase in text for phrase in phrases)
    assert captions.SPECIALS[2] not in words and len(words) > 80
    assert captions.UNKNOWN not in batch["text"]


def test_the_longest_sentence_fits():
    def longest(phrases):
        return max(len(phrase.split()) for phrase in phrases)

    said = scene_captions
    light = max(longest(said.CLAUSES[name]) for name in ("Dark", "Bright"))
    place = max(map(longest, said.PLACES.values()))
    photograph = max(longest(said.CLAUSES[name]) for name in PHOTOGRAPHS)
    rest = ("Two_Digits", "Rotated", "Blurred", "Gray")
    others = sum(longest(said.CLAUSES[name]) for name in rest)
    noun = longest(said.OPENERS) + longest(said.NUMBERS) + 2  # size and color
    assert noun + light + place + photograph + others <= 30 < scenes.NUM_WORDS - 1


def test_tested_pairs_of_digit_and_photograph_are_not_in_training(captioned):
    pairs = {}
    for split in ("train", "test"):
        pairs[split] = set()
        for batch in captioned.evaluate(split, 20_000):
            which = np.argmax([column(batch, name) for name in PHOTOGRAPHS], axis=0)
            pairs[split] |= set(zip(batch["label"].tolist(), which.tolist()))
            break
    assert not pairs["train"] & pairs["test"]
    assert pairs["test"] == {(d, d % 5) for d in range(10)}
    assert len(pairs["train"]) == 40


def test_padding_is_encoded_as_nothing(captioned):
    batch = next(captioned.train(50))
    code = prepared(captioned, batch)["text"]
    counts = code.sum(axis=-1)
    np.testing.assert_array_equal(counts, batch["text"] != captions.PAD)
    ends = (batch["text"] == captions.EOS).argmax(axis=1)
    np.testing.assert_array_equal(counts.sum(axis=1), ends + 1)


def test_a_scene_is_the_same_at_each_access_and_for_every_seed(described):
    again = scenes.with_attributes(seed=9)
    for split in ("train", "test"):
        first, second = (
            prepared(d, next(d.evaluate(split, 6))) for d in (described, again)
        )
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])
    other = scenes.with_attributes(scene_seed=1)
    assert (
        prepared(other, next(other.evaluate("test", 6)))["image"] != first["image"]
    ).any()


@pytest.mark.parametrize("make", [scenes.with_attributes, scenes.with_captions])
def test_wrong_arguments_are_refused(make):
    with pytest.raises(ValueError, match="among image, text, attributes; got 'sound'"):
        make(modalities=("image", "sound"))
    with pytest.raises(ValueError, match="seed >= 0; got -1"):
        make(scene_seed=-1)
