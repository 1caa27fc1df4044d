"""The merges, given what re-assignment finds, and the tree that they make.

`lowest_score` and `merge` are one merge, in NumPy on the host and in jax.numpy, with
64-bit integers, on devices: `xp` is either.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from repr_jax import trees
from repr_jax.estimators.hierarchy.arithmetic import FRACTION

NEVER = np.iinfo(np.int64).max
EMPTY = ("last", "zero", "drop")
EXACT = 2**22  # int32 summed as float64 by bincount without rounding
MEAN_FRACTION = 16  # further bits of a mean; its unit is 2^-(FRACTION + MEAN_FRACTION)
AVERAGE_FRACTION = 24  # further bits of an affinity: all averages differ, K <= 4096


class Aggregation(NamedTuple):
    """How the confidences of a group become its score; the lowest is merged next."""

    cluster_means: bool  # sum over clusters of the mean confidence, else of the sum
    over_clusters: bool = False  # divided by the number of clusters
    over_rows: bool = False  # divided by the number of rows

    @property
    def fraction(self) -> int:
        """The unit of a score is 2^-fraction."""
        means = self.cluster_means or self.over_rows
        return FRACTION + (MEAN_FRACTION if means else 0)


# The published default. It adds up when groups merge, so a merged group has at least
# twice the score and waits: trees are balanced, and a row is read log K times.
sum_mean = Aggregation(cluster_means=True)
# Adds up as well; small clusters are merged first.
sum_sum = Aggregation(cluster_means=False)
# Means do not grow when groups merge: the merged group often has the lowest score
# again, and the tree becomes a chain. Ours; we do not know whether the paper tried it.
mean_mean = Aggregation(cluster_means=True, over_clusters=True)
mean_all = Aggregation(cluster_means=False, over_rows=True)


class Hierarchy(NamedTuple):
    """A binary tree over the classes, in the form of `repr_jax.trees`.

    L leaves and T = L - 1 merges: leaf i is node i, merge t makes node L + t. At a
    merge the group of lowest confidence score is merged into another one.
    """

    parents: np.ndarray  # [2 L - 1] int32, -1 for the root
    heights: np.ndarray  # [2 L - 1] float64, 0 for leaves; the largest score so far
    merges: np.ndarray  # [T, 2] int32: the node that is merged, the node it joins
    leaves: np.ndarray  # [L] int32, the class of each leaf; all unless empty="drop"
    assignments: np.ndarray  # [rows] int32, the class of each row
    counts: np.ndarray  # [K] int64, rows of each class
    confidences: np.ndarray  # [K] mean largest probability of them; 0 if none
    scores: np.ndarray  # [T] of the merged group
    affinities: np.ndarray  # [T] confidence of its rows in the other, per class of it
    rows: np.ndarray  # [T] int64, rows of the merged group
    supports: np.ndarray  # [T] share of them whose next best class is in the other
    runner_ups: np.ndarray  # [T] int32, node of the second best choice; -1 if none
    margins: np.ndarray  # [T] the affinity minus that of the second best choice

    @property
    def linkage(self) -> np.ndarray:
        """[T, 4] float64 as scipy has it: two nodes, height, leaves below."""
        return trees.to_linkage(self.parents, self.heights)


class Groups(NamedTuple):
    """All groups, each at the index of its lowest class; int64."""

    total: np.ndarray  # [K] confidences in fixed point, as the aggregation adds them
    size: np.ndarray  # [K] classes in it
    rows: np.ndarray  # [K] rows in it
    node: np.ndarray  # [K] its node in the tree
    group: np.ndarray  # [K] the group of each class


class Step(NamedTuple):
    """What happened at a merge, as whole numbers; or [T] of them."""

    merged: np.ndarray  # node
    into: np.ndarray  # node
    score: np.ndarray  # of the merged group, in fixed point
    rows: np.ndarray  # of the merged group
    drawn: np.ndarray  # confidence of its rows in the other's classes, in fixed point
    size: np.ndarray  # classes of the other
    moved: np.ndarray  # rows whose next best class is in the other
    runner_up: np.ndarray  # node of the second best choice; -1 if there is none
    second_drawn: np.ndarray
    second_size: np.ndarray


def quotient(total, divisor, fraction: int):
    """floor(2^fraction total / divisor) in int64, without overflow on the way."""
    whole = total // divisor
    return (whole << fraction) + ((total - whole * divisor) << fraction) // divisor


def first_groups(sums, counts, aggregation: Aggregation, xp) -> Groups:
    """Every class is a group. sums: [K] int64 confidences in fixed point."""
    if aggregation.cluster_means:
        sums = quotient(sums, xp.maximum(counts, 1), MEAN_FRACTION)
    index = xp.arange(len(counts))
    return Groups(sums, xp.ones_like(counts), counts, index, index)


def best_averages(total, size, eligible, xp):
    """The two highest total / size, exactly: indices, the lowest of equals; or -1."""
    whole = total // size
    rest = ((total - whole * size) << AVERAGE_FRACTION) // size

    def highest(eligible):
        top = xp.where(eligible, whole, -1)
        top = xp.where(eligible & (whole == top.max()), rest, -1)
        return xp.where(eligible.any(), top.argmax(), -1)

    first = highest(eligible)
    return first, highest(eligible & (xp.arange(len(total)) != first))


def lowest_score(groups: Groups, aggregation: Aggregation, empty: str, xp):
    """The group to merge, its score, and [K] which groups it may be merged into."""
    index = xp.arange(len(groups.group))
    eligible = groups.group == index
    if empty != "zero":
        eligible = eligible & (groups.rows > 0)
    scores = groups.total
    if aggregation.over_clusters:
        scores = scores // groups.size
    if aggregation.over_rows:
        scores = quotient(scores, xp.maximum(groups.rows, 1), MEAN_FRACTION)
    merged = xp.where(eligible, scores, NEVER).argmin()
    return merged, scores[merged], eligible & (index != merged)


def merge(groups: Groups, merged, score, others, drawn, drawn_rows, node, xp):
    """Merges a group into the one that draws most confidence per class.

    Args:
      groups: before the merge.
      merged, score, others: as from `lowest_score`. Where no other is left, the root
        is merged into a class without rows, the lowest first.
      drawn, drawn_rows: [K] int64 of each group, confidence in fixed point and rows.
      node: the number of the new node.

    Returns:
      Groups after the merge, and a Step.
    """
    index = xp.arange(len(groups.group))
    remaining = (groups.group == index) & (index != merged)
    others = xp.where(others.any(), others, remaining)
    into, second = best_averages(drawn, groups.size, others, xp)
    step = Step(
        merged=groups.node[merged],
        into=groups.node[into],
        score=score,
        rows=groups.rows[merged],
        drawn=drawn[into],
        size=groups.size[into],
        moved=drawn_rows[into],
        runner_up=xp.where(second >= 0, groups.node[second], -1),
        second_drawn=xp.where(second >= 0, drawn[second], 0),
        second_size=groups.size[second],
    )
    kept, gone = xp.minimum(merged, into), xp.maximum(merged, into)

    def added(x):
        return xp.where(index == kept, x[kept] + x[gone], x)

    groups = Groups(
        total=added(groups.total),
        size=added(groups.size),
        rows=added(groups.rows),
        node=xp.where(index == kept, node, groups.node),
        group=xp.where(groups.group == gone, kept, groups.group),
    )
    return groups, step


def exact_bincount(index, values, length: int) -> np.ndarray:
    """[length] int64 sums of int32 values by index."""
    out = np.zeros(length, np.int64)
    for start in range(0, len(index), EXACT):
        part = slice(start, start + EXACT)
        out += np.bincount(index[part], values[part], length).astype(np.int64)
    return out


def grow(
    passed: np.ndarray,
    masked: Callable,
    aggregation: Aggregation,
    empty: str,
    k: int,
    *,
    rows: np.ndarray | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Hierarchy:
    """The tree from a first pass on the host; a merge is O(K) besides `masked`.

    Args:
      passed: [2 or 4, rows] int32, the best class of each row, its confidence in fixed
        point, and if known the same of the second best when the best is masked.
      masked: (rows, members of a group) -> [2, len(rows)] int32, the best other class
        and its confidence; of a row that has none, one of the members and 0.
      aggregation, empty: of `fit`. k: classes.
      rows: counts every row so often (a bootstrap).
      progress: called with ("merges", merges done, merges in all).
    """
    first, confidence = passed[:2] if rows is None else passed[:2, rows]
    order = np.argsort(first, kind="stable")
    order = order if rows is None else rows[order]
    counts = np.bincount(first, minlength=k).astype(np.int64)
    ends = np.cumsum(counts)
    sums = exact_bincount(first, confidence, k)
    groups, steps = first_groups(sums, counts, aggregation, np), []
    for t in range(k - 1):
        merged, score, others = lowest_score(groups, aggregation, empty, np)
        drawn, drawn_rows = np.zeros((2, k), np.int64)
        if others.any():
            members = np.flatnonzero(groups.group == merged)
            parts = [order[ends[c] - counts[c] : ends[c]] for c in members]
            chosen = np.concatenate(parts)
            if len(members) == 1 and len(passed) == 4:
                best, fixed = passed[2:, chosen]
            else:
                best, fixed = masked(chosen, members)
            np.add.at(drawn, groups.group, exact_bincount(best, fixed, k))
            np.add.at(drawn_rows, groups.group, np.bincount(best, minlength=k))
        groups, step = merge(
            groups, merged, score, others, drawn, drawn_rows, k + t, np
        )
        steps.append(step)
        if progress is not None:
            progress("merges", t + 1, k - 1)
    steps = Step(*np.array(steps, np.int64).reshape(-1, len(Step._fields)).T)
    return finish(steps, first, sums, counts, aggregation, empty)


def finish(steps: Step, assignments, sums, counts, aggregation, empty) -> Hierarchy:
    """The tree of [K - 1] steps; sums: [K] int64 confidences in fixed point."""
    k = len(counts)
    leaves = np.arange(k)
    if empty == "drop":  # the last merges are of classes without rows
        leaves = np.flatnonzero(counts > 0)
    num = len(leaves) - 1
    name = np.full(2 * k, -1)  # of nodes when classes are dropped; -1 stays -1
    name[leaves], name[k : k + num] = np.arange(num + 1), num + 1 + np.arange(num)
    steps = Step(*(column[:num] for column in steps))
    merges = np.stack([name[steps.merged], name[steps.into]], axis=1)
    parents = np.full(2 * num + 1, -1, np.int32)
    parents[merges] = num + 1 + np.arange(num)[:, None]
    rows = np.maximum(steps.rows, 1)
    scores = steps.score / 2.0**aggregation.fraction
    affinities = steps.drawn / 2.0**FRACTION / steps.size
    return Hierarchy(
        parents=parents,
        heights=np.concatenate([np.zeros(num + 1), np.maximum.accumulate(scores)]),
        merges=merges.astype(np.int32),
        leaves=leaves.astype(np.int32),
        assignments=np.asarray(assignments, np.int32),
        counts=np.asarray(counts, np.int64),
        confidences=sums / 2.0**FRACTION / np.maximum(counts, 1),
        scores=scores,
        affinities=affinities,
        rows=steps.rows,
        supports=steps.moved / rows,
        runner_ups=name[steps.runner_up].astype(np.int32),
        margins=affinities - steps.second_drawn / 2.0**FRACTION / steps.second_size,
    )
