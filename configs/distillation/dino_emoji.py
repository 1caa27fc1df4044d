"""DINO on emoji.

python -m repr_jax.main --config=configs/distillation/dino_emoji.py \
    --config.data_dir=DIR --workdir=runs/dino_emoji
The method of configs/distillation/dino_mnist.py,
data of configs/contrastive/simclr_emoji.py.
Expect: not yet run.
"""

from configs.contrastive.simclr_emoji import of_mnist
from configs.distillation import dino_mnist


def get_config(mode=""):
    return of_mnist(dino_mnist.get_config(mode), mode)
