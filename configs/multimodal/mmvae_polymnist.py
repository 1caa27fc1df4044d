"""MMVAE on five-view PolyMNIST: a mixture of Laplace experts, importance weighted.

python -m repr_jax.main --config=configs/multimodal/mmvae_polymnist.py \
    --config.data_source=tfds --config.data_dir=DIR --workdir=runs/mmvae
Expect: not yet run.
"""

import math

from configs.multimodal import mopoe_polymnist
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.models import vae
from repr_jax.ops import laplace, likelihood

# A Laplace prior of scale 1. The published runs learn the scale from there.
PRIOR_LOG_VAR = math.log(2)


def get_config(mode=""):
    config = mopoe_polymnist.get_config(mode)  # networks, data, batch, rate: MoPoE's
    config.encoder.log_var = vae.laplace_simplex_log_var
    config.loss = dict(
        fn=losses.mmvae,
        num_samples=2 if mode == "smoke" else 10,  # ours; 30 on MNIST-SVHN
        distribution=laplace,
        prior_log_var=PRIOR_LOG_VAR,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    shared = {
        name: config.loss.get_ref(name) for name in ("distribution", "prior_log_var")
    }
    config.bound = dict(
        fn=losses.mmvae_tight,
        num_samples=config.loss.get_ref("num_samples"),
        log_likelihood=dict(
            fn=likelihood.laplace, scale=config.loss.log_likelihood.get_ref("scale")
        ),
        **shared,
    )
    del config.proposal  # the posterior itself
    config.posterior = dict(fn=multimodal_vae.mixture_of_experts)
    return config
