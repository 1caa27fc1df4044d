"""Random features of dominoes.

python -m repr_jax.main --config=configs/classification/random_dominoes.py \
    --workdir=runs/random_dominoes --config.correlation=1
What can be read without training: of a digit nearly all, of a small noisy picture
little.
Expect: not yet run.
"""

from configs.classification import random_sprites
from configs.classification.supervised_dominoes import of_sprites


def get_config(mode=""):
    return of_sprites(random_sprites.get_config(mode), mode)
