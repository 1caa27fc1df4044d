"""A plain autoencoder of sprites whose color goes with their shape.

python -m repr_jax.main --config=configs/reconstruction/autoencoder_sprites.py \
    --workdir=runs/autoencoder_sprites --config.correlation=1
The encoder is that of configs/classification/supervised_sprites.py.
Expect: not yet run.
"""

from configs.classification import supervised_sprites
from experiments import autoencoder
from repr_jax.models.vae import ConvDecoder
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = supervised_sprites.get_config(mode)
    del config.entry, config.num_classes, config.loss
    config.experiment = autoencoder.make_deterministic
    size = config.dataset.size
    config.decoder = dict(
        fn=ConvDecoder,
        widths=tuple(config.encoder.widths)[::-1],
        shape=(size, size, 3),
    )
    config.log_likelihood = dict(fn=likelihood.gaussian, scale=1.0)
    return config
