"""Trees of classes, clusters or rows: one form, and everything that is done with it.

A tree is an int array `parents`, leaves first and the root last, as in `structure`;
`heights` are optional. So are the trees of `estimators.hierarchy`, `agglomerative` and
`hyphc`, of DeepECT and TreeVAE, and the taxonomies that metrics compare them with.

    from repr_jax import trees
    groups = trees.cut(tree.parents, 10)  # [L], of any of them
    page = trees.page(tree.parents, tree.heights, names)  # HTML

`trees.growing` has the other form that a tree needs while it grows inside a program.
"""

from repr_jax.trees.formats import newick, to_json, to_networkx
from repr_jax.trees.page import page
from repr_jax.trees.picture import dendrogram
from repr_jax.trees.structure import (
    ancestors,
    below,
    check,
    check_heights,
    children,
    clade_support,
    count_leaves,
    cut,
    cut_height,
    depths,
    from_linkage,
    leaf_order,
    lowest_common_ancestors,
    node_sums,
    random_binary,
    sizes,
    to_linkage,
)

__all__ = [
    "ancestors",
    "below",
    "check",
    "check_heights",
    "children",
    "clade_support",
    "count_leaves",
    "cut",
    "cut_height",
    "dendrogram",
    "depths",
    "from_linkage",
    "leaf_order",
    "lowest_common_ancestors",
    "newick",
    "node_sums",
    "page",
    "random_binary",
    "sizes",
    "to_json",
    "to_linkage",
    "to_networkx",
]
