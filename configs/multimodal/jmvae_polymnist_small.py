"""JMVAE on five-view PolyMNIST, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/jmvae_polymnist_small.py \
    --workdir=runs/jmvae_small
Expect: not yet run.
"""

import ml_collections
import optax

from configs.multimodal import mopoe_polymnist_small
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.models.multimodal_vae import JointEncoder
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # networks, data, batch, rate
    smoke = mode == "smoke"
    config.joint_encoder = dict(
        fn=JointEncoder,
        encoder=config.encoder.copy_and_resolve_references(),
        latent_dim=config.get_ref("latent_dim"),
        widths=(8,) if smoke else (512, 512),
    )
    config.joint_encoder.encoder.latent_dim = config.get_ref("latent_dim")
    config.loss = dict(
        fn=losses.jmvae,
        unimodal_weight=0.1,  # of the paper's .01, .1 and 1
        beta=1.0,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    config.schedules = ml_collections.ConfigDict()  # both divergences warm up alike
    config.warmup_steps = 2_000
    for name in ("beta", "unimodal_weight"):
        config.schedules[name] = dict(
            fn=optax.linear_schedule,
            init_value=0.0,
            end_value=1.0,
            transition_steps=config.get_ref("warmup_steps"),
        )
    config.bound = dict(  # of the joint posterior alone
        fn=losses.jmvae,
        unimodal_weight=0.0,
        log_likelihood=dict(
            fn=likelihood.laplace, scale=config.loss.log_likelihood.get_ref("scale")
        ),
    )
    del config.proposal  # the posterior itself
    config.posterior = dict(fn=multimodal_vae.joint_or_product)
    return config
