"""The classifier of sprites, shown SimCLR's views: how much of a gain is the views'?

python -m repr_jax.main --workdir=runs/supervised_augmented_sprites \
    --config=configs/classification/supervised_augmented_sprites.py
Changes of color hide the attribute: --config.augment.gains_rate=0 and
--config.augment.gray_rate=0 leave them out.
Expect: not yet run.
"""

from configs.classification import supervised_sprites
from repr_jax.data import recipes


def get_config(mode=""):
    config = supervised_sprites.get_config(mode)
    config.augment = dict(fn=recipes.view, **recipes.SPRITES)
    config.augment.size = config.dataset.size
    return config
