"""Emoji of people in six skin tones and two artists' styles; real drawings, balanced.

A batch after `prepare` has
  image: float32 [batch, size, size, 3] in [0, 1], on white;
  label: int32 [batch], the tone: 0 the default yellow, 1 light to 5 dark;
  style: int32 [batch], 0 Noto Emoji and 1 Twemoji;
  emoji: int32 [batch], which emoji, whatever its tone and style;
  where: bool [batch], in evaluation;
and the image is uint8 [batch, 32, 32, 3] before. A fifth of the emoji is held out, in
all tones, chosen once for all seeds. The file is that of `data.emoji`, which says whose
the drawings are. Emoji are taken that have all tones and a subcategory of persons.
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from repr_jax.data import emoji, subsample
from repr_jax.data.dataset import Dataset, check_modalities, of_rows, unit_pixels
from repr_jax.ops import checks
from repr_jax.ops.measurement import average_pool

NUM_TONES = 6
SIZE = 32  # of the file's pictures
PREFIX = "person"  # of subcategories


def load(
    *,
    path: str,
    size: int = 32,
    styles: Sequence[str] = emoji.IMAGES,
    shares: Sequence[float] | None = None,
    anchor: int = 0,
    class_balanced: bool = False,
    seed: int = 0,
    subset_seed: int = 0,
) -> Dataset:
    """The emoji of the module.

    Args:
      path: the .npz file, or a folder with emoji.npz in it.
      size: pixels of a side: 32 or a divisor, by means.
      styles: which of noto, twemoji.
      shares: [6] of the tones in "train", by `subsample.by_shares` with this `anchor`;
        equal if None.
      class_balanced: as of `faces.load`.
      seed: of the order of training. subset_seed: of the choice of images.

    Raises:
      FileNotFoundError, ValueError: as of `emoji.load`; an unknown style; shares that
        are not as above.
    """
    who = "emoji_people.load"
    styles = check_modalities(who, styles, emoji.IMAGES)
    checks.count(who, size=size)
    if SIZE % size:
        raise ValueError(f"{who}: expected a size that divides {SIZE}; got {size}.")
    data = emoji.read(path)
    rows, groups, tones = _people(who, data)
    held_out = np.random.default_rng(0).permutation(groups.max() + 1)
    held_out = held_out[: round(emoji.HELD_OUT * len(held_out))]
    found = np.concatenate([data[name][rows] for name in styles])
    labels, number = (np.tile(x, len(styles)) for x in (tones, groups))
    style = np.repeat([emoji.IMAGES.index(name) for name in styles], len(rows))
    in_test = np.isin(number, held_out)
    train = np.flatnonzero(~in_test)
    if shares is not None:
        train = train[_unbalanced(labels[train], shares, anchor, subset_seed)]
    rows_of = {"train": train, "test": np.flatnonzero(in_test)}
    entries = {"label": labels, "style": style, "emoji": number}
    entries = {name: x.astype(np.int32) for name, x in entries.items()}

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        rows = rows_of[split][rows]
        return {"image": found[rows], **{n: x[rows] for n, x in entries.items()}}

    num_examples = {split: len(rows) for split, rows in rows_of.items()}
    weights = subsample.class_weights(labels[train]) if class_balanced else None
    return of_rows(
        who,
        take,
        num_examples,
        seed=seed,
        prepare=functools.partial(_prepare, factor=SIZE // size),
        weights=weights,
    )


def _unbalanced(labels, shares, anchor, seed):
    subsample.checked_shares("emoji_people.load", shares, NUM_TONES)
    return subsample.by_shares(labels, shares, anchor=anchor, seed=seed)


def _prepare(batch: Mapping, *, factor: int) -> dict:
    batch = unit_pixels(batch)
    return {**batch, "image": average_pool(factor).forward(batch["image"])}


def _people(who: str, data: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the file, the number of the emoji of each from 0, and its tone."""
    names = data["subcategory_names"][data["subcategory"]]
    persons = np.char.startswith(names.astype(str), PREFIX)
    has = functools.partial(np.isin, data["base"])
    all_tones = persons & (data["tone"] >= 0)
    for tone in range(NUM_TONES):
        all_tones &= has(data["base"][data["tone"] == tone])
    rows = np.flatnonzero(all_tones)
    if not len(rows):
        raise ValueError(f"{who}: expected emoji of persons in {NUM_TONES} tones.")
    groups = np.unique(data["base"][rows], return_inverse=True)[1]
    return rows, groups, data["tone"][rows]
