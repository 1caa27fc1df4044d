"""A plain autoencoder of dominoes.

python -m repr_jax.main --config=configs/reconstruction/autoencoder_dominoes.py \
    --workdir=runs/autoencoder_dominoes --config.correlation=1
Digit and picture are rebuilt alike, each pixel with the same weight: 64 x 32 of them.
Expect: not yet run.
"""

from configs.classification.supervised_dominoes import of_sprites
from configs.reconstruction import autoencoder_sprites


def get_config(mode=""):
    return of_sprites(autoencoder_sprites.get_config(mode), mode)
