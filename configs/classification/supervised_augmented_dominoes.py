"""The classifier of dominoes, shown SimCLR's views of each block.

python -m repr_jax.main --workdir=runs/supervised_augmented_dominoes \
    --config=configs/classification/supervised_augmented_dominoes.py
The method of configs/classification/supervised_augmented_sprites.py.
Expect: not yet run.
"""

from configs.classification import supervised_augmented_sprites
from configs.classification.supervised_dominoes import of_sprites


def get_config(mode=""):
    return of_sprites(supervised_augmented_sprites.get_config(mode), mode)
