"""The importance-weighted autoencoder of tissue.

python -m repr_jax.main --config=configs/variational/iwae_camelyon17.py \
    --config.data_dir=DIR --workdir=runs/iwae_camelyon17
The VAE's networks, and a bound of several samples of the posterior.
Data and modes, such as `:drawn`, are those of
configs/classification/supervised_camelyon17.py.
Expect: not yet run.
"""

from configs.classification.supervised_camelyon17 import of_sprites
from configs.variational import iwae_sprites


def get_config(mode=""):
    return of_sprites(iwae_sprites.get_config(mode), mode)
