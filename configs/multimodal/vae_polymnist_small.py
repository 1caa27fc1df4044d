"""A VAE of one view of PolyMNIST, the baseline of the multimodal ones, for a CPU.

python -m repr_jax.main --config=configs/multimodal/vae_polymnist_small.py \
    --workdir=runs/vae_small
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist_small
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # networks, data, batch, rate
    config.modalities = ("m0",)
    config.loss = dict(  # of one modality the bound of a plain VAE
        fn=losses.moe_elbo,
        beta=1.0,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    config.free_nats = 0.0  # of divergence, of each latent
    config.bound = dict(
        fn=losses.moe_elbo,
        log_likelihood=dict(
            fn=likelihood.laplace, scale=config.loss.log_likelihood.get_ref("scale")
        ),
    )
    del config.proposal  # the posterior itself
    config.posterior = dict(fn=multimodal_vae.mixture_of_experts)
    return config
