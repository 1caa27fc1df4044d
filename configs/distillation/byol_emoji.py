"""BYOL on emoji.

python -m repr_jax.main --config=configs/distillation/byol_emoji.py \
    --config.data_dir=DIR --workdir=runs/byol_emoji
The method of configs/distillation/byol_mnist.py,
data of configs/contrastive/simclr_emoji.py.
Expect: not yet run.
"""

from configs.contrastive.simclr_emoji import of_mnist
from configs.distillation import byol_mnist


def get_config(mode=""):
    return of_mnist(byol_mnist.get_config(mode), mode)
