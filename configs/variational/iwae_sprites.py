"""The importance-weighted autoencoder of sprites: the VAE's networks, a tighter bound.

python -m repr_jax.main --config=configs/variational/iwae_sprites.py \
    --workdir=runs/iwae_sprites --config.correlation=1
Expect: not yet run.
"""

from configs.variational import iwae_mnist, vae_sprites


def get_config(mode=""):
    return iwae_mnist.of_vae(vae_sprites.get_config(mode), mode)
