"""Nexus on five-view PolyMNIST: a latent above those of the views, for a CPU.

python -m repr_jax.main --config=configs/multimodal/nexus_polymnist_small.py \
    --workdir=runs/nexus_small
Sizes are ours. The latents' likelihoods weigh as the authors' of small modalities, for
all: at scale 1 hardly anything goes up.
Expect: not yet run at length. In short runs m1 stays at chance, as in those of MVAE and
MMVAE: the digits on its photograph have half the contrast of the others.
"""

import ml_collections
import optax

from configs.multimodal import mopoe_polymnist_small
from experiments import nexus
from repr_jax import losses
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # networks, data, batch, rate
    smoke = mode == "smoke"
    config.experiment = nexus.make
    config.top_dim = 4 if smoke else 64
    config.message_dim = 8 if smoke else 512  # published
    config.hidden = (8,) if smoke else (256,)
    config.loss = dict(
        fn=losses.unimodal_elbo,
        beta=1.0,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    config.top_loss = dict(
        fn=losses.nexus_top,
        beta=1.0,
        drop_rate=0.2,  # published
        log_likelihood=dict(fn=likelihood.gaussian, scale=0.1),  # 50 squared errors
    )
    config.schedules = ml_collections.ConfigDict()
    config.warmup_steps = 2_000
    config.schedules.beta = dict(
        fn=optax.linear_schedule,
        init_value=0.0,
        end_value=1.0,
        transition_steps=config.get_ref("warmup_steps"),
    )
    del config.bound, config.evals.bound, config.evals.likelihood  # two objectives
    del config.posterior, config.proposal  # what the messages lead to
    return config
