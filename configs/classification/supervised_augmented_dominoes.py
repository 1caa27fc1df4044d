"""The classifier of dominoes, shown SimCLR's views of each block.

python -m repr_jax.main --workdir=runs/supervised_augmented_dominoes \
    --config=configs/classification/supervised_augmented_dominoes.py
Views leave the digit legible, so that the easy way to the label stays open, unlike
that of sprites, whose color the views hide.
Expect: not yet run.
"""

from configs.classification import supervised_augmented_sprites
from configs.classification.supervised_dominoes import of_sprites


def get_config(mode=""):
    return of_sprites(supervised_augmented_sprites.get_config(mode), mode)
