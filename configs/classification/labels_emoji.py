"""A classifier of the categories of emoji, with SimCLR's network and views.

python -m repr_jax.main --config=configs/classification/labels_emoji.py \
    --config.data_dir=DIR --workdir=runs/labels_emoji
The method of configs/classification/labels_mnist.py,
data of configs/contrastive/simclr_emoji.py.
Expect: not yet run.
"""

from configs.classification import labels_mnist
from configs.contrastive.simclr_emoji import of_mnist


def get_config(mode=""):
    return of_mnist(labels_mnist.get_config(mode), mode)
