"""Decoupled contrastive learning on MNIST: `simclr_mnist` with another loss.

python -m repr_jax.main --config=configs/contrastive/dcl_mnist.py \
    --workdir=runs/dcl
The temperature is the published one, the rest ours.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from repr_jax import losses


def get_config(mode=""):
    config = simclr_mnist.get_config(mode)
    config.loss = dict(fn=losses.dcl, temperature=0.1)
    return config
