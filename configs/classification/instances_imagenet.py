"""Every image of ImageNet is a class: a ResNet-50 and a table of 1,281,280 rows.

python -m repr_jax.main --config=configs/classification/instances_imagenet.py \
    --config.data_dir=DIR --workdir=gs://BUCKET/instances_imagenet
The head is seven times as large as the network, and its gradient would be summed over
all devices in each step: `model_devices` has it split over four, each of which computes
the logits of its own part of the classes, whose number is rounded up to divide.
Data and views are of configs/contrastive/simclr_imagenet.py, rates are ours; the method
is the parametric classifier of Wu et al. (2018), eq. 1, with a bias.
Expect: not yet run.
"""

from configs.contrastive import simclr_imagenet
from experiments import supervised
from repr_jax import losses
from repr_jax.data import imagenet, pretext

NUM_CLASSES = -(-imagenet.NUM_TRAIN // 128) * 128


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_imagenet.get_config(mode, batch_size=1_024)
    config.model_devices = 1 if smoke else 4
    config.entry = "image"
    config.num_classes = 512 if smoke else NUM_CLASSES
    config.dataset = dict(fn=pretext.instances, dataset=config.dataset)
    config.experiment = supervised.make
    config.encoder.features = 8 if smoke else 128
    config.loss = dict(fn=losses.cross_entropy, label_smoothing=0.0)
    del config.projector
    return config
