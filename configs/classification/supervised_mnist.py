"""A convolutional classifier of the digits 0 to 7, and how 8 and 9 stand out.

python -m repr_jax.main --config=configs/classification/supervised_mnist.py \
    --workdir=runs/supervised
Network, augmentation and rates are ours.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from experiments import supervised
from repr_jax import losses
from repr_jax.data import augment
from repr_jax.evaluators import accuracy


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_mnist.get_config(mode)  # data, encoder and optimizer are SimCLR's
    del config.projector, config.evals
    config.num_steps = 2 if smoke else 1_000
    config.entry = "image"
    config.num_classes = 8
    config.dataset.classes = tuple(range(8))
    config.experiment = supervised.make
    config.augment = dict(fn=augment.jitter, shift=0.1, zoom=0.1, fill=0.0)
    config.loss = dict(fn=losses.cross_entropy, label_smoothing=0.0)
    config.evals = dict(accuracy=dict(fn=accuracy.evaluate))
    return config
