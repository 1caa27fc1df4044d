"""CVAE on five-view PolyMNIST: one view given the others, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/cvae_polymnist_small.py \
    --workdir=runs/cvae_small
A third of what is given is dropped while it trains, so that any part of it will do.
Expect: not yet run.
"""

from configs.multimodal import joint_polymnist_small
from experiments import conditional_vae
from repr_jax import losses
from repr_jax.ops import likelihood, subsets


def get_config(mode=""):
    config = joint_polymnist_small.get_config(mode)  # networks, data, batch, warm-up
    config.experiment = conditional_vae.make
    config.target = "m0"
    config.loss = dict(
        fn=losses.cvae,
        beta=1.0,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    config.thin = dict(fn=subsets.thin, drop_rate=1 / 3)
    del config.encoder, config.bound, config.posterior
    for name in ("likelihood", "traversals"):
        del config.evals[name]  # of models of all views
    return config
