"""The form of a tree, and what follows from it. On the host, in NumPy.

A tree is an int array `parents`, [nodes]: entry i is the parent of node i, always a
higher number. Nodes 0 to L - 1 are the leaves, the last node is the root, whose entry
is ignored, and a node may have any number of children. `heights`, [nodes] float, are
optional: 0 for leaves, and no node is lower than its children.
"""

import itertools

import numpy as np

from repr_jax.ops import checks


def check(who: str, parents, num_leaves: int | None = None) -> np.ndarray:
    """parents as int64, -1 for the root; ValueError unless a tree of these leaves."""
    parents = np.asarray(parents)
    checks.same_shape(who, rank=1, parents=parents)
    checks.integers(who, parents=parents)
    parents = parents.astype(np.int64)
    last = len(parents) - 1
    above, nodes = parents[:-1], np.arange(last)
    if last < 0 or np.any(above <= nodes) or np.any(above > last):
        raise ValueError(
            f"{who}: expected parents to have higher numbers than their children, and "
            f"the root to be last; got {parents}."
        )
    num = count_leaves(parents) if num_leaves is None else num_leaves
    if not np.array_equal(np.unique(above), np.arange(num, last + 1)):
        raise ValueError(
            f"{who}: expected the {num} leaves to be the first nodes and the others "
            f"to have children; got {parents}."
        )
    parents[-1] = -1
    return parents


def check_heights(who: str, parents, heights) -> np.ndarray:
    """heights as float64; ValueError unless one a node, all of them finite."""
    heights = np.asarray(heights, np.float64)
    checks.shape(who, np.shape(parents), heights=heights)
    if not np.isfinite(heights).all():
        node = int(np.isfinite(heights).argmin())
        raise ValueError(
            f"{who}: expected finite heights; got {heights[node]} of node {node}."
        )
    return heights


def count_leaves(parents) -> int:
    """L: the nodes before the first that has a child."""
    return int(np.min(np.asarray(parents)[:-1], initial=len(parents)))


def children(parents) -> list[np.ndarray]:
    """Per node, its children in rising order; none for leaves."""
    above = np.asarray(parents)[:-1]
    order = np.argsort(above, kind="stable")
    ends = np.searchsorted(above[order], np.arange(len(above) + 2))
    return [order[a:b] for a, b in itertools.pairwise(ends)]


def depths(parents) -> np.ndarray:
    """[nodes] int64: edges between a node and the root."""
    out = np.zeros(len(parents), np.int64)
    for node in range(len(parents) - 2, -1, -1):
        out[node] = out[parents[node]] + 1
    return out


def node_sums(parents, leaves) -> np.ndarray:
    """[nodes, ...]: sums over the leaves below each node of [L, ...] values."""
    leaves = np.asarray(leaves)
    out = np.zeros((len(parents), *leaves.shape[1:]), leaves.dtype)
    out[: len(leaves)] = leaves
    for node, parent in enumerate(parents[:-1]):
        out[parent] += out[node]
    return out


def sizes(parents) -> np.ndarray:
    """[nodes] int64: the number of leaves below each node; 1 for a leaf."""
    return node_sums(parents, np.ones(count_leaves(parents), np.int64))


def below(parents) -> np.ndarray:
    """[nodes, L] bool: which leaves are below each node; a leaf is below itself."""
    return node_sums(parents, np.eye(count_leaves(parents), dtype=np.int32)) > 0


def ancestors(parents, node: int) -> list[int]:
    """The nodes from this one, itself included, up to the root."""
    out = [node]
    while out[-1] != len(parents) - 1:
        out.append(int(parents[out[-1]]))
    return out


def lowest_common_ancestors(parents) -> np.ndarray:
    """[L, L] int64: the lowest node above both leaves; a leaf with itself."""
    members = below(parents)
    out = np.empty((members.shape[1],) * 2, np.int64)
    for node in range(len(parents) - 1, -1, -1):  # lower nodes overwrite
        here = np.flatnonzero(members[node])
        out[np.ix_(here, here)] = node
    return out


def leaf_order(parents) -> np.ndarray:
    """[L] int64: leaves from left to right, so that no branches of a drawing cross.

    Among siblings, the one that holds the lowest leaf is on the left.
    """
    lowest, order = [], []
    for node, split in enumerate(children(parents)):
        split = sorted(split.tolist(), key=lowest.__getitem__)
        lowest.append(lowest[split[0]] if split else node)
        order.append([leaf for child in split for leaf in order[child]] or [node])
    return np.array(order[-1])


def cut(parents, num_groups: int) -> np.ndarray:
    """[L] int64: the group of each leaf when the highest-numbered nodes are undone.

    Args:
      parents: a tree whose nodes are numbered in the order in which they are merged.
      num_groups: from 1 to L. Where nodes have more than two children, a number may be
        skipped; then the groups are the next larger number.

    Returns:
      Groups are numbered by their lowest leaf.

    Raises:
      ValueError: not a tree, or num_groups is out of range.
    """
    parents = check("cut", parents)
    num = count_leaves(parents)
    checks.count("cut", num_groups=num_groups)
    if num_groups > num:
        raise ValueError(f"cut: expected at most {num} groups; got {num_groups}.")
    added = np.bincount(parents[:-1], minlength=len(parents))[::-1] - 1
    groups = 1 + np.concatenate(
        [[0], np.cumsum(added)]
    )  # after undoing 0, 1, ... nodes
    undone = int(np.argmax(groups >= num_groups))
    return _groups(parents, np.arange(len(parents)) < len(parents) - undone)


def cut_height(parents, heights, height: float) -> np.ndarray:
    """[L] int64: the groups that are joined at this height or below; as `cut`."""
    parents = check("cut_height", parents)
    return _groups(parents, check_heights("cut_height", parents, heights) <= height)


def _tops(parents, joined) -> np.ndarray:
    """[L]: the highest node above each leaf, on a path of nodes that are joined."""
    top = np.arange(len(parents))
    for node in range(len(parents) - 2, -1, -1):
        if joined[parents[node]]:
            top[node] = top[parents[node]]
    return top[: count_leaves(parents)]


def _groups(parents, joined) -> np.ndarray:
    """[L]: groups of leaves with the same top, numbered by their lowest leaf."""
    _, first, group = np.unique(
        _tops(parents, joined), return_index=True, return_inverse=True
    )
    return first.argsort().argsort()[group]


def clade_support(parents, others) -> np.ndarray:
    """[nodes] float64: the share of other trees that have a node with the same leaves.

    others: trees over the same leaves, such as those of resampled rows (a bootstrap).
    The root always has 1. ValueError: no other tree, or other leaves.
    """

    def clades(tree):
        return [row.tobytes() for row in np.packbits(below(tree), axis=1)]

    parents = check("clade_support", parents)
    if not len(others):
        raise ValueError("clade_support: expected a tree or more; got none.")
    num = count_leaves(parents)
    found = [set(clades(check("clade_support", other, num))) for other in others]
    return np.array([np.mean([c in s for s in found]) for c in clades(parents)])


def to_linkage(parents, heights) -> np.ndarray:
    """[L - 1, 4] float64 as scipy: two nodes, rising; their height; leaves below.

    ValueError: a node has another number of children than two.
    """
    parents = check("to_linkage", parents)
    num = count_leaves(parents)
    if np.any(np.bincount(parents[:-1], minlength=len(parents))[num:] != 2):
        raise ValueError("to_linkage: expected a binary tree.")
    pairs = np.argsort(parents[:-1], kind="stable").reshape(-1, 2)
    upper = check_heights("to_linkage", parents, heights)[num:]
    return np.column_stack([pairs, upper, sizes(parents)[num:]]).astype(np.float64)


def from_linkage(linkage, num_leaves: int | None = None):
    """The tree of a scipy linkage of N rows, or its upper part above num_leaves groups.

    linkage: [N - 1, 4], heights rising. Returns parents [2 L - 1] int32, -1 for the
    root; heights [2 L - 1] float64, 0 for leaves; and the leaf of each row, [N] int32.
    Leaves are rows, or groups numbered by their first row.
    """
    linkage = np.asarray(linkage, np.float64).reshape(-1, 4)
    rows = len(linkage) + 1
    num = rows if num_leaves is None else num_leaves
    checks.count("from_linkage", num_leaves=num)
    if num > rows:
        raise ValueError(f"from_linkage: expected at most {rows} leaves; got {num}.")
    parents = np.full(2 * rows - 1, -1, np.int32)
    merges = np.arange(rows, 2 * rows - 1)
    parents[linkage[:, :2].astype(np.int64)] = merges[:, None]
    start = 2 * rows - num  # the first merge that is kept
    top = _tops(parents, np.arange(len(parents)) < start)
    tops, first, group = np.unique(top, return_index=True, return_inverse=True)
    order = first.argsort()
    kept = np.concatenate([tops[order], np.arange(start, 2 * rows - 1)])
    upper = parents[kept] - 2 * (rows - num)
    upper[-1] = -1
    heights = np.concatenate([np.zeros(num), linkage[rows - num :, 2]])
    return upper.astype(np.int32), heights, order.argsort()[group].astype(np.int32)


def random_binary(rng: np.random.Generator, num_leaves: int) -> np.ndarray:
    """[2 num_leaves - 1] parents: two random groups are joined at a time."""
    parents, alive = np.full(2 * num_leaves - 1, -1), list(range(num_leaves))
    for node in range(num_leaves, 2 * num_leaves - 1):
        for child in rng.choice(alive, 2, replace=False).tolist():
            parents[child] = node
            alive.remove(child)
        alive.append(node)
    return parents
