"""MMVAE+ on five-view PolyMNIST, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/mmvae_plus_polymnist_small.py \
    --workdir=runs/mmvae_plus_small
Expect: not yet run.
"""

import math

import ml_collections

from configs.multimodal import mopoe_polymnist_small
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.models import vae
from repr_jax.models.multimodal_vae import LogVars
from repr_jax.ops import laplace, likelihood


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # networks, data, batch, rate
    smoke = mode == "smoke"
    config.latent_dim = 4 if smoke else 32  # shared, and as many private: published
    config.private_dim = 4 if smoke else 32
    config.encoder.log_var = vae.laplace_simplex_log_var
    config.private_encoder = config.encoder.copy_and_resolve_references()
    config.private_encoder.latent_dim = config.get_ref("private_dim")
    config.loss = dict(
        fn=losses.mmvae_plus,
        num_samples=1,  # published
        distribution=laplace,  # published
        prior_log_var=math.log(2),  # scale 1; published
        beta=1.0,  # as MoPoE here; published: 2.5
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    config.learned = ml_collections.ConfigDict()
    config.learned.auxiliary = dict(
        fn=LogVars,
        modalities=config.get_ref("modalities"),
        dim=config.get_ref("private_dim"),
        log_var=vae.laplace_simplex_log_var,
    )
    del config.bound, config.evals.bound  # of a model with other private priors
    del config.proposal  # the posterior itself
    config.posterior = dict(fn=multimodal_vae.mixture_of_experts)
    return config
