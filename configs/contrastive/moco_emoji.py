"""MoCo on emoji.

python -m repr_jax.main --config=configs/contrastive/moco_emoji.py \
    --config.data_dir=DIR --workdir=runs/moco_emoji
The method of configs/contrastive/moco_mnist.py,
data of configs/contrastive/simclr_emoji.py.
Expect: not yet run.
"""

from configs.contrastive import moco_mnist
from configs.contrastive.simclr_emoji import of_mnist


def get_config(mode=""):
    return of_mnist(moco_mnist.get_config(mode), mode)
