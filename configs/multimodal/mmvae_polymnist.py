"""MMVAE on five-view PolyMNIST: a mixture of Laplace experts, importance weighted.

python -m repr_jax.main --config=configs/multimodal/mmvae_polymnist.py \
    --config.data_source=tfds --config.data_dir=DIR --workdir=runs/mmvae
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.models import vae
from repr_jax.ops import laplace, likelihood


def get_config(mode=""):
    config = mopoe_polymnist.get_config(mode)
    config.encoder.log_var = vae.laplace_simplex_log_var
    config.loss = dict(
        fn=losses.mmvae,
        num_samples=2 if mode == "smoke" else 10,
        distribution=laplace,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    config.posterior = dict(fn=multimodal_vae.mixture_of_experts, distribution=laplace)
    return config
