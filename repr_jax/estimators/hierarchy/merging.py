"""The chain of merges, given what re-assignment says, and the tree that comes of it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from repr_jax.estimators.hierarchy.arithmetic import FRACTION
from repr_jax.ops import checks

NEVER = np.iinfo(np.int64).max
MEAN_FRACTION = 16  # further bits of a mean; its unit is 2^-(FRACTION + MEAN_FRACTION)
AVERAGE_FRACTION = 24  # further bits of an affinity: all averages differ, K <= 4096


class Aggregation(NamedTuple):
    """How the confidences of a group become its score; the least is merged next."""

    cluster_means: bool  # sum over clusters of the mean confidence, else of the sum
    over_clusters: bool = False  # divided by the number of clusters
    over_rows: bool = False  # divided by the number of rows

    @property
    def fraction(self) -> int:
        """The unit of a score is 2^-fraction."""
        means = self.cluster_means or self.over_rows
        return FRACTION + (MEAN_FRACTION if means else 0)


# The published default. It adds up when groups merge, so a merged group has at least
# twice the score and rests: trees are balanced, and a row is read log K times.
sum_mean = Aggregation(cluster_means=True)
# Adds up as well; small clusters are absorbed first.
sum_sum = Aggregation(cluster_means=False)
# Means do not grow when groups merge: the merged group is often the least again, and
# the tree becomes a chain. Ours; whether the paper tried these is not known to us.
mean_mean = Aggregation(cluster_means=True, over_clusters=True)
mean_all = Aggregation(cluster_means=False, over_rows=True)


class Steps(NamedTuple):
    """What happened at each of T merges, as exact numbers or their nearest float64."""

    merges: np.ndarray  # [T, 2] int: node of the absorbed group, node of its refuge
    scores: np.ndarray  # [T] of the absorbed group
    affinities: np.ndarray  # [T] mean over the refuge's clusters of confidence moved
    rows: np.ndarray  # [T] int, in the absorbed group
    moved: np.ndarray  # [T] int, of them those that would go to the refuge
    runner_ups: np.ndarray  # [T] int, node of the second best refuge; -1 if none
    runner_up_affinities: np.ndarray  # [T]


class Hierarchy(NamedTuple):
    """A binary tree over the classes: L leaves, T = L - 1 merges, root 2 L - 2.

    Leaf i is node i and the merge of step t is node L + t.
    """

    linkage: np.ndarray  # [T, 4] float64 as scipy: two nodes, height, leaves below
    merges: np.ndarray  # [T, 2] int32: node absorbed (least confident), its refuge
    parents: np.ndarray  # [2 L - 1] int32, -1 for the root
    leaves: np.ndarray  # [L] int32, the class of each leaf; all unless empty="drop"
    assignments: np.ndarray  # [rows] int32, the class of each row
    counts: np.ndarray  # [K] int64, rows of each class
    confidences: np.ndarray  # [K] mean largest probability of them; 0 if none
    scores: np.ndarray  # [T] of the absorbed group when it was picked
    affinities: np.ndarray  # [T] probability that the refuge drew, a cluster of it
    rows: np.ndarray  # [T] int64, rows of the absorbed group
    supports: np.ndarray  # [T] share of them that go to the refuge; NaN if unknown
    runner_ups: np.ndarray  # [T] int32, the next best refuge; -1 if there was none
    margins: np.ndarray  # [T] affinity of the refuge minus that of the next best


Reassign = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def quotient(total: np.ndarray, divisor: np.ndarray, fraction: int) -> np.ndarray:
    """floor(2^fraction total / divisor) in int64, without overflow on the way."""
    whole, rest = np.divmod(total, divisor)
    return (whole << fraction) + (rest << fraction) // divisor


def cluster_weights(sums, counts, aggregation: Aggregation) -> np.ndarray:
    """[K] int64: what a cluster adds to the total of its group."""
    if aggregation.cluster_means:
        return quotient(sums, np.maximum(counts, 1), MEAN_FRACTION)
    return sums


def group_scores(total, size, rows, aggregation: Aggregation) -> np.ndarray:
    """[K] int64 scores of groups, in units of 2^-aggregation.fraction."""
    if aggregation.over_clusters:
        total = total // np.maximum(size, 1)
    if aggregation.over_rows:
        total = quotient(total, np.maximum(rows, 1), MEAN_FRACTION)
    return total


def best_average(total, size, eligible) -> int:
    """argmax of total / size, exactly; the lowest index of equals; -1 if none."""
    if not eligible.any():
        return -1
    average = np.where(eligible, total / np.maximum(size, 1), -1.0)
    near = np.flatnonzero(average >= average.max() * (1 - 2**-40))  # by float64
    total, size = total[near], np.maximum(size[near], 1)
    whole, rest = np.divmod(total, size)
    rest = (rest << AVERAGE_FRACTION) // size
    rest = np.where(whole == whole.max(), rest, -1)
    return int(near[rest.argmax()])


def merge_all(
    sums: np.ndarray,
    counts: np.ndarray,
    reassign: Reassign,
    *,
    aggregation: Aggregation = sum_mean,
    empty: str = "last",
    progress: Callable[[int, int], None] | None = None,
) -> Steps:
    """The K - 1 merges; O(K) each, besides what `reassign` takes.

    Args:
      sums: [K] int64, confidences of each class in fixed point.
      counts: [K] int64, rows of each class.
      reassign: members [m] of a group -> [K] int64, confidence that its rows move to
        each other class, in fixed point, and [K] int64, how many rows.
      aggregation: of confidences to scores.
      empty: "zero" lets a class without rows be a group of score 0; otherwise it waits
        until no other group is left, and joins the root in the order of classes.
      progress: called with (merges done, merges in all).
    """
    k = len(sums)
    total = cluster_weights(sums, counts, aggregation).copy()
    rows, size, node = counts.copy(), np.ones(k, np.int64), np.arange(k)
    group, alive = np.arange(k), np.ones(k, bool)
    steps = []
    for t in range(k - 1):
        awake = alive if empty == "zero" else alive & (rows > 0)
        score = group_scores(total, size, rows, aggregation)
        absorbed = int(np.where(awake, score, NEVER).argmin())
        others = awake & (np.arange(k) != absorbed)
        drawn, drawn_rows = np.zeros((2, k), np.int64)
        if others.any():
            moved, moved_rows = reassign(np.flatnonzero(group == absorbed))
            np.add.at(drawn, group, moved)
            np.add.at(drawn_rows, group, moved_rows)
        else:  # the root and classes without rows, which draw nothing
            others = alive & (np.arange(k) != absorbed)
        refuge = best_average(drawn, size, others)
        others[refuge] = False
        second = best_average(drawn, size, others)
        steps.append(
            (
                (node[absorbed], node[refuge]),
                to_float(score[absorbed], aggregation.fraction),
                to_float(drawn[refuge], FRACTION) / size[refuge],
                rows[absorbed],
                drawn_rows[refuge],
                node[second] if second >= 0 else -1,
                to_float(drawn[second], FRACTION) / size[second] if second >= 0 else 0,
            )
        )
        kept, gone = min(absorbed, refuge), max(absorbed, refuge)
        for x in (total, rows, size):
            x[kept] += x[gone]
        group[group == gone] = kept
        node[kept], alive[gone] = k + t, False
        if progress is not None:
            progress(t + 1, k - 1)
    return _to_steps(steps)


def _to_steps(steps: list[tuple]) -> Steps:
    """Rows of Steps as arrays."""
    columns = list(zip(*steps)) or [()] * len(Steps._fields)
    kinds = [np.int64, np.float64, np.float64, *[np.int64] * 3, np.float64]
    out = Steps(*(np.array(x, kind) for x, kind in zip(columns, kinds)))
    return out._replace(merges=out.merges.reshape(-1, 2))


def to_float(fixed, fraction: int) -> float:
    """fixed / 2^fraction, to the nearest float64."""
    return int(fixed) / 2**fraction


def finish(
    steps: Steps, assignments, sums, counts, *, height: str, empty: str
) -> Hierarchy:
    """The tree of these steps; the arguments of `merge_all`, and every row's class."""
    k = len(counts)
    merges, num = steps.merges, k - 1
    leaves = np.arange(k)
    if empty == "drop":
        leaves = np.flatnonzero(counts > 0)
        num = len(leaves) - 1
        new = np.zeros(2 * k, np.int64)  # the names of nodes without the dropped ones
        new[leaves] = np.arange(len(leaves))
        new[k : k + num] = np.arange(len(leaves), len(leaves) + num)
        steps = Steps(*(x[:num] for x in steps))
        merges = new[steps.merges]
        ups = steps.runner_ups
        steps = steps._replace(runner_ups=np.where(ups >= 0, new[ups], -1))
    rows = np.maximum(steps.rows, 1)
    heights = {
        "step": np.arange(1, num + 1, dtype=np.float64),
        "score": np.maximum.accumulate(steps.scores) if num else steps.scores,
        "neg_affinity": np.maximum.accumulate(1 - steps.affinities / rows)
        if num
        else steps.scores,
    }[height]
    size = np.ones(2 * len(leaves) - 1, np.int64)
    parents = np.full(2 * len(leaves) - 1, -1, np.int32)
    for t, pair in enumerate(merges):
        size[len(leaves) + t] = size[pair].sum()
        parents[pair] = len(leaves) + t
    linkage = np.column_stack([np.sort(merges, axis=1), heights, size[len(leaves) :]])
    confidences = [
        to_float(s, FRACTION) / n if n else 0.0 for s, n in zip(sums, counts)
    ]
    return Hierarchy(
        linkage=linkage.astype(np.float64),
        merges=merges.astype(np.int32),
        parents=parents,
        leaves=leaves.astype(np.int32),
        assignments=np.asarray(assignments, np.int32),
        counts=np.asarray(counts, np.int64),
        confidences=np.array(confidences),
        scores=steps.scores,
        affinities=steps.affinities,
        rows=steps.rows,
        supports=steps.moved / rows,
        runner_ups=steps.runner_ups.astype(np.int32),
        margins=steps.affinities - steps.runner_up_affinities,
    )


def check_options(who: str, *, empty: str, height: str, temperature: float) -> None:
    """ValueError for a choice that does not exist or a temperature not above 0."""
    checks.one_of(who, ("last", "zero", "drop"), empty=empty)
    checks.one_of(who, ("score", "step", "neg_affinity"), height=height)
    checks.positive(who, temperature=temperature)
