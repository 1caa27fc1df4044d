"""Debiased contrastive learning on MNIST: `simclr_mnist` with another loss.

python -m repr_jax.main --config=configs/contrastive/debiased_mnist.py \
    --workdir=runs/debiased
Ten classes of the same size: two images share one with probability 0.1.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from repr_jax import losses


def get_config(mode=""):
    config = simclr_mnist.get_config(mode)
    config.loss = dict(fn=losses.debiased, temperature=0.5, positive_rate=0.1)
    return config
