"""MHVAE on five-view PolyMNIST: a hierarchy of latents, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/mhvae_polymnist_small.py \
    --workdir=runs/mhvae_small
The authors' adversarial loss is left out; what is linear-probed is the top of three
levels.
Expect: not yet run.
"""

import ml_collections
import optax

from configs.multimodal import mopoe_polymnist_small
from experiments import hierarchical_vae
from repr_jax import losses
from repr_jax.models.multimodal_hierarchy import HierarchicalVAE
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # data, batch, rate
    smoke = mode == "smoke"
    config.experiment = hierarchical_vae.make
    config.model = dict(
        fn=HierarchicalVAE,
        latent_dim=config.get_ref("latent_dim"),
        channels=(1, 1) if smoke else (4, 4),
        widths=(4, 4, 4) if smoke else (16, 32, 64),
    )
    config.loss = dict(
        fn=losses.mhvae,
        beta=1.0,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    config.schedules = ml_collections.ConfigDict()
    config.warmup_steps = 2_000
    config.schedules.beta = dict(
        fn=optax.linear_schedule,
        init_value=0.0,
        end_value=1.0,
        transition_steps=config.get_ref("warmup_steps"),
    )
    del config.encoder, config.decoder, config.bound  # of the model, and the loss
    del config.posterior, config.proposal
    return config
