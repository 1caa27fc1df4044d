"""CRMVAE on five-view PolyMNIST, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/crmvae_polymnist_small.py \
    --workdir=runs/crmvae_small
Expect: not yet run.
"""

from configs.multimodal import mvtcae_polymnist_small
from repr_jax import losses
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mvtcae_polymnist_small.get_config(mode)  # and its posterior and bound
    config.loss = dict(
        fn=losses.crmvae,
        beta=1.0,  # as MoPoE here; published: 2.5, and 0.1 on Translated-PolyMNIST
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    config.bound.log_likelihood.scale = config.loss.log_likelihood.get_ref("scale")
    return config
