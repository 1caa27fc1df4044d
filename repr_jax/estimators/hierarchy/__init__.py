"""Hierarchies from logits: a binary tree over the classes of any frozen model.

    from repr_jax import trees
    from repr_jax.estimators import hierarchy
    tree = hierarchy.fit(logits)  # [rows, K], from any framework
    labels = trees.cut(tree.parents, 10)  # [K], ten groups of classes

`fit` reads arrays and memory maps on the host, `fit_stream` batches that need not fit
in memory, `fit_sharded` splits rows over devices. They return the same tree, bit for
bit: `arithmetic` says how. `fit_sparse` takes the largest logits of each row. What is
done with a tree is in `repr_jax.trees`. From a shell:

    python -m repr_jax.estimators.hierarchy LOGITS.npy --labels=LABELS.npy --out=DIR
"""

from repr_jax.estimators.hierarchy.device import fit_sharded
from repr_jax.estimators.hierarchy.host import bootstrap, fit, fit_stream
from repr_jax.estimators.hierarchy.merging import Hierarchy
from repr_jax.estimators.hierarchy.sparse import Sparse, SparseFit, fit_sparse, sparsify

__all__ = [
    "Hierarchy",
    "Sparse",
    "SparseFit",
    "bootstrap",
    "fit",
    "fit_sharded",
    "fit_sparse",
    "fit_stream",
    "sparsify",
]
