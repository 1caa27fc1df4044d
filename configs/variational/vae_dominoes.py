"""A variational autoencoder of dominoes.

python -m repr_jax.main --config=configs/variational/vae_dominoes.py \
    --workdir=runs/vae_dominoes --config.correlation=1
The method of configs/variational/vae_sprites.py.
Expect: not yet run.
"""

from configs.classification.supervised_dominoes import of_sprites
from configs.variational import vae_sprites


def get_config(mode=""):
    return of_sprites(vae_sprites.get_config(mode), mode)
