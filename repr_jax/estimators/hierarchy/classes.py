"""Functions of a fitted tree that know its classes, rows and logits.

Everything else that is done with a tree is in `repr_jax.trees`, by its `parents`.
"""

from collections.abc import Sequence

import numpy as np

from repr_jax import trees
from repr_jax.estimators.hierarchy.merging import Hierarchy
from repr_jax.ops import checks


def cut(tree: Hierarchy, num_groups: int) -> np.ndarray:
    """[K] int32: the group of each class when the last merges are undone.

    num_groups: from 1 to the number of leaves. Groups are numbered by their lowest
    class; -1 for classes not in the tree. Those of rows are
    cut(tree, num_groups)[tree.assignments].
    """
    return _of_classes(tree, trees.cut(tree.parents, num_groups))


def cut_height(tree: Hierarchy, height: float) -> np.ndarray:
    """[K] int32: the groups that are joined at this height or below; as `cut`."""
    return _of_classes(tree, trees.cut_height(tree.parents, tree.heights, height))


def _of_classes(tree, groups) -> np.ndarray:
    out = np.full(len(tree.counts), -1, np.int32)
    out[tree.leaves] = groups
    return out


def coarse_probabilities(
    tree: Hierarchy, logits, num_groups: int, *, temperature: float = 1.0
) -> np.ndarray:
    """[rows, num_groups]: probability of each group of `cut`; rows sum to 1.

    The softmax of logits [rows, K], summed over the classes of a group; classes that
    are not in the tree are left out of it.
    """
    who = "coarse_probabilities"
    logits = np.asarray(logits, np.float64)
    checks.same_shape(who, rank=2, logits=logits)
    checks.positive(who, temperature=temperature)
    if logits.shape[1] != len(tree.counts):
        raise ValueError(
            f"{who}: expected {len(tree.counts)} columns; got {logits.shape[1]}."
        )
    groups = cut(tree, num_groups)
    p = _softmax(logits[:, groups >= 0] / temperature)
    return p @ np.eye(num_groups)[groups[groups >= 0]]


def _softmax(x):
    p = np.exp(x - x.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def class_names(tree: Hierarchy, names: Sequence[str] | None) -> list[str]:
    """[L] the name of every leaf; its class number if there are none."""
    if names is None:
        return [str(c) for c in tree.leaves]
    if len(names) != len(tree.counts):
        raise ValueError(
            f"names: expected {len(tree.counts)}, one a class; got {len(names)}."
        )
    return [str(names[c]) for c in tree.leaves]


def newick(tree: Hierarchy, names: Sequence[str] | None = None) -> str:
    """`trees.newick` with the names of all K classes, or their numbers."""
    return trees.newick(tree.parents, tree.heights, class_names(tree, names))


def clade_support(tree: Hierarchy, others: Sequence[Hierarchy]) -> np.ndarray:
    """[T]: the share of other trees, such as of `bootstrap`, that have a merge's node.

    1 if it is there whatever rows are drawn; the root always has 1.
    """
    support = trees.clade_support(tree.parents, [other.parents for other in others])
    return support[len(tree.leaves) :]


MERGE_COLUMNS = (
    *("step", "node", "merged", "into", "height", "classes"),
    *("score", "rows", "affinity", "support", "runner_up", "margin"),
)


def merge_report(tree: Hierarchy) -> list[dict]:
    """A dict per merge, of MERGE_COLUMNS: how clear was it?

    node: the new node; merged, into: the node that was merged and the node it joined;
    classes: of both. score, rows, affinity, support, runner_up and margin are those of
    Hierarchy. With a margin near 0 the merge could as well have been another.
    """
    num = len(tree.leaves)
    values = (
        np.arange(num - 1),
        np.arange(num, 2 * num - 1),
        *tree.merges.T,
        tree.heights[num:],
        trees.sizes(tree.parents)[num:],
        *(tree.scores, tree.rows, tree.affinities),
        *(tree.supports, tree.runner_ups, tree.margins),
    )
    rows = zip(*(column.tolist() for column in values))
    return [dict(zip(MERGE_COLUMNS, row)) for row in rows]


def details(tree: Hierarchy, bootstrap: np.ndarray | None = None) -> dict:
    """{name: [nodes]} numbers for `trees.to_json`, `to_networkx` and `page`.

    class and confidence of leaves; rows of all nodes, and entropy of the rows' classes
    in nats; merged_into, the sibling of a node that was merged; of merges, score,
    affinity, support, runner_up and margin as in Hierarchy, and the share `bootstrap`
    [T] of resampled trees that have the node. NaN where there is none.
    """
    num = len(tree.leaves)

    def of_leaves(values):
        return np.concatenate([values, np.full(num - 1, np.nan)])

    def of_merges(values):
        return np.concatenate([np.full(num, np.nan), values])

    counts = tree.counts[tree.leaves]
    rows = trees.node_sums(tree.parents, counts)
    logs = trees.node_sums(tree.parents, counts * np.log(np.maximum(counts, 1)))
    into = np.full(2 * num - 1, np.nan)
    into[tree.merges[:, 0]] = tree.merges[:, 1]
    alone = tree.runner_ups < 0
    out = {
        "class": of_leaves(tree.leaves),
        "confidence": of_leaves(tree.confidences[tree.leaves]),
        "rows": rows,
        "entropy": np.maximum(
            np.log(np.maximum(rows, 1)) - logs / np.maximum(rows, 1), 0
        ),
        "merged_into": into,
        "score": of_merges(tree.scores),
        "affinity": of_merges(tree.affinities),
        "support": of_merges(tree.supports),
        "runner_up": of_merges(np.where(alone, np.nan, tree.runner_ups)),
        "margin": of_merges(np.where(alone, np.nan, tree.margins)),
    }
    return out if bootstrap is None else out | {"bootstrap": of_merges(bootstrap)}


def examples(tree: Hierarchy, logits, classes, num_rows: int = 5) -> np.ndarray:
    """[<= num_rows] int64: rows of these classes that are most probably of them.

    classes: such as those below a node, tree.leaves[trees.below(tree.parents)[node]].
    By the softmax summed over them; the first rows if logits is None.
    """
    rows = np.flatnonzero(np.isin(tree.assignments, classes))
    if logits is None or not len(rows):
        return rows[:num_rows]
    share = _softmax(np.asarray(logits[rows], np.float64))[:, classes].sum(axis=1)
    return rows[np.argsort(-share, kind="stable")[:num_rows]]


def class_vector_logits(kernel, bias, *, length: float) -> np.ndarray:
    """[K, K] float64: a linear classifier's logits of its own class vectors.

    logits_ij = length * w_i . w_j / |w_i| + b_j: a tree without any data (ours), of one
    row for each class. With no bias row i is of class i if no other vector reaches
    further into its direction.

    Args:
      kernel: [dim, K] float, a vector w for each class in its columns.
      bias: [K] float.
      length: > 0, of the rows, as long as the features that the classifier is used to.
        The longer, the nearer to 1 are confidences, of which `fit` keeps float32:
        where many are within 1e-7 of 1, the order of such classes is lost.

    Raises:
      ValueError: shapes do not fit, a vector is zero, or length is not above 0.
    """
    who = "class_vector_logits"
    kernel, bias = np.asarray(kernel, np.float64), np.asarray(bias, np.float64)
    checks.same_shape(who, rank=2, kernel=kernel)
    checks.shape(who, kernel.shape[1:], bias=bias)
    checks.positive(who, length=length)
    norm = np.linalg.norm(kernel, axis=0)
    if not np.all(norm > 0):
        raise ValueError(f"{who}: expected vectors; that of {norm.argmin()} is zero.")
    return length * (kernel / norm).T @ kernel + bias
