"""Rows of a labeled set with stated shares of the classes: one rule for all sets.

A choice depends on the seed and on the rows' ids, not on the order in which rows come.
"""

from collections.abc import Sequence

import numpy as np

from repr_jax.data.dataset import check_seed
from repr_jax.ops import checks

# 82 % of one class of seven, as UnfairFace has it of FairFace's White; how it divides
# the rest is not confirmed, so here evenly.
FLAT_TAIL = (0.82, *(0.03,) * 6)


def by_shares(
    labels: np.ndarray,
    shares: Sequence[float],
    *,
    anchor: int = 0,
    ids: Sequence | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Rows of a subset in which classes are as frequent as `shares` says, sorted.

    All rows of the class `anchor` are in it, and floor(n q_k / q) of class k, n the
    number and q the share of that class; they are drawn without replacement.

    Args:
      labels: [rows] int, from 0.
      shares: [K] >= 0 of sum 1.
      anchor: a class of a share above 0, the largest by custom.
      ids: [rows], all different, that can be sorted; the rows' numbers if None.
      seed: of the draw.

    Raises:
      ValueError: shares that are not as above; labels outside of them; ids that are
        not; a class with fewer rows than are asked for.
    """
    who = "by_shares"
    shares = checked_shares(who, shares, len(shares))
    labels, order = _checked(who, labels, ids, seed, len(shares))
    checks.count(who, minimum=0, anchor=anchor)
    if anchor >= len(shares) or shares[anchor] <= 0:
        raise ValueError(f"{who}: expected an anchor of a share above 0; got {anchor}.")
    kept = np.sum(labels == anchor)
    counts = np.floor(kept * shares / shares[anchor] + 1e-9).astype(int)
    return _draw(who, labels, order, counts, seed)


def balanced(
    labels: np.ndarray,
    num_per_class: int,
    *,
    num_classes: int,
    where: np.ndarray | None = None,
    ids: Sequence | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Rows of a subset with as many of each class, sorted.

    Args:
      labels: [rows] int, from 0 to num_classes - 1.
      where: [rows] bool, those to choose from, such as those that a classifier gets
        right; None for all.
      ids, seed: as of `by_shares`.

    Raises:
      ValueError: as `by_shares`.
    """
    who = "balanced"
    checks.count(who, num_per_class=num_per_class, num_classes=num_classes)
    labels, order = _checked(who, labels, ids, seed, num_classes)
    if where is not None:
        checks.shape(who, labels.shape, where=where)
        checks.boolean(who, where=where)
        order = order[np.asarray(where)[order]]
    return _draw(who, labels, order, [num_per_class] * num_classes, seed)


def class_weights(labels: np.ndarray) -> np.ndarray:
    """[rows] float64 of sum 1: of drawing rows so that each class comes equally often.

    1 / (number of the row's class), over the number of classes that occur.
    """
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return 1 / (counts[classes] * len(counts))


def checked_shares(
    who: str, shares: Sequence[float] | None, num_classes: int
) -> np.ndarray:
    """[num_classes] float64 of sum 1, equal ones for None; ValueError for others."""
    if shares is None:
        return np.full(num_classes, 1 / num_classes)
    found = np.asarray(shares, np.float64)
    right = found.shape == (num_classes,) and np.all(found >= 0)
    if not right or not np.isclose(found.sum(), 1, atol=1e-6):
        raise ValueError(
            f"{who}: expected {num_classes} shares >= 0 of sum 1; got {shares}."
        )
    return found / found.sum()


def _checked(who, labels, ids, seed, num_classes):
    """Labels, and the rows in the order of their ids."""
    check_seed(who, seed)
    labels = np.asarray(labels)
    checks.same_shape(who, rank=1, labels=labels)
    checks.integers(who, labels=labels)
    checks.within(who, num_classes, labels=labels)
    ids = np.arange(len(labels)) if ids is None else np.asarray(ids)
    checks.rows(who, len(labels), ids=np.zeros(ids.shape))
    if len(np.unique(ids)) < len(ids):
        raise ValueError(f"{who}: expected ids that are all different.")
    return labels, np.argsort(ids, kind="stable")


def _draw(who, labels, order, counts, seed):
    chosen = []
    for k, count in enumerate(counts):
        rows = order[labels[order] == k]
        if len(rows) < count:
            raise ValueError(
                f"{who}: expected {count} rows of class {k}; got {len(rows)}."
            )
        rng = np.random.default_rng((seed, k))
        chosen.append(rows[rng.permutation(len(rows))[:count]])
    return np.sort(np.concatenate(chosen))
