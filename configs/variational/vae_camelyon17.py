"""A variational autoencoder of tissue.

python -m repr_jax.main --config=configs/variational/vae_camelyon17.py \
    --config.data_dir=DIR --workdir=runs/vae_camelyon17
No batch normalization, 64 latents and logits of pixels; --config.loss.beta=4 is the
beta-VAE.
Data and modes, such as `:drawn`, are those of
configs/classification/supervised_camelyon17.py.
Expect: not yet run.
"""

from configs.classification.supervised_camelyon17 import of_sprites
from configs.variational import vae_sprites


def get_config(mode=""):
    return of_sprites(vae_sprites.get_config(mode), mode)
