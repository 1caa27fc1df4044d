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
      source: of the handwritten digits, "embedded" or "tfds", see `mnist.arrays`.
      svhn: "drawn", a stand-in made of the digits of `source`, see `street_digits`, or
        "tfds", SVHN itself, `svhn_cropped` of tensorflow-datasets.
      data_dir: where tfds looks, see `tfds_images.arrays`.
      num_matches: how often each training image takes part; published 20, and 30
        without text.
      num_test_matches: the same of test images, published 20; 1 has each of them once.
      pair_seed: of pairs, of words in evaluation and of drawn house numbers; apart from
        `seed`, so that runs of several seeds see the same pairs.
      seed: of the order of training and its words.

    Raises:
      ValueError, TypeError: an unknown modality or source, one twice, or a number that
        is not a whole one of 1 or more.
      FileNotFoundError, ImportError: see `tfds_images.arrays`.
    """
    who = "mnist_svhn_text.load"
    modalities = check_modalities(who, modalities, MODALITIES)
    checks.one_of(who, HOUSE_NUMBERS, svhn=svhn)
    matches = {"train": num_matches, "test": num_test_matches}
    checks.count(who, num_matches=num_matches, num_test_matches=num_test_matches)
    check_seed(who, pair_seed)
    check_seed(who, seed)
    digits = {s: mnist.arrays(s, source=source, data_dir=data_dir) for s in SPLITS}
    houses = digits
    if svhn == "tfds":
        houses = {
            s: tfds_images.arrays("svhn_cropped", s, data_dir=data_dir) for s in SPLITS
        }
    pairs = {}
    for split in SPLITS:
        rng = np.random.default_rng((pair_seed, STREAMS[split]))
        labels = digits[split][1], houses[split][1]
        pairs[split] = match(rng, *labels, num_matches=matches[split])

    def of_pairs(split: str, rows: np.ndarray, start: np.ndarray) -> dict:
        first, second = pairs[split][rows].T
        images, labels = digits[split]
        batch = {"label": labels[first]}
        if "mnist" in modalities:
            batch["mnist"] = images[first][..., None]
        if "text" in modalities:
            batch["text"] = words(labels[first], start)
        if "svhn" in modalities:
            batch |= house(split, second)
        return batch

    def house(split: str, rows: np.ndarray) -> dict:
        images = houses[split][0]
        if svhn == "tfds":
            return {"svhn": images[rows]}
        beside = neighbors[split][rows]
        number = (rows + (2**31 if split == "test" else 0)).astype(np.uint32)
        return {"svhn": images[beside], "house": number}

    @functools.cache
    def starts(split: str) -> np.ndarray:
        rng = np.random.default_rng((pair_seed, STREAMS[split], 1))
        return rng.random(len(pairs[split]))

    def train_rows(step: int, batch_size: int) -> np.ndarray:
        rows = batch_indices(seed, step, len(pairs["train"]), batch_size)
        return this_process(rows)

    def draw(step: int, batch_size: int) -> dict:
        start = np.random.default_rng((seed, step, 1)).random(batch_size)
        rows = train_rows(step, batch_size)
        return of_pairs("train", rows, this_process(start))

    def take(split: str, rows: np.ndarray) -> dict:
        return of_pairs(split, rows, starts(split)[rows])

    neighbors = {s: _neighbors(pair_seed, s, len(houses[s][1])) for s in SPLITS}
    prepare = functools.partial(_prepare, pair_seed=int(pair_seed))
    return of_draws(
        who,
        draw,
        take,
        {split: len(rows) for split, rows in pairs.items()},
        prepare=prepare,
        modalities=modalities,
        train_rows=train_rows,
    )


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
