"""A plain autoencoder of dominoes.

python -m repr_jax.main --config=configs/reconstruction/autoencoder_dominoes.py \
    --workdir=runs/autoencoder_dominoes --config.correlation=1
The method of configs/reconstruction/autoencoder_sprites.py.
Expect: not yet run.
"""

from configs.classification.supervised_dominoes import of_sprites
from configs.reconstruction import autoencoder_sprites


def get_config(mode=""):
    return of_sprites(autoencoder_sprites.get_config(mode), mode)
