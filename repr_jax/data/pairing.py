"""Tuples of rows of one class: how views that share a label alone are made of a set.

Given a label, the views of such a tuple are independent, except that no row appears in
it twice.
"""

from typing import NamedTuple

import numpy as np


class Classes(NamedTuple):
    """The rows of each class, class after class."""

    labels: np.ndarray  # [n] int
    order: np.ndarray  # [n], rows sorted by class
    starts: np.ndarray  # [classes], where a class starts in `order`
    counts: np.ndarray  # [classes]
    ranks: np.ndarray  # [n], place of a row within its class


def classes(labels: np.ndarray, *, width: int) -> Classes:
    """Lists the rows of each class; [n] int labels from 0.

    Raises:
      ValueError: a class has rows, but fewer than `width`, the views of a tuple.
    """
    counts = np.bincount(labels)
    small = np.flatnonzero((counts > 0) & (counts < width))
    if len(small):
        raise ValueError(
            f"pairing.classes: expected {width} rows of each class, one for each view; "
            f"got {counts[small[0]]} of class {small[0]}."
        )
    order = np.argsort(labels, kind="stable")
    starts = np.cumsum(counts) - counts
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - np.repeat(starts, counts)
    return Classes(labels, order, starts, counts, ranks)


def partners(
    rng: np.random.Generator, data: Classes, anchors: np.ndarray, *, width: int
) -> np.ndarray:
    """[b] -> [b, width] rows: the anchor, then others of its class, all different.

    Column k draws one of the count - k ranks that are left, uniformly, by stepping over
    the ranks taken before it in ascending order.
    """
    labels = data.labels[anchors]
    taken = data.ranks[anchors][:, None]
    for k in range(1, width):
        rank = rng.integers(data.counts[labels] - k)
        for other in np.sort(taken, axis=1).T:
            rank = rank + (rank >= other)
        taken = np.concatenate([taken, rank[:, None]], axis=1)
    return data.order[data.starts[labels][:, None] + taken]


def tuples(rng: np.random.Generator, data: Classes, *, width: int) -> np.ndarray:
    """[n, width] rows: tuple i is of the class of row i, a column uses each row once.

    Within a class each column is an independent permutation. About width**2 / 2 tuples
    of a class would show a row twice; their columns are permuted further.
    """
    result = np.empty((len(data.labels), width), np.int64)
    for start, count in zip(data.starts, data.counts):
        rows = data.order[start : start + count]
        for k in range(width):
            column = rng.permutation(rows)
            while (twice := (result[rows, :k] == column[:, None]).any(axis=1)).any():
                some = np.union1d(
                    np.flatnonzero(twice), rng.integers(count, size=width)
                )
                column[some] = rng.permutation(column[some])
            result[rows, k] = column
    return result
