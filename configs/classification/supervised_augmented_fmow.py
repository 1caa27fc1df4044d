"""The classifier of land, shown SimCLR's views.

python -m repr_jax.main --config=configs/classification/supervised_augmented_fmow.py \
    --config.data_dir=DIR --workdir=runs/supervised_augmented_fmow
Changes of color hide the region, so that a gain may be the views' alone:
--config.augment.gray_rate=0, and jitter_rate (files) or gains_rate (drawn), leave
them out.
Data and modes, such as `:drawn`, are those of
configs/classification/supervised_fmow.py.
Expect: not yet run.
"""

from configs.classification import supervised_augmented_sprites
from configs.classification.supervised_fmow import of_sprites


def get_config(mode=""):
    return of_sprites(supervised_augmented_sprites.get_config(mode), mode)
