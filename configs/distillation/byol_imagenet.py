"""BYOL on ImageNet with a ResNet-50: published views, LARS and decay, 1,000 epochs.

python -m repr_jax.main --config=configs/distillation/byol_imagenet.py \
    --config.data_dir=DIR --workdir=runs/byol_imagenet
Data and network are those of configs/contrastive/simclr_imagenet.py; the views of an
image are unlike: the second is solarized at times and seldom blurred.
Expect: not yet run. Published: linear accuracy 0.743.
"""

from configs.contrastive import simclr_imagenet
from configs.contrastive.simclr_imagenet import of_recipe
from experiments import ema_target
from repr_jax import losses
from repr_jax.data import recipes
from repr_jax.models.mlp import MLP
from repr_jax.ops import schedules


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_imagenet.get_config(mode, num_epochs=1_000)
    config.experiment = ema_target.make
    config.augment, config.second_augment = (of_recipe(r, mode) for r in recipes.BYOL)
    widths = (8, 4) if smoke else (4096, 256)
    for part in ("projector", "predictor"):
        config[part] = dict(fn=MLP, widths=widths, batch_norm=True)
    config.loss = dict(fn=losses.byol)
    config.decay = dict(
        fn=schedules.cosine,
        start=0.996,  # section 3.3
        end=1.0,
        num_steps=config.get_ref("num_steps"),
    )
    config.optimizer.peak = 3.2  # 0.2 for 256 images
    config.optimizer.weight_decay = 1.5e-6
    return config
