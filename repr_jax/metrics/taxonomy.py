"""How well a tree agrees with a reference tree over the same leaves.

Trees are arrays of parents as in `repr_jax.trees`, and may have nodes of any number
of children: a taxonomy that leaves something open is not held against the tree.
"""

import itertools
from typing import NamedTuple

import numpy as np

from repr_jax import trees
from repr_jax.ops import checks


def best_f1(parents, groups) -> np.ndarray:
    """How well the best node of the tree matches each group of leaves.

    max over nodes n of 2 |n and group| / (|n| + |group|).

    Args:
      parents: [nodes] int, a tree over L leaves.
      groups: [groups, L] bool, none of them empty; of a reference tree, for example,
        trees.below(reference) without the small ones.

    Returns:
      [groups] float64 in (0, 1], 1 if the group is a node. Means with and without the
      groups' sizes as weights are usual.

    Raises:
      ValueError: not a tree of L leaves, or an empty group.
    """
    groups = np.asarray(groups)
    checks.same_shape("best_f1", rank=2, groups=groups)
    parents = trees.check("best_f1", parents, groups.shape[1])
    nodes = trees.below(parents).astype(np.float64)
    groups = groups.astype(np.float64)
    size = groups.sum(axis=1)
    if not np.all(size > 0):
        raise ValueError("best_f1: expected groups of one leaf or more.")
    both = groups @ nodes.T
    return np.max(2 * both / (size[:, None] + nodes.sum(axis=1)), axis=1)


def _both(who, parents, reference) -> tuple[np.ndarray, np.ndarray, int]:
    """The checked trees, and how many leaves each has."""
    num = trees.count_leaves(reference)
    return trees.check(who, parents, num), trees.check(who, reference, num), num


def triplet_agreement(parents, reference) -> float:
    """Share of the reference's statements "a and b, rather than c" that the tree makes.

    For every three leaves of which the reference joins two before the third; exact,
    in O(L^3).

    Args:
      parents: [nodes] int, a tree over L leaves.
      reference: [its nodes] int, another over the same.

    Returns:
      in [0, 1], 1 is full agreement; a random binary tree has 1/3. NaN if the
      reference says nothing.

    Raises:
      ValueError: not trees of L leaves.
    """
    *both, num = _both("triplet_agreement", parents, reference)
    tree, other = (trees.depths(p)[trees.lowest_common_ancestors(p)] for p in both)
    upper = np.triu(np.ones((num, num), bool), k=1)
    right = total = 0
    for c in range(num):
        resolved = upper & (other > other[:, [c]]) & (other > other[[c], :])
        total += int(resolved.sum())
        right += int(np.sum(resolved & (tree > tree[:, [c]]) & (tree > tree[[c], :])))
    return right / total if total else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 of [n] values; equals share the mean of theirs."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[index]


def cophenetic_correlation(parents, reference, heights, reference_heights) -> float:
    """Spearman's correlation of the heights at which two leaves meet, in two trees.

    Args:
      parents: [nodes] int, a tree over L leaves.
      reference: [its nodes] int, another over the same.
      heights: [nodes] float of the tree, increasing towards the root.
      reference_heights: [its nodes] float.

    Returns:
      in [-1, 1], 1 if they order all pairs alike; NaN if one is constant.

    Raises:
      ValueError: not trees of the same leaves, or heights of another length or not
        finite.
    """
    who = "cophenetic_correlation"
    *both, num = _both(who, parents, reference)
    columns = []
    for p, h in zip(both, (heights, reference_heights)):
        h = trees.check_heights(who, p, h)
        meet = h[trees.lowest_common_ancestors(p)]
        columns.append(_ranks(meet[np.triu_indices(num, k=1)]))
    a, b = (x - x.mean() for x in columns)
    scale = np.sqrt(np.sum(a * a) * np.sum(b * b))
    return float(np.sum(a * b) / scale) if scale > 0 else float("nan")


def robinson_foulds(parents, reference) -> float:
    """Share of inner nodes, without the root, that only one of two rooted trees has.

    Nodes are the same if their leaves are: |A xor B| / (|A| + |B|).

    Args:
      parents: [nodes] int, a tree over L leaves.
      reference: [its nodes] int, another over the same.

    Returns:
      in [0, 1], 0 is the same tree; 0 if neither has such a node.

    Raises:
      ValueError: not trees of L leaves.

    Source: Robinson and Foulds, "Comparison of phylogenetic trees", 1981; normalized.
    """
    sets = []
    *both, num = _both("robinson_foulds", parents, reference)
    for p in both:
        nodes = trees.below(p)
        size = nodes.sum(axis=1)
        inner = nodes[(size > 1) & (size < num)]
        sets.append({row.tobytes() for row in np.packbits(inner, axis=1)})
    total = len(sets[0]) + len(sets[1])
    return len(sets[0] ^ sets[1]) / total if total else 0.0


class MergeAudit(NamedTuple):
    """Per inner node, how far apart a reference holds what it joins; in [0, 1]."""

    between: np.ndarray  # [T] mean over pairs of leaves below different children
    within: np.ndarray  # [T] of the loosest child: mean over pairs of its own leaves

    @property
    def excess(self) -> np.ndarray:
        """[T] large where children that are each of a kind are of different kinds."""
        return self.between - self.within


def audit_merges(parents, reference) -> MergeAudit:
    """Merges that a reference tree would not make: candidates for false correlations.

    The distance of two leaves is log n / log L, where n of all L leaves are below
    their lowest common ancestor in the reference: near 0 for siblings, 1 if they meet
    at the root. High merges of any tree join what is far apart, so the distance between
    the sides is given beside that within the sides.

    Args:
      parents: [L + T] int, a tree of L leaves and T inner nodes.
      reference: [its nodes] int, another over the same leaves.

    Returns:
      MergeAudit. Sides of one leaf are 0 within.

    Raises:
      ValueError: not trees of L leaves.
    """
    parents, reference, num = _both("audit_merges", parents, reference)
    meet = trees.lowest_common_ancestors(reference)
    distance = np.log(trees.sizes(reference)[meet]) / max(np.log(num), 1e-9)
    below = trees.below(parents)
    total, pairs = np.zeros((2, len(parents)))  # over pairs of leaves below a node
    between, within = np.empty((2, len(parents) - num))
    for t, split in enumerate(trees.children(parents)[num:]):
        sides = itertools.combinations([np.flatnonzero(below[x]) for x in split], 2)
        across = [distance[np.ix_(a, b)] for a, b in sides]
        far, count = sum(x.sum() for x in across), sum(x.size for x in across)
        between[t] = far / max(count, 1)
        within[t] = np.max(total[split] / np.maximum(pairs[split], 1))
        total[num + t] = total[split].sum() + far
        pairs[num + t] = pairs[split].sum() + count
    return MergeAudit(between, within)
