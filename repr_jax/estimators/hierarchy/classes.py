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
    out = np.full(len(tree.counts), -1, np.int32)
    out[tree.leaves] = trees.cut(tree.parents, num_groups)
    return out


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


def merge_report(tree: Hierarchy) -> dict[str, np.ndarray]:
    """Columns [T] of a table of merges: how clear was each?

    step; node, the new one; merged and into, the node that was merged and the node it
    joined; height; classes of both; and score, rows, affinity, support, runner_up and
    margin as in Hierarchy. With a margin near 0 it could as well have been another.
    """
    num = len(tree.leaves)
    return dict(
        step=np.arange(num - 1),
        node=np.arange(num, 2 * num - 1),
        merged=tree.merges[:, 0],
        into=tree.merges[:, 1],
        height=tree.heights[num:],
        classes=trees.sizes(tree.parents)[num:],
        score=tree.scores,
        rows=tree.rows,
        affinity=tree.affinities,
        support=tree.supports,
        runner_up=tree.runner_ups,
        margin=tree.margins,
    )


def details(tree: Hierarchy, bootstrap: np.ndarray | None = None) -> dict:
    """{name: [nodes]} numbers for `trees.to_json`, `to_networkx` and `page`.

    class and confidence of leaves; rows of all nodes, and entropy of the rows' classes
    in nats; merged_into, the sibling of a node that was merged; of merges, score,
    affinity, support, runner_up and margin as in Hierarchy, and the share `bootstrap`
    [T] of resampled trees that have the node. NaN where there is none.
    """
    num = len(tree.leaves)
    counts, confidences = tree.counts[tree.leaves], tree.confidences[tree.leaves]
    rows = trees.node_sums(tree.parents, counts)
    logs = trees.node_sums(tree.parents, counts * np.log(np.maximum(counts, 1)))
    entropy = np.log(np.maximum(rows, 1)) - logs / np.maximum(rows, 1)
    into = np.full(len(rows), np.nan)
    into[tree.merges[:, 0]] = tree.merges[:, 1]
    report = merge_report(tree) | (
        {} if bootstrap is None else {"bootstrap": bootstrap}
    )
    of_merges = {}
    for name in ("score", "affinity", "support", "runner_up", "margin", "bootstrap"):
        if name in report:
            of_merges[name] = np.concatenate([np.full(num, np.nan), report[name]])
    for name in ("runner_up", "margin"):
        of_merges[name][num:][tree.runner_ups < 0] = np.nan

    def of_leaves(values):
        return np.concatenate([values, np.full(num - 1, np.nan)])

    return {
        "class": of_leaves(tree.leaves),
        "confidence": of_leaves(confidences),
        "rows": rows,
        "entropy": np.maximum(entropy, 0),
        "merged_into": into,
        **of_merges,
    }


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
