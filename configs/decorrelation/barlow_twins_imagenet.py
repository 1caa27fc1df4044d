"""Barlow Twins on ImageNet with a ResNet-50: published views and LARS, 1,000 epochs.

python -m repr_jax.main --config=configs/decorrelation/barlow_twins_imagenet.py \
    --config.data_dir=DIR --workdir=runs/barlow_twins_imagenet
Data and network are those of configs/contrastive/simclr_imagenet.py. Biases and the
scales of normalization have a rate of their own, and neither decay nor a layer-wise
rate. Published rates end at a thousandth of their peak, ours at 0.
Expect: not yet run. Published: linear accuracy 0.732.
"""

from configs.contrastive import simclr_imagenet
from configs.contrastive.simclr_imagenet import of_recipe
from repr_jax import losses
from repr_jax.data import recipes


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_imagenet.get_config(mode, num_epochs=1_000, batch_size=2_048)
    config.augment, config.second_augment = (
        of_recipe(r, mode) for r in recipes.BARLOW_TWINS
    )
    config.projector.widths = (8, 8, 4) if smoke else (8192, 8192, 8192)
    config.loss = dict(fn=losses.barlow_twins, off_diagonal_weight=5.1e-3)
    config.optimizer.peak = 1.6  # 0.2 for 256 images, its code
    config.optimizer.excluded_scale = 0.0048 / 0.2
    config.optimizer.weight_decay = 1.5e-6
    return config
