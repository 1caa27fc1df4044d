"""Alignment and uniformity on MNIST: `simclr_mnist` with another loss.

python -m repr_jax.main --config=configs/contrastive/alignment_uniformity_mnist.py \
    --workdir=runs/alignment_uniformity
All settings but the loss are ours.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from repr_jax import losses


def get_config(mode=""):
    config = simclr_mnist.get_config(mode)
    config.loss = dict(fn=losses.alignment_uniformity)
    return config
