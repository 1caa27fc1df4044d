"""MWB-VAE on five-view PolyMNIST: MoPoE with barycenters, for a CPU.

python -m repr_jax.main --config=configs/multimodal/mwb_polymnist_small.py \
    --workdir=runs/mwb_small
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist_small
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.ops import fusion, likelihood


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # networks, data, batch, rate
    config.fuse = fusion.barycenter
    config.loss = dict(
        fn=losses.fused_elbo,
        fuse=config.get_ref("fuse"),
        beta=1.0,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    config.bound = dict(  # the loss at beta = 1
        fn=losses.fused_elbo,
        fuse=config.get_ref("fuse"),
        log_likelihood=dict(
            fn=likelihood.laplace, scale=config.loss.log_likelihood.get_ref("scale")
        ),
    )
    del config.proposal  # the posterior itself
    config.posterior = dict(
        fn=multimodal_vae.fused_experts, fuse=config.get_ref("fuse")
    )
    return config
