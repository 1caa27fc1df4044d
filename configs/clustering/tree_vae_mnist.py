"""TreeVAE on MNIST: a tree of latents of ten leaves.

python -m repr_jax.main --config=configs/clustering/tree_vae_mnist.py \
    --workdir=runs/tree_vae
Expect: not yet run.
"""

from configs.clustering import kmeans_mnist
from experiments import fit
from repr_jax.estimators import tree_vae
from repr_jax.models.tree_vae import fully_connected


def get_config(mode=""):
    smoke = mode == "smoke"
    config = kmeans_mnist.get_config(mode)
    config.num_leaves = 2 if smoke else 10
    num_leaves = config.get_ref("num_leaves")
    config.inputs = dict(fn=fit.entry, name="image")
    small = dict(max_depth=1, latent_dim=2, hidden=4)
    small |= dict(encoder_widths=(4,), decoder_widths=(4,))
    config.modules = dict(
        model=dict(
            fn=fully_connected,
            pixels=28 * 28,
            num_leaves=num_leaves,
            **small if smoke else {},
        )
    )
    few = dict(num_steps=2, batch_size=8)
    config.estimator = dict(
        fn=tree_vae.fit, num_leaves=num_leaves, **few if smoke else {}
    )
    config.outputs.assign = dict(fn=tree_vae.assign)
    config.outputs.parents = dict(fn=fit.field, name="parents")
    return config
