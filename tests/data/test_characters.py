"""The published alphabet, and text as numbers and as one-hot codes."""

import jax
import numpy as np
import pytest

from repr_jax.data import characters


def test_the_alphabet_is_the_published_one():
    """By hand from the file alphabet.json: 71 entries, of which the hyphen is two."""
    assert characters.SIZE == 71 and len(set(characters.ALPHABET)) == 70
    for place, character in (
        (0, "a"),
        (25, "z"),
        (26, "0"),
        (35, "9"),
        (36, "-"),
        (44, '"'),
        (45, "\\"),
        (58, "+"),
        (59, "-"),
        (68, "}"),
        (69, " "),
        (70, "\n"),
    ):
        assert characters.ALPHABET[place] == character
    assert characters.NUMBERS["-"] == 36


def test_text_goes_there_and_back():
    texts = ["a z-9", "no, nothing!"]
    codes = characters.encode(texts, 12)
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes[0], [0, 69, 25, 36, 35] + [69] * 7)
    assert [characters.decode(row) for row in codes] == ["a z-9       ", texts[1]]
    stars = characters.encode(["ab"], 4, fill="*")
    assert characters.decode(stars[0]) == "ab**"


def test_an_unknown_character_has_a_code_of_zeros():
    codes = characters.encode(["Éa"], 3)
    code = np.asarray(jax.jit(characters.one_hot)(codes))
    assert code.shape == (1, 3, 71) and code.dtype == np.float32
    np.testing.assert_array_equal(code.sum(axis=-1), [[0, 1, 1]])
    np.testing.assert_array_equal(code[0, 1:].argmax(axis=-1), [0, 69])
    assert characters.decode(codes[0]) == "?a "


def test_text_that_is_too_long_is_named():
    with pytest.raises(ValueError, match="at most 3 characters; got 4 in 'four'"):
        characters.encode(["one", "four"], 3)


def test_texts_are_the_likeliest_letters():
    codes = characters.encode(["  a ?", "**b,c**"], 8)
    soft = 0.6 * np.asarray(characters.one_hot(codes)) + 0.4 / characters.SIZE
    assert characters.texts(soft) == ["a ?", "b,c"]
