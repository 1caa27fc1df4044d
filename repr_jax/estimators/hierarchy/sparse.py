"""Trees of logits of which only the largest of each row were kept."""

from typing import NamedTuple

import numpy as np

from repr_jax.estimators.hierarchy import merging
from repr_jax.estimators.hierarchy.arithmetic import FRACTION
from repr_jax.estimators.hierarchy.host import exact_bincount
from repr_jax.estimators.hierarchy.merging import (
    Aggregation,
    Hierarchy,
    Options,
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
    checks.rows(who, len(values), rest=rest)
    checks.same_shape(who, rank=1, rest=rest)
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
    for wanted, right in [
        (
            f"different classes from 0 to {num_classes - 1}",
            _are_classes(indices, num_classes),
        ),
        ("finite logits", np.isfinite(values).all(axis=1)),
        ("a rest that is finite or -inf", (rest < np.inf)),
        ("a rest of logits no larger than those kept", ~(rest > bound)),
    ]:
        if not right.all():
            raise ValueError(f"{who}: expected {wanted}; row {right.argmin()} has not.")
    return Sparse(indices, values, rest)


def _are_classes(indices, num_classes) -> np.ndarray:
    """[rows] bool, of sorted indices."""
    inside = (indices[:, 0] >= 0) & (indices[:, -1] < num_classes)
    return inside & (np.diff(indices, axis=1) > 0).all(axis=1)


def _masked(sparse: Sparse, rows, in_group):
    """Best class that is left, its confidence in fixed point, and whether one is."""
    indices, values = sparse.indices[rows], sparse.values[rows]
    values = np.where(in_group[indices], -np.inf, values)
    column = values.argmax(axis=1)[:, None]
    best = np.take_along_axis(values, column, axis=1)
    found = np.isfinite(best[:, 0])
    best = np.where(found[:, None], best, 0.0)
    sums = np.exp(values - best).sum(axis=1) + np.exp(sparse.rest[rows] - best[:, 0])
    fixed = np.where(found, np.rint(2**FRACTION / np.where(found, sums, 1.0)), 0)
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
    options = Options(aggregation, empty, height)
    options.check("fit_sparse")
    checks.count("fit_sparse", num_classes=num_classes)
    sparse = _checked(sparse, num_classes)
    num_rows, k = len(sparse.values), num_classes
    first, confidence, _ = _masked(sparse, slice(None), np.zeros(k, bool))
    order = np.argsort(first, kind="stable")
    counts = np.bincount(first, minlength=k).astype(np.int64)
    ends = np.cumsum(counts)
    missed, num_moves = np.zeros(num_rows, np.int64), 0

    def reassign(members):
        nonlocal num_moves
        in_group = np.zeros(k, bool)
        in_group[members] = True
        moved, moved_rows = np.zeros((2, k), np.int64)
        chosen = np.concatenate([order[ends[c] - counts[c] : ends[c]] for c in members])
        for start in range(0, len(chosen), CHUNK):
            rows = chosen[start : start + CHUNK]
            best, fixed, found = _masked(sparse, rows, in_group)
            moved += exact_bincount(best, fixed, k)
            moved_rows += np.bincount(best[found], minlength=k)
            missed[rows] += ~found
        num_moves += len(chosen)
        return moved, moved_rows

    sums = exact_bincount(first, confidence, k)
    steps = merging.merge_all(sums, counts, reassign, options)
    tree = merging.finish(steps, first, sums, counts, options)
    share = float(missed.sum()) / max(num_moves, 1)
    return SparseFit(tree, float(np.mean(missed > 0)), share)
