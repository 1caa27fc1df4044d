"""DeepECT on MNIST: an autoencoder and a tree of ten leaves.

python -m repr_jax.main --config=configs/clustering/deep_ect_mnist.py \
    --workdir=runs/deep_ect
Expect: not yet run.
"""

from configs.clustering import kmeans_mnist
from experiments import fit
from repr_jax.estimators import deep_ect
from repr_jax.models.mlp import MLP


def get_config(mode=""):
    smoke = mode == "smoke"
    config = kmeans_mnist.get_config(mode)
    widths = (8, 2) if smoke else (512, 256, 10)  # ClustPy: 10 dimensions
    config.inputs = dict(fn=fit.entry, name="image")
    config.modules = dict(
        encoder=dict(fn=MLP, widths=widths),
        decoder=dict(fn=MLP, widths=(*widths[-2::-1], 28 * 28)),
    )
    few = dict(num_steps=2, batch_size=8, grow_every=1)
    config.estimator = dict(fn=deep_ect.fit, num_leaves=10, **few if smoke else {})
    config.outputs.assign = dict(fn=deep_ect.assign)
    config.outputs.represent = dict(fn=deep_ect.embed)
    config.outputs.parents = dict(fn=fit.field, name="parents")
    return config
