"""The importance-weighted autoencoder of dominoes.

python -m repr_jax.main --config=configs/variational/iwae_dominoes.py \
    --workdir=runs/iwae_dominoes --config.correlation=1
Likelihood and networks are those of configs/variational/vae_dominoes.py, the bound
that of configs/variational/iwae_sprites.py.
Expect: not yet run.
"""

from configs.classification.supervised_dominoes import of_sprites
from configs.variational import iwae_sprites


def get_config(mode=""):
    return of_sprites(iwae_sprites.get_config(mode), mode)
