"""A variational autoencoder of dominoes.

python -m repr_jax.main --config=configs/variational/vae_dominoes.py \
    --workdir=runs/vae_dominoes --config.correlation=1
The likelihood is of the pixels of both blocks, of which the digit's are nearly black
or white and the picture's are noisy.
Expect: not yet run.
"""

from configs.classification.supervised_dominoes import of_sprites
from configs.variational import vae_sprites


def get_config(mode=""):
    return of_sprites(vae_sprites.get_config(mode), mode)
