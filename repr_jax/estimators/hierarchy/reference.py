"""Merges that a reference tree would not make: candidates for spurious correlations."""

from typing import NamedTuple

import numpy as np

from repr_jax.estimators.hierarchy import nodes
from repr_jax.estimators.hierarchy.merging import Hierarchy
from repr_jax.metrics.hierarchy import (
    check_parents,
    lowest_common_ancestors,
    node_sums,
)


class Audit(NamedTuple):
    """Per merge, how far apart the reference holds what it joins; all in [0, 1]."""

    between: np.ndarray  # [T] mean over pairs of leaves, one of each side
    within: np.ndarray  # [T] of the looser side: mean over pairs of its own leaves

    @property
    def excess(self) -> np.ndarray:
        """[T] large where two sides that are each of a kind are of different kinds."""
        return self.between - self.within


def audit(tree: Hierarchy, reference) -> Audit:
    """How far apart a reference tree holds the two sides of every merge.

    The distance of two leaves is log n / log L, where n of all L leaves are below
    their lowest common node in the reference: near 0 for siblings, 1 if they meet at
    the root. High merges of any tree join what is far apart, so the distance between
    the sides is told beside that within the sides.

    Args:
      tree: Hierarchy of L leaves.
      reference: [nodes] int, the parents of a tree over the same leaves, with children
        in any number; see `metrics.hierarchy`.

    Returns:
      Audit. Sides of one leaf are 0 within.

    Raises:
      ValueError: the reference is not a tree of L leaves.
    """
    num = len(tree.leaves)
    reference = check_parents("audit", reference, num)
    size = node_sums(reference, np.ones(num))
    meet = lowest_common_ancestors(reference, num)
    distance = np.log(size[meet]) / max(np.log(num), 1e-9)
    below = nodes.memberships(tree)
    total, pairs = np.zeros((2, 2 * num - 1))  # over pairs of leaves below a node
    between, within = np.empty((2, num - 1))
    for t, (a, b) in enumerate(tree.merges):
        across = distance[np.ix_(below[a], below[b])]
        between[t] = across.mean()
        within[t] = max(total[x] / max(pairs[x], 1) for x in (a, b))
        total[num + t] = total[a] + total[b] + across.sum()
        pairs[num + t] = pairs[a] + pairs[b] + across.size
    return Audit(between, within)
