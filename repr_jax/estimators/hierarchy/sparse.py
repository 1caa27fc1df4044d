"""Trees of logits of which only the largest of each row were kept."""

from typing import NamedTuple

import numpy as np

from repr_jax.estimators.hierarchy import merging
from repr_jax.estimators.hierarchy.arithmetic import FRACTION
from repr_jax.estimators.hierarchy.merging import Hierarchy
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
    unresolved: float  # share of re-assignments with all kept classes of a row masked


def sparsify(logits, num_kept: int) -> Sparse:
    """The num_kept largest logits of each row of [rows, K], or all; the rest's sum."""
    logits = np.asarray(logits)
    checks.same_shape("sparsify", rank=2, logits=logits)
    checks.count("sparsify", num_kept=num_kept)
    order = np.argsort(-logits.astype(np.float32), axis=1, kind="stable")
    indices = order[:, :num_kept].astype(np.int32)
    others = np.take_along_axis(logits, order[:, num_kept:], axis=1).astype(np.float64)
    top = others.max(axis=1, initial=-np.inf)
    with np.errstate(divide="ignore"):  # of no others, the sum is 0
        rest = top + np.log(np.exp(others - top[:, None]).sum(axis=1))
    values = np.take_along_axis(logits, indices, axis=1)
    return Sparse(indices, values, rest.astype(np.float32))


def _checked(who: str, sparse: Sparse, num_classes: int) -> Sparse:
    """Columns sorted by class, in float64; errors name the first row that is wrong."""
    indices, values, rest = (np.asarray(x) for x in sparse)
    checks.same_shape(who, rank=2, indices=indices, values=values)
    checks.floating(who, values=values, rest=rest)
    checks.integers(who, indices=indices)
    checks.shape(who, values.shape[:1], rest=rest)
    if 0 in values.shape:
        raise ValueError(f"{who}: expected rows and kept logits; got {values.shape}.")
    checks.within(who, num_classes, indices=indices)
    checks.finite(who, values=values)
    order = np.argsort(indices, axis=1)
    indices = np.take_along_axis(indices, order, axis=1).astype(np.int64)
    values = np.take_along_axis(values, order, axis=1).astype(np.float64)
    rest = rest.astype(np.float64)
    bound = values.min(axis=1) + np.log(max(num_classes - values.shape[1], 1e-300))
    bound = bound + 1e-2 + 1e-2 * np.abs(bound)  # both may have been rounded
    for wanted, right in [
        ("different classes", (np.diff(indices, axis=1) > 0).all(axis=1)),
        ("a rest of logits no larger than those kept", rest <= bound),
    ]:
        if not right.all():
            raise ValueError(f"{who}: expected {wanted}; row {right.argmin()} has not.")
    return Sparse(indices, values, rest)


def _choice(indices, values, rest, in_group) -> np.ndarray:
    """[3, rows] int32: the best class left, its confidence, and is there one?"""
    values = np.where(in_group[indices], -np.inf, values)
    column = values.argmax(axis=1)[:, None]
    best = np.take_along_axis(values, column, axis=1)
    found = np.isfinite(best[:, 0])
    best = np.where(found[:, None], best, 0.0)
    with np.errstate(over="ignore"):  # where nothing is found
        sums = np.exp(values - best).sum(axis=1) + np.exp(rest - best[:, 0])
    fixed = np.where(found, np.rint(2**FRACTION / np.where(found, sums, 1)), 0)
    index = np.take_along_axis(indices, column, axis=1)[:, 0]
    return np.stack([index, fixed, found]).astype(np.int32)


def fit_sparse(
    sparse: Sparse, *, num_classes: int, aggregation: str = "sum_mean"
) -> SparseFit:
    """`fit` from the largest logits of each row and the log-sum-exp of its others.

    The next best class of a row is exact as long as one of its kept classes is not
    masked; its confidence is too small by no more than the probability of masked
    classes that were not kept. A row without such a class is left out of that merge,
    since the logits that would decide are gone: `unresolved` says how often.

    With all K = num_classes logits kept it is the tree of `fit` but for rounding. The
    temperature is that of the kept sums: 1. ValueError or TypeError for shapes, classes
    or numbers that cannot be, with their row.
    """
    who = "fit_sparse"
    checks.one_of(who, merging.AGGREGATIONS, aggregation=aggregation)
    checks.count(who, minimum=2, num_classes=num_classes)
    sparse = _checked(who, sparse, num_classes)
    num_moves, num_missed = 0, 0

    def choices(rows, in_group):
        parts = np.array_split(rows, -(-len(rows) // CHUNK))
        return np.concatenate(
            [_choice(*(x[part] for x in sparse), in_group) for part in parts], axis=1
        )

    def masked(rows, members):
        nonlocal num_moves, num_missed
        in_group = np.isin(np.arange(num_classes), members)
        best, confidence, found = choices(rows, in_group)
        num_moves += len(rows)
        num_missed += int(np.sum(found == 0))
        return np.where(found, best, members[0]), confidence

    every = np.arange(len(sparse.values))
    passed = choices(every, np.zeros(num_classes, bool))[:2]
    tree = merging.grow_from_rows(passed, masked, aggregation, num_classes)
    return SparseFit(tree, num_missed / max(num_moves, 1))
