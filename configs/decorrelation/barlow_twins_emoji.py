"""Barlow Twins on emoji.

python -m repr_jax.main --config=configs/decorrelation/barlow_twins_emoji.py \
    --config.data_dir=DIR --workdir=runs/barlow_twins_emoji
The method of configs/decorrelation/barlow_twins_mnist.py,
data of configs/contrastive/simclr_emoji.py.
Expect: not yet run.
"""

from configs.contrastive.simclr_emoji import of_mnist
from configs.decorrelation import barlow_twins_mnist


def get_config(mode=""):
    return of_mnist(barlow_twins_mnist.get_config(mode), mode)
