"""The merges, whichever way rows are read, and the tree that they make."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from repr_jax import trees
from repr_jax.estimators.hierarchy.arithmetic import FRACTION

NEVER = np.iinfo(np.int64).max
AGGREGATIONS = ("sum_mean", "sum_sum")  # both add up, so a merged group has to wait
EXACT = 2**22  # int32 summed as float64 by bincount without rounding
MEAN_FRACTION = 16  # further bits of a mean; its unit is 2^-(FRACTION + MEAN_FRACTION)
AVERAGE_FRACTION = 24  # further bits of an affinity: all averages differ, K <= 4096


class Hierarchy(NamedTuple):
    """A binary tree over the K classes, in the form of `repr_jax.trees`.

    Leaf c is class c. Merge t of T = K - 1 makes node K + t: the group of lowest
    confidence score is merged into another one.
    """

    parents: np.ndarray  # [2 K - 1] int32, -1 for the root
    heights: np.ndarray  # [2 K - 1] float64, 0 for leaves; the score that was lowest
    merges: np.ndarray  # [T, 2] int32: the node that is merged, the node it joins
    assignments: np.ndarray  # [rows] int32, the class of each row
    counts: np.ndarray  # [K] int64, rows of each class
    confidences: np.ndarray  # [K] mean largest probability of them; 0 if none
    affinities: np.ndarray  # [T] confidence of its rows in the other, per class of it

    @property
    def linkage(self) -> np.ndarray:
        """[T, 4] float64 as scipy has it: two nodes, height, leaves below."""
        return trees.to_linkage(self.parents, self.heights)


def highest_average(total, size, eligible) -> int:
    """The index of the highest total / size, exactly; of equals, the lowest."""
    whole, rest = np.divmod(total, size)
    top = eligible & (whole == whole[eligible].max())
    return int(np.where(top, (rest << AVERAGE_FRACTION) // size, -1).argmax())


def exact_bincount(index, values, length: int) -> np.ndarray:
    """[length] int64 sums of int32 values by index."""
    out = np.zeros(length, np.int64)
    for start in range(0, len(index), EXACT):
        part = slice(start, start + EXACT)
        out += np.bincount(index[part], values[part], length).astype(np.int64)
    return out


def grow(assignments, sums, draw: Callable, aggregation: str) -> Hierarchy:
    """The tree of `fit`; a merge is O(K) besides `draw`.

    Args:
      assignments: [rows] int32, the best class of each row.
      sums: [K] int64, the confidences of the rows of each class, in fixed point.
      draw: (classes of a group) -> [K] int64, the confidences of its rows when the
        group is masked, in fixed point, by their best class then.
      aggregation: of `fit`.
    """
    k, unit = len(sums), 2.0**FRACTION
    index, counts = np.arange(k), np.bincount(assignments, minlength=len(sums))
    group, node, size = index.copy(), index.copy(), np.ones(k, np.int64)
    score, score_unit = sums.copy(), unit  # of groups, each at its lowest class
    if aggregation == "sum_mean":
        rows = np.maximum(counts, 1)
        whole, rest = np.divmod(sums, rows)
        score = (whole << MEAN_FRACTION) + (rest << MEAN_FRACTION) // rows
        score_unit = unit * 2**MEAN_FRACTION
    parents, heights = np.full(2 * k - 1, -1, np.int32), np.zeros(2 * k - 1)
    merges, affinities = np.empty((k - 1, 2), np.int32), np.empty(k - 1)
    for t in range(k - 1):
        others = group == index
        eligible = others & (score > 0)  # groups with rows
        merged = int(np.where(eligible, score, NEVER).argmin())
        others[merged] = eligible[merged] = False
        drawn = np.zeros(k, np.int64)
        if eligible.any():
            np.add.at(drawn, group, draw(np.flatnonzero(group == merged)))
            others = eligible
        into = highest_average(drawn, size, others)
        merges[t] = node[merged], node[into]
        parents[merges[t]] = k + t
        heights[k + t] = score[merged] / score_unit
        affinities[t] = drawn[into] / unit / size[into]
        kept, gone = sorted((merged, into))
        score[kept] += score[gone]
        size[kept] += size[gone]
        node[kept] = k + t
        group[group == gone] = kept
    confidences = sums / unit / np.maximum(counts, 1)
    assignments = np.asarray(assignments, np.int32)
    return Hierarchy(
        parents, heights, merges, assignments, counts, confidences, affinities
    )


def grow_from_rows(passed, masked: Callable, aggregation: str, k: int, rows=None):
    """The tree of [2 or 4, rows] int32 that a first pass on the host found.

    Args:
      passed: the best class of each row, its confidence in fixed point, and if known
        the same of the second best when the best is masked.
      masked: (rows, classes of a group) -> [2, len(rows)] int32, the best other class
        and its confidence; of a row that has none, one of the classes and 0.
      rows: those drawn for a bootstrap; each once if None.
    """
    first, confidence = passed[:2] if rows is None else passed[:2, rows]
    order = np.argsort(first, kind="stable")
    ends = np.cumsum(np.bincount(first, minlength=k))
    of_class = np.split(order if rows is None else rows[order], ends[:-1])

    def draw(members):
        chosen = np.concatenate([of_class[c] for c in members])
        if len(members) == 1 and len(passed) == 4:
            best, fixed = passed[2:, chosen]
        else:
            best, fixed = masked(chosen, members)
        return exact_bincount(best, fixed, k)

    return grow(first, exact_bincount(first, confidence, k), draw, aggregation)
