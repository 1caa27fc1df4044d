"""Barlow Twins on MNIST: `simclr_mnist` with another loss and a wider projection.

python -m repr_jax.main --config=configs/decorrelation/barlow_twins_mnist.py \
    --workdir=runs/barlow_twins
The weight is the published one, the rest ours.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from repr_jax import losses


def get_config(mode=""):
    config = simclr_mnist.get_config(mode)
    config.loss = dict(fn=losses.barlow_twins, off_diagonal_weight=5e-3)
    config.projector.widths = (8, 4) if mode == "smoke" else (512, 512)
    return config
