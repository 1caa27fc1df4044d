"""Trees of logits of which only the largest of each row were kept."""

from typing import NamedTuple

import numpy as np

from repr_jax.estimators.hierarchy.arithmetic import FRACTION
from repr_jax.estimators.hierarchy.host import FirstPass, grow
from repr_jax.estimators.hierarchy.merging import (
    Aggregation,
    Hierarchy,
    rules_of,
    sum_mean,
)
from repr_jax.ops import checks

CHUNK = 2**16  # rows whose masked confidences are computed together


class Sparse(NamedTuple):
    """The m largest logits of each row."""

    indices: np.ndarray  # [rows, m] int, the classes of the kept logits, all different
    values: np.ndarray  # [rows, m] float, the kept logits
    rest: np.ndarray  # [rows] float, log-sum-exp of all others; -inf if there is none


class SparseFit(NamedTuple):
    """A tree of sparse logits, and what was missing for the exact one."""

    tree: Hierarchy
    unresolved_rows: float  # share of rows that once had all their kept classes masked
    unresolved_moves: float  # share of re-assignments of which that is true


def sparsify(logits, num_kept: int) -> Sparse:
    """The num_kept largest logits of each row of [rows, K], and the rest's sum."""
    logits = np.asarray(logits)
    checks.same_shape("sparsify", rank=2, logits=logits)
    checks.count("sparsify", num_kept=num_kept)
    if num_kept > logits.shape[1]:
        raise ValueError(
            f"sparsify: expected num_kept <= {logits.shape[1]}; got {num_kept}."
        )
    order = np.argsort(-logits.astype(np.float32), axis=1, kind="stable")
    indices = order[:, :num_kept].astype(np.int32)
    others = np.take_along_axis(logits, order[:, num_kept:], axis=1).astype(np.float64)
    top = others.max(axis=1, initial=-np.inf)
    if num_kept == logits.shape[1]:
        rest = np.full(len(logits), -np.inf)
    else:
        rest = top + np.log(np.exp(others - top[:, None]).sum(axis=1))
    values = np.take_along_axis(logits, indices, axis=1)
    return Sparse(indices, values, rest.astype(np.float32))


def _checked(sparse: Sparse, num_classes: int) -> Sparse:
    """Columns sorted by class, in float64; errors name the first row that is wrong."""
    who = "fit_sparse"
    indices, values, rest = (np.asarray(x) for x in sparse)
    checks.same_shape(who, rank=2, indices=indices, values=values)
    checks.floating(who, values=values, rest=rest)
    checks.shape(who, values.shape[:1], rest=rest)
    if 0 in values.shape:
        raise ValueError(f"{who}: expected rows and kept logits; got {values.shape}.")
    if indices.dtype.kind not in "iu":
        raise TypeError(f"{who}: expected indices of integers; got {indices.dtype}.")
    order = np.argsort(indices, axis=1)
    indices = np.take_along_axis(indices, order, axis=1).astype(np.int64)
    values = np.take_along_axis(values, order, axis=1).astype(np.float64)
    rest = rest.astype(np.float64)
    missing = num_classes - values.shape[1]
    bound = values.min(axis=1) + np.log(max(missing, 1e-300))
    bound = bound + 1e-2 + 1e-2 * np.abs(bound)  # both may have been rounded
    inside = (indices[:, 0] >= 0) & (indices[:, -1] < num_classes)
    inside &= (np.diff(indices, axis=1) > 0).all(axis=1)
    for wanted, right in [
        (f"different classes from 0 to {num_classes - 1}", inside),
        ("finite logits", np.isfinite(values).all(axis=1)),
        ("a rest that is finite or -inf", (rest < np.inf)),
        ("a rest of logits no larger than those kept", ~(rest > bound)),
    ]:
        if not right.all():
            raise ValueError(f"{who}: expected {wanted}; row {right.argmin()} has not.")
    return Sparse(indices, values, rest)


class _Reader:
    """`host.Reader` of sparse logits, which counts the rows that it cannot resolve."""

    def __init__(self, sparse: Sparse, num_classes: int):
        self.sparse, self.columns = sparse, num_classes
        self.missed, self.num_moves = np.zeros(len(sparse.values), np.int64), 0

    def masked(self, logits, rows, members) -> tuple[np.ndarray, np.ndarray]:
        """The best class left and its confidence; a class of the group, 0, if none."""
        in_group = np.zeros(self.columns, bool)
        in_group[members] = True
        best, confidence = np.empty((2, len(rows)), np.int32)
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            best[part], confidence[part], found = self.chunk(rows[part], in_group)
            best[part][~found] = members[:1]
            self.missed[rows[part]] += ~found
        self.num_moves += len(rows)
        return best, confidence

    def chunk(self, rows, in_group):
        """The best class left, its confidence in fixed point, and if there is one."""
        indices, values = self.sparse.indices[rows], self.sparse.values[rows]
        values = np.where(in_group[indices], -np.inf, values)
        column = values.argmax(axis=1)[:, None]
        best = np.take_along_axis(values, column, axis=1)
        found = np.isfinite(best[:, 0])
        best = np.where(found[:, None], best, 0.0)
        with np.errstate(over="ignore"):  # where nothing is found
            sums = np.exp(values - best).sum(axis=1)
            sums = sums + np.exp(self.sparse.rest[rows] - best[:, 0])
        fixed = np.where(found, np.rint(2**FRACTION / np.where(found, sums, 1)), 0)
        index = np.take_along_axis(indices, column, axis=1)[:, 0]
        return index, fixed.astype(np.int32), found


def fit_sparse(
    sparse: Sparse,
    *,
    num_classes: int,
    aggregation: Aggregation = sum_mean,
    empty: str = "last",
    height: str = "score",
) -> SparseFit:
    """`fit` from the largest logits of each row and the log-sum-exp of its others.

    The next best class of a row is exact as long as one of its kept classes is not
    masked; its confidence is too small by no more than the probability of masked
    classes that were not kept. A row without such a class is left out of that merge,
    since the logits that would decide are gone: the shares say how often.

    Args:
      sparse: as from `sparsify`. The temperature is that of the kept sums: 1.
      num_classes: K.
      aggregation, empty, height: as for `fit`.

    Returns:
      SparseFit. With all K logits kept, the tree of `fit` but for rounding.

    Raises:
      ValueError, TypeError: shapes, classes or numbers that cannot be, with their row.
    """
    rules = rules_of("fit_sparse", aggregation, empty, height)
    checks.count("fit_sparse", num_classes=num_classes)
    sparse = _checked(sparse, num_classes)
    reader = _Reader(sparse, num_classes)
    every = np.arange(len(sparse.values))
    first, confidence, _ = reader.chunk(every, np.zeros(num_classes, bool))
    passed = FirstPass(first.astype(np.int32), confidence, None, None)
    tree = grow(reader, sparse, passed, rules)
    share = float(reader.missed.sum()) / max(reader.num_moves, 1)
    return SparseFit(tree, float(np.mean(reader.missed > 0)), share)
