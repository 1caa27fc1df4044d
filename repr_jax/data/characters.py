"""Text as characters of the published alphabet: 71 entries, on the host as numbers.

Entries 0 to 25 are the small letters, 26 to 35 digits, 36 to 68 marks, 69 is the space
and 70 the end of a line. The hyphen is there twice, as 36 and 59, and is encoded as the
first. A character that is not in the alphabet has a number outside of it, and a one-hot
code of zeros.

Source: the code of Sutter, Daunhawer and Vogt, 2021, alphabet.json,
https://github.com/thomassutter/MoPoE.
"""

from collections.abc import Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

LETTERS, DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"
MARKS = "-,;.!?:'\"\\/|_@#$%^&*~`+-=<>()[]{}"
ALPHABET = f"{LETTERS}{DIGITS}{MARKS} \n"
SIZE = len(ALPHABET)
UNKNOWN = 255  # of a character that is not in the alphabet
NUMBERS = {character: ALPHABET.index(character) for character in ALPHABET}


def encode(texts: Sequence[str], length: int, *, fill: str = " ") -> np.ndarray:
    """[text, length] uint8: numbers of characters, filled up at the end.

    Raises:
      ValueError: a text of more than `length` characters.
    """
    codes = np.full((len(texts), length), NUMBERS[fill], np.uint8)
    for row, text in zip(codes, texts):
        if len(text) > length:
            raise ValueError(
                f"characters.encode: expected at most {length} characters; got "
                f"{len(text)} in {text!r}."
            )
        row[: len(text)] = [NUMBERS.get(character, UNKNOWN) for character in text]
    return codes


def decode(codes: Iterable[int]) -> str:
    """The text of one row of numbers; an unknown character is a question mark."""
    return "".join(ALPHABET[i] if i < SIZE else "?" for i in codes)


def texts(letters: np.ndarray) -> list[str]:
    """[text, length, 71], one-hot or probabilities -> the likeliest letters of each.

    Blanks and stars around a text are left out.
    """
    return [decode(row).strip(" *") for row in np.argmax(letters, axis=-1)]


def one_hot(codes: Array) -> Array:
    """[..., length] -> [..., length, 71] float32; the code of an unknown one is 0."""
    return jax.nn.one_hot(codes, SIZE, dtype=jnp.float32)


def unit_text(batch: Mapping, *, names: Sequence[str] = ("text",)) -> dict:
    """The batch with numbers of characters as one-hot codes: a `prepare` of text."""
    return {**batch, **{name: one_hot(batch[name]) for name in names}}
