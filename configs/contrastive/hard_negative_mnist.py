"""Contrastive learning with hard negatives on MNIST: `simclr_mnist` with another loss.

python -m repr_jax.main --config=configs/contrastive/hard_negative_mnist.py \
    --workdir=runs/hard_negative
Ten classes of the same size: two images share one with probability 0.1.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from repr_jax import losses


def get_config(mode=""):
    config = simclr_mnist.get_config(mode)
    config.loss = dict(
        fn=losses.hard_negative, temperature=0.5, positive_rate=0.1, beta=1.0
    )
    return config
