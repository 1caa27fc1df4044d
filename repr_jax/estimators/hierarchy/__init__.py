"""Hierarchies from logits: a binary tree over the classes of any frozen model.

    from repr_jax.estimators import hierarchy
    tree = hierarchy.fit(logits)  # [rows, K], from any framework
    labels = hierarchy.cut(tree, 10)  # [K], ten groups of classes

`fit` reads arrays and memory maps on the host, `fit_stream` batches that need not fit
in memory, `fit_dense` is one jitted program, `fit_sharded` splits rows over devices.
They return the same tree, bit for bit: `arithmetic` says how. `fit_soft` and
`fit_sparse` are approximations. From a shell:

    python -m repr_jax.estimators.hierarchy LOGITS.npy --labels=LABELS.npy --out=DIR
"""

from repr_jax.estimators.hierarchy.arithmetic import device_scale
from repr_jax.estimators.hierarchy.device import (
    fit_dense,
    fit_sharded,
    steps_on_device,
)
from repr_jax.estimators.hierarchy.host import fit
from repr_jax.estimators.hierarchy.merging import (
    Aggregation,
    Hierarchy,
    mean_all,
    mean_mean,
    sum_mean,
    sum_sum,
)
from repr_jax.estimators.hierarchy.nodes import (
    bridges,
    clade_support,
    class_names,
    coarse_probabilities,
    cut,
    cut_height,
    depths,
    examples,
    heights,
    lca_table,
    leaf_order,
    memberships,
    merge_report,
    newick,
    node_table,
    to_json,
    to_networkx,
)
from repr_jax.estimators.hierarchy.picture import dendrogram
from repr_jax.estimators.hierarchy.reference import Audit, audit
from repr_jax.estimators.hierarchy.sparse import Sparse, SparseFit, fit_sparse, sparsify
from repr_jax.estimators.hierarchy.stream import fit_stream
from repr_jax.estimators.hierarchy.variants import (
    bootstrap,
    class_vector_logits,
    fit_soft,
)

__all__ = [
    "Aggregation",
    "Audit",
    "Hierarchy",
    "Sparse",
    "SparseFit",
    "audit",
    "bootstrap",
    "bridges",
    "clade_support",
    "class_names",
    "class_vector_logits",
    "coarse_probabilities",
    "cut",
    "cut_height",
    "dendrogram",
    "depths",
    "device_scale",
    "examples",
    "fit",
    "fit_dense",
    "fit_sharded",
    "fit_soft",
    "fit_sparse",
    "fit_stream",
    "heights",
    "lca_table",
    "leaf_order",
    "mean_all",
    "mean_mean",
    "memberships",
    "merge_report",
    "newick",
    "node_table",
    "sparsify",
    "steps_on_device",
    "sum_mean",
    "sum_sum",
    "to_json",
    "to_networkx",
]
