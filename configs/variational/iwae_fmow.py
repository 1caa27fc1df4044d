"""The importance-weighted autoencoder of land.

python -m repr_jax.main --config=configs/variational/iwae_fmow.py \
    --config.data_dir=DIR --workdir=runs/iwae_fmow
The VAE's networks, and a bound of several samples of the posterior.
Data and modes, such as `:drawn`, are those of
configs/classification/supervised_fmow.py.
Expect: not yet run.
"""

from configs.classification.supervised_fmow import of_sprites
from configs.variational import iwae_sprites


def get_config(mode=""):
    return of_sprites(iwae_sprites.get_config(mode), mode)
