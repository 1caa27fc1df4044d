"""DMVAE on five-view PolyMNIST, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/dmvae_polymnist_small.py \
    --workdir=runs/dmvae_small
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist_small
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # networks, data, batch, rate
    smoke = mode == "smoke"
    config.latent_dim = 4 if smoke else 32  # shared, and as many private: MMVAE+'s
    config.private_dim = 4 if smoke else 32
    config.private_encoder = config.encoder.copy_and_resolve_references()
    config.private_encoder.latent_dim = config.get_ref("private_dim")
    config.loss = dict(
        fn=losses.dmvae,
        beta=1.0,
        private_beta=1.0,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    del config.bound, config.evals.bound  # a sum of bounds is a bound of nothing
    del config.proposal  # the posterior itself
    config.posterior = dict(fn=multimodal_vae.product_of_experts, prior_expert="all")
    return config
