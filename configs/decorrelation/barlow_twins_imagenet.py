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
from repr_jax import losses, optim
from repr_jax.data import recipes


def get_config(mode=""):
    smoke, batch_size = mode == "smoke", 2_048
    config = simclr_imagenet.get_config(mode, num_epochs=1_000, batch_size=batch_size)
    config.augment, config.second_augment = (
        of_recipe(r, mode) for r in recipes.BARLOW_TWINS
    )
    config.projector.widths = (8, 8, 4) if smoke else (8192, 8192, 8192)
    config.loss = dict(fn=losses.barlow_twins, off_diagonal_weight=5.1e-3)
    schedule = dict(
        warmup_steps=0 if smoke else simclr_imagenet.steps(10, batch_size),
        num_steps=config.get_ref("num_steps"),
    )
    config.optimizer = dict(
        fn=optim.by_name,
        rules=(
            # 0.0048 and 0.2 for 256 images, its code
            (r"(bias|scale)$", dict(fn=optim.sgd_cosine, peak=0.0384, **schedule)),
            (
                "",
                dict(fn=optim.lars_cosine, peak=1.6, weight_decay=1.5e-6, **schedule),
            ),
        ),
    )
    return config
