"""Sentences about one object in a picture: patterns, names of colors, vocabulary.

A sentence says the object's shape, its place on a grid of three by three, and the name
of its color, in one of five patterns. The patterns are ours; in what order they say
things, and how colors are named, is as in Multimodal3DIdent.

Source: Daunhawer et al., "Identifiability Results for Multimodal Contrastive Learning",
2023, https://arxiv.org/abs/2303.09166, and its code.
"""

import functools
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.data import shapes3d

ROWS = ("top", "mid", "bottom")
COLUMNS = ("left", "center", "right")
PATTERNS = (
    'This {shape} has the color "{color}" and floats at the {place} of the image.',
    'The color "{color}" covers the {shape} that floats at the {place} of the image.',
    'Look at the {place} of the image: there floats, in "{color}", the {shape}.',
    'At the {place} of the picture floats the {shape}, its color is called "{color}".',
    'The {place} of the image holds one object: its color is "{color}", and its form '
    "is that of the {shape}.",
)
SPECIALS = ("<pad>", "<eos>", "<unk>")
PAD, EOS, UNKNOWN = range(3)
TOKEN = re.compile(r'[^\s"“”:,.;!?()]+|["“”:,.;!?()]')


class Palettes(NamedTuple):
    """Three tables of named colors."""

    rgb: tuple[np.ndarray, ...]  # [names of the palette, 3] float64 in [0, 1]
    index: tuple[np.ndarray, ...]  # [names of the palette] int, rank in `names`
    names: tuple[str, ...]  # of all palettes, sorted


@functools.cache
def palettes() -> Palettes:
    """Matplotlib's Tableau (10 names), CSS4 (148) and XKCD colors (949).

    Names are Matplotlib's, "tab:blue", "blue" and "xkcd:blue", so that all 1,107
    differ.
    """
    from matplotlib import colors

    tables = (colors.TABLEAU_COLORS, colors.CSS4_COLORS, colors.XKCD_COLORS)
    names = tuple(sorted(itertools.chain(*tables)))
    rank = {name: i for i, name in enumerate(names)}
    return Palettes(
        tuple(np.array([colors.to_rgb(c) for c in t.values()]) for t in tables),
        tuple(np.array([rank[name] for name in t]) for t in tables),
        names,
    )


def color_index(hue: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """[batch] int32: the name of HSV(hue, 1, 1) in one of the palettes.

    It is the palette's nearest color in RGB, the first one of equals.

    Args:
      hue: [batch] in [0, 1].
      palette: [batch] int, 0, 1, 2 for Tableau, CSS4, XKCD.
    """
    rgb = saturated(hue)
    found = np.zeros(len(rgb), np.int32)
    for number, (table, index) in enumerate(zip(*palettes()[:2])):
        mine = palette == number
        distance = np.sum(table**2, axis=1) - 2 * rgb[mine] @ table.T
        found[mine] = index[np.argmin(np.round(distance, 12), axis=1)]
    return found


def saturated(hue: np.ndarray) -> np.ndarray:
    """[batch] hues in [0, 1] -> [batch, 3] rgb of full saturation and value."""
    around = 6 * np.asarray(hue, np.float64)[:, None] - np.array([3.0, 2.0, 4.0])
    return np.clip(np.abs(around) * np.array([1, -1, -1]) + [-1, 2, 2], 0, 1)


@functools.cache
def reachable() -> tuple[int, ...]:
    """Ranks of the 100 names that some hue gets, in the order of palettes and hues."""
    hues = np.linspace(0, 1, 20_001)
    found = [color_index(hues, np.full(len(hues), p)) for p in range(3)]
    return tuple(dict.fromkeys(np.concatenate(found).tolist()))


def spoken(name: str) -> str:
    """ "xkcd:light blue" -> "light blue": a name as a sentence says it."""
    return name.split(":")[-1]


def place(row: int, column: int) -> str:
    """ "top-left" of (0, 0)."""
    return f"{ROWS[row]}-{COLUMNS[column]}"


def sentence(*, pattern: int, shape: int, row: int, column: int, color: int) -> str:
    """The sentence of one picture; color is the rank of its name in all palettes."""
    return PATTERNS[pattern].format(
        shape=shapes3d.NAMES[shape],
        place=place(row, column),
        color=spoken(palettes().names[color]),
    )


def split(text: str) -> list[str]:
    """Words and marks; a word keeps its hyphens, slashes and apostrophes."""
    return TOKEN.findall(text)


class Vocabulary(NamedTuple):
    """Words by their number; the first three are padding, end and unknown word."""

    words: tuple[str, ...]

    def encode(self, texts: Sequence[str], length: int) -> np.ndarray:
        """[text, length] int32: each text's words, the end, and padding.

        Raises:
          ValueError: a text has more than length - 1 words.
        """
        number = _numbers(self.words)
        tokens = np.full((len(texts), length), PAD, np.int32)
        for row, text in zip(tokens, texts):
            words = split(text)
            if len(words) >= length:
                raise ValueError(
                    f"Vocabulary.encode: expected at most {length - 1} words; got "
                    f"{len(words)} in {text!r}."
                )
            row[: len(words)] = [number.get(word, UNKNOWN) for word in words]
            row[len(words)] = EOS
        return tokens

    def decode(self, tokens: Iterable[int]) -> str:
        """The words up to the end, a space between them."""
        tokens = itertools.takewhile(lambda token: token not in (PAD, EOS), tokens)
        return " ".join(self.words[token] for token in tokens)

    def to_json(self) -> str:
        """As the published code keeps it: {"w2i": word to number, "i2w": inverse}."""
        numbers = dict(enumerate(self.words))
        w2i = {word: number for number, word in numbers.items()}
        return json.dumps({"w2i": w2i, "i2w": numbers}, ensure_ascii=False)


@functools.lru_cache(maxsize=8)
def _numbers(words: tuple[str, ...]) -> dict[str, int]:
    return {word: number for number, word in enumerate(words)}


def one_hot_words(tokens: Array, num_words: int, *, padding: int = PAD) -> Array:
    """[..., length] -> [..., length, num_words] float32; that of padding is zeros.

    So that `likelihood.categorical` counts the words and the end, and nothing after.
    """
    code = jax.nn.one_hot(tokens, num_words, dtype=jnp.float32)
    return jnp.where((tokens == padding)[..., None], 0.0, code)


def sentences(
    words: np.ndarray, *, vocabulary: Sequence[str], end: int = EOS
) -> list[str]:
    """[text, length, words], one-hot or probabilities -> the likeliest words of each.

    vocabulary: the words. end: the number of what ends a text; so do zeros.
    """
    tokens = np.where(np.any(words > 0, axis=-1), np.argmax(words, axis=-1), end)
    return [
        " ".join(vocabulary[i] for i in itertools.takewhile(lambda i: i != end, row))
        for row in tokens
    ]


def vocabulary(texts: Iterable[str]) -> Vocabulary:
    """The specials, then all words in the order of their first appearance."""
    words = itertools.chain.from_iterable(map(split, texts))
    return Vocabulary(tuple(dict.fromkeys(itertools.chain(SPECIALS, words))))


def vocabulary_from_json(text: str, who: str = "captions") -> Vocabulary:
    """The inverse of `Vocabulary.to_json`.

    Raises:
      ValueError: not of this form, or the numbers are not 0, 1, 2, ...
    """
    try:
        numbers = {int(i): word for word, i in json.loads(text)["w2i"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {str(error)[:100]}"
        raise ValueError(f"{who}: expected JSON with w2i; got {reason}.") from None
    if sorted(numbers) != list(range(len(numbers))):
        raise ValueError(f"{who}: expected words numbered from 0 without gaps.")
    return Vocabulary(tuple(numbers[i] for i in range(len(numbers))))


@functools.cache
def own() -> tuple[Vocabulary, int]:
    """The vocabulary of all our sentences, and the length of the longest + 1."""
    every = [
        sentence(pattern=pattern, shape=shape, row=row, column=column, color=color)
        for pattern in range(len(PATTERNS))
        for shape, row, column in itertools.product(range(7), range(3), range(3))
        for color in (reachable() if shape == row == column == 0 else reachable()[:1])
    ]
    longest = max(len(split(text)) for text in every)
    return vocabulary(every), longest + 1
