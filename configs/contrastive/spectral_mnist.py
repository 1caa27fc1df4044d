"""Spectral contrastive learning on MNIST: `simclr_mnist` with another loss.

python -m repr_jax.main --config=configs/contrastive/spectral_mnist.py \
    --workdir=runs/spectral
All settings but the loss are ours.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from repr_jax import losses


def get_config(mode=""):
    config = simclr_mnist.get_config(mode)
    config.loss = dict(fn=losses.spectral_contrastive)
    return config
