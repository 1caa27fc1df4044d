"""What labels give: a classifier of the ten digits with SimCLR's network and views.

python -m repr_jax.main --config=configs/classification/labels_mnist.py \
    --workdir=runs/labels
Its representation stands beside those that saw no label, from the same network.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from experiments import supervised
from repr_jax import losses


def get_config(mode=""):
    config = simclr_mnist.get_config(mode)
    del config.projector
    config.experiment = supervised.make
    config.entry = "image"
    config.num_classes = 10
    config.loss = dict(fn=losses.cross_entropy)
    return config
