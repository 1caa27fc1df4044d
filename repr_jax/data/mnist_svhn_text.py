"""MNIST-SVHN-Text: a handwritten digit, a house number and its English word.

A batch after `prepare` has
  mnist: float32 [batch, 28, 28, 1] in [0, 1];
  svhn: float32 [batch, 32, 32, 3] in [0, 1];
  text: float32 [batch, 8, 71], the word in eight characters, one-hot, see `characters`;
  label: int32 [batch], 0 to 9;
  where: bool [batch], in evaluation.
MNIST-SVHN is the first two: modalities=("mnist", "svhn").

Pairs are made as published: of each class the first images of both sets, as many as the
smaller one has, 10,000 at most; they are matched by an independent random permutation
of either side, `num_matches` times. With the full sets and 20 matches that is 1,121,360
training pairs, and 10,000 test pairs a match. The pairs of one match come in
random order. In the stand-in for SVHN, about one pair of a class and match shows the
same handwriting twice.

The word starts at 0 to 7 - length, so that the last start that would fit never occurs,
as published. Where it starts is drawn anew whenever a row is seen in training, and
is fixed in evaluation; the published code draws it anew there too.

Source: Shi et al., "Variational Mixture-of-Experts Autoencoders", 2019,
https://arxiv.org/abs/1911.03393; with text, Sutter, Daunhawer and Vogt, "Multimodal
Generative Learning Utilizing Jensen-Shannon-Divergence", 2020,
https://arxiv.org/abs/2006.08242, and their code.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax.data import characters, mnist, street_digits, tfds_images
from repr_jax.data.dataset import (
    SPLITS,
    Dataset,
    batch_indices,
    check_modalities,
    check_seed,
    of_draws,
    this_process,
)
from repr_jax.ops import checks

MODALITIES = ("mnist", "svhn", "text")
HOUSE_NUMBERS = ("drawn", "tfds")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LENGTH = 8  # characters
LARGEST_CLASS = 10_000
STREAMS = {"train": 1, "test": 2}


def load(
    *,
    modalities: Sequence[str] = MODALITIES,
    source: str = "embedded",
    svhn: str = "drawn",
    data_dir: str | None = None,
    num_matches: int = 20,
    num_test_matches: int = 1,
    pair_seed: int = 0,
    seed: int = 0,
) -> Dataset:
    """The set of the module; its parts may be left out.

    Args:
      modalities: which of mnist, svhn, text a batch has, in this order.
      source: of the handwritten digits, see `mnist.arrays`.
      svhn: "drawn", a stand-in made of the digits of `source`, see `street_digits`, or
        "tfds", SVHN itself, `svhn_cropped` of tensorflow-datasets.
      data_dir: where tfds looks, see `tfds_images.arrays`.
      num_matches, num_test_matches: how often an image takes part; published 20 for
        both, 30 without text.
      pair_seed: of pairs, of words in evaluation and of drawn house numbers; apart from
        `seed`, so that runs of several seeds see the same pairs.
      seed: of the order of training and its words.

    Raises:
      ValueError, TypeError: an unknown modality or source, one twice; numbers below 1.
      FileNotFoundError, ImportError: see `tfds_images.arrays`.
    """
    who = "mnist_svhn_text.load"
    modalities = check_modalities(who, modalities, MODALITIES)
    checks.one_of(who, HOUSE_NUMBERS, svhn=svhn)
    checks.count(who, num_matches=num_matches, num_test_matches=num_test_matches)
    check_seed(who, pair_seed)
    check_seed(who, seed)
    of_split = functools.partial(_split, source, svhn, data_dir, pair_seed)
    splits = dict(zip(SPLITS, map(of_split, SPLITS, (num_matches, num_test_matches))))

    def train_rows(step: int, batch_size: int) -> np.ndarray:
        rows = batch_indices(seed, step, len(splits["train"].pairs), batch_size)
        return this_process(rows)

    def draw(step: int, batch_size: int) -> dict:
        start = np.random.default_rng((seed, step, 1)).random(batch_size)
        rows = train_rows(step, batch_size)
        return _batch(splits["train"], modalities, rows, this_process(start))

    def take(split: str, rows: np.ndarray) -> dict:
        found = splits[split]
        return _batch(found, modalities, rows, found.starts[rows])

    return of_draws(
        who,
        draw,
        take,
        {split: len(found.pairs) for split, found in splits.items()},
        prepare=functools.partial(_prepare, pair_seed=int(pair_seed)),
        modalities=modalities,
        train_rows=train_rows,
    )


class _Split(NamedTuple):
    """What the batches of a split are made of."""

    digits: tuple[np.ndarray, np.ndarray]  # images and labels
    houses: tuple[np.ndarray, np.ndarray]  # the same; digits, if numbers are drawn
    pairs: np.ndarray  # [pairs, 2] rows of digits and of houses
    starts: np.ndarray  # [pairs] in [0, 1), of words in evaluation
    neighbors: np.ndarray | None  # [houses, 3] rows of digits, if numbers are drawn
    first_number: int  # of the keys of drawn numbers


def _split(source, svhn, data_dir, pair_seed, split: str, num_matches: int) -> _Split:
    digits = mnist.arrays(split, source=source, data_dir=data_dir)
    houses, neighbors = digits, None
    if svhn == "tfds":
        houses = tfds_images.arrays("svhn_cropped", split, data_dir=data_dir)
    else:
        neighbors = _neighbors(pair_seed, split, len(houses[1]))
    rng = np.random.default_rng((pair_seed, STREAMS[split]))
    pairs = match(rng, digits[1], houses[1], num_matches=num_matches)
    starts = np.random.default_rng((pair_seed, STREAMS[split], 1)).random(len(pairs))
    first = 2**31 if split == "test" else 0
    return _Split(digits, houses, pairs, starts, neighbors, first)


def _batch(split: _Split, modalities, rows: np.ndarray, start: np.ndarray) -> dict:
    """Of rows of pairs; start: [batch] in [0, 1), see `words`."""
    first, second = split.pairs[rows].T
    images, labels = split.digits
    batch = {"label": labels[first]}
    if "mnist" in modalities:
        batch["mnist"] = images[first][..., None]
    if "text" in modalities:
        batch["text"] = words(labels[first], start)
    if "svhn" in modalities and split.neighbors is None:
        batch["svhn"] = split.houses[0][second]
    elif "svhn" in modalities:
        batch["svhn"] = split.houses[0][split.neighbors[second]]
        batch["house"] = (second + split.first_number).astype(np.uint32)
    return batch


def match(
    rng: np.random.Generator, a: np.ndarray, b: np.ndarray, *, num_matches: int
) -> np.ndarray:
    """[pairs, 2] rows of a and of b, of one class each; see the module.

    a, b: [rows] int labels, of the two sets.
    """
    matches = []
    for _ in range(num_matches):
        parts = []
        for label in np.intersect1d(a, b):
            of_class = [np.flatnonzero(x == label) for x in (a, b)]
            count = min(*map(len, of_class), LARGEST_CLASS)
            parts.append([rng.permutation(rows[:count]) for rows in of_class])
        matches.append(rng.permutation(np.concatenate(parts, axis=1).T))
    return np.concatenate(matches)


def words(labels: np.ndarray, start: np.ndarray) -> np.ndarray:
    """[batch, 8] uint8, numbers of characters: the word of each label, blanks around.

    labels: [batch] in 0..9. start: [batch] in [0, 1), from the first place of the word
    to the last but one.
    """
    table = _words()
    lengths = np.array([len(word) for word in WORDS])[labels]
    return table[labels, (start * (LENGTH - lengths)).astype(np.int64)]


@functools.cache
def _words() -> np.ndarray:
    """[10, 8, 8] uint8: each word from each start; blank where it would not fit."""
    table = np.empty((len(WORDS), LENGTH, LENGTH), np.uint8)
    for label, word in enumerate(WORDS):
        texts = [" " * start + word for start in range(LENGTH - len(word) + 1)]
        texts += [""] * (LENGTH - len(texts))
        table[label] = characters.encode(texts, LENGTH)
    return table


def _neighbors(pair_seed: int, split: str, count: int) -> np.ndarray:
    """[count, 3] rows of digits: the one in the middle, and any two beside it."""
    rng = np.random.default_rng((pair_seed, STREAMS[split], 2))
    beside = rng.integers(count, size=(count, 2))
    return np.concatenate([np.arange(count)[:, None], beside], axis=1)


def _prepare(batch: Mapping, *, pair_seed: int) -> dict:
    """Images in [0, 1], one-hot text; a house number is drawn by its own row's key."""
    rest = dict(batch)
    if "mnist" in rest:
        rest["mnist"] = rest["mnist"].astype(np.float32) / 255
    if "house" in rest:
        key = jax.random.key(pair_seed)
        fold = functools.partial(jax.random.fold_in, key)
        keys = jax.vmap(fold)(jnp.asarray(rest.pop("house")))
        rest["svhn"] = jax.vmap(street_digits.compose)(keys, rest["svhn"])
    elif "svhn" in rest:
        rest["svhn"] = rest["svhn"].astype(np.float32) / 255
    if "text" in rest:
        rest["text"] = characters.one_hot(rest["text"])
    return rest
