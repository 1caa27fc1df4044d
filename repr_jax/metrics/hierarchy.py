"""How good a tree is, by the classes of its rows, by similarities, or by a taxonomy.

Trees are arrays of parents, leaves first, as in `repr_jax.trees`; nodes may have any
number of children. On the host, in float64.
"""

import numpy as np

from repr_jax import trees
from repr_jax.metrics.clustering import check_table, hungarian_matching, pairs
from repr_jax.ops import checks


def _pair_counts(parents, table):
    """[nodes, C]: pairs of rows of a class whose lowest node is this; class shares."""
    counts = trees.node_sums(parents, table)
    inside = pairs(counts)
    own = inside.copy()
    for node, parent in enumerate(parents[:-1]):
        own[parent] -= inside[node]
    return own, counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def dendrogram_purity(parents, table) -> float:
    """Mean, over pairs of rows of a class, of the class's share under both.

    sum over pairs i < j of one class c of share_c(lca(i, j)) / number of pairs; rows of
    a leaf have the leaf as their lowest node. Exact, in O(nodes C).

    Args:
      parents: [nodes] int, a tree as in the module's docstring.
      table: [L, C] counts, of each leaf's rows by class, as from `contingency`.

    Returns:
      in (0, 1], 1 if every class has a subtree of its own; chance is about 1 / C. With
      pure leaves and one leaf a class it is 1 for every tree. NaN without any pair.

    Raises:
      ValueError: not a tree of L leaves, or not counts.

    Source: Heller and Ghahramani, "Bayesian Hierarchical Clustering", 2005, sec. 4;
      here every pair weighs the same, as in Kobren et al., "A Hierarchical Algorithm
      for Extreme Clustering", 2017.
    """
    table = check_table("dendrogram_purity", table)
    parents = trees.check("dendrogram_purity", parents, len(table))
    own, share = _pair_counts(parents, table)
    total = own.sum()
    return float(np.sum(own * share) / total) if total else float("nan")


def macro_dendrogram_purity(parents, table) -> float:
    """`dendrogram_purity` of each class by itself, averaged over classes with pairs."""
    table = check_table("macro_dendrogram_purity", table)
    parents = trees.check("macro_dendrogram_purity", parents, len(table))
    own, share = _pair_counts(parents, table)
    total = own.sum(axis=0)
    some = total > 0
    if not some.any():
        return float("nan")
    return float(np.mean(np.sum(own * share, axis=0)[some] / total[some]))


def lhd_pair(parents, table) -> float:
    """How far apart the rows of a class are: a distance of our own definition.

    Mean over pairs of rows of one class in different leaves of the number of edges
    between their leaves, divided by the largest number between any two leaves.

    The published "least hierarchical distance" could not be consulted; this one,
    `lhd_mistake` and `lhd_log` are ours, and not comparable with published figures.

    Args:
      parents, table: as for `dendrogram_purity`.

    Returns:
      in [0, 1], lower is better; 0 if no class is in two leaves.

    Raises:
      ValueError: as `dendrogram_purity`.
    """
    table = check_table("lhd_pair", table)
    parents = trees.check("lhd_pair", parents, len(table))
    depth = trees.depths(parents)
    up = depth[trees.lowest_common_ancestors(parents)]
    leaf = depth[: len(table)]
    edges = leaf[:, None] + leaf[None] - 2 * up
    weight = table @ table.T
    np.fill_diagonal(weight, 0)
    if not weight.sum():
        return 0.0
    return float(np.sum(weight * edges) / weight.sum() / edges.max())


def _mistakes(who, parents, table, cost) -> float:
    """Mean cost of rows that are not in the leaf matched to their class."""
    matching = hungarian_matching(table)
    wrong = table.copy()
    matched = np.flatnonzero(matching >= 0)
    wrong[matched, matching[matched]] = 0
    if not wrong.sum():
        return 0.0
    cost = cost[trees.lowest_common_ancestors(parents)]
    majority = np.where(table.sum(axis=1) > 0, table.argmax(axis=1), -1)
    nearest = np.ones_like(wrong)  # of classes that are the largest of no leaf
    for c in np.unique(majority[majority >= 0]):
        nearest[:, c] = cost[:, majority == c].min(axis=1)
    return float(np.sum(wrong * nearest) / wrong.sum())


def lhd_mistake(parents, table, heights) -> float:
    """How high above a misplaced row its class is met: our definition, see `lhd_pair`.

    Mean over rows that are not in the leaf matched to their class (Hungarian) of the
    height of the lowest node above their leaf and a leaf whose largest class is theirs,
    divided by the root's; 1 if there is no such leaf. Needs scipy.

    Args:
      parents, table: as for `dendrogram_purity`.
      heights: [nodes] float, 0 for leaves and never lower than a child's.

    Returns:
      in [0, 1], lower is better; 0 if no row is misplaced.

    Raises:
      ValueError: as `dendrogram_purity`, or heights of another length or not finite.
    """
    table = check_table("lhd_mistake", table)
    parents = trees.check("lhd_mistake", parents, len(table))
    heights = trees.check_heights("lhd_mistake", parents, heights)
    return _mistakes("lhd_mistake", parents, table, heights / max(heights[-1], 1e-300))


def lhd_log(parents, table) -> float:
    """`lhd_mistake` with log2(leaves under a node) / log2(L) in place of heights."""
    table = check_table("lhd_log", table)
    parents = trees.check("lhd_log", parents, len(table))
    size = trees.sizes(parents)
    cost = np.log2(size) / max(np.log2(len(table)), 1.0)
    return _mistakes("lhd_log", parents, table, cost)


def dasgupta_cost(parents, similarity) -> float:
    """sum over pairs of leaves i < j of similarity_ij times the leaves under both.

    Args:
      parents: [nodes] int, a tree as in the module's docstring.
      similarity: [L, L] float, symmetric; the diagonal does not count.

    Returns:
      lower is better; of the unit of the similarity.

    Raises:
      ValueError: not a tree of L leaves, or similarity is not [L, L].

    Source: Dasgupta, "A cost function for similarity-based hierarchical clustering",
      2016, eq. 1.
    """
    similarity = np.asarray(similarity, np.float64)
    checks.same_shape("dasgupta_cost", rank=2, similarity=similarity)
    num = len(similarity)
    checks.shape("dasgupta_cost", (num, num), similarity=similarity)
    parents = trees.check("dasgupta_cost", parents, num)
    size = trees.sizes(parents)[trees.lowest_common_ancestors(parents)]
    return float(np.sum(np.triu(similarity * size, k=1)))
