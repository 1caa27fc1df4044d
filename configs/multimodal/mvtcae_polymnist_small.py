"""MVTCAE on five-view PolyMNIST, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/mvtcae_polymnist_small.py \
    --workdir=runs/mvtcae_small
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist_small
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # networks, data, batch, rate
    config.loss = dict(
        fn=losses.mvtcae,
        correlation=5 / 6,  # published
        beta=1.0,  # as MoPoE here; published: 2.5
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    config.bound = dict(  # without the terms of single experts it is one
        fn=losses.mvtcae,
        correlation=0.0,
        log_likelihood=dict(
            fn=likelihood.laplace, scale=config.loss.log_likelihood.get_ref("scale")
        ),
    )
    del config.proposal  # the posterior itself
    config.posterior = dict(fn=multimodal_vae.product_of_experts, prior_expert="none")
    return config
