"""A variational autoencoder of sprites whose color goes with their shape.

python -m repr_jax.main --config=configs/variational/vae_sprites.py \
    --workdir=runs/vae_sprites --config.correlation=1 --config.loss.beta=1
Its encoder has the widths of configs/classification/supervised_sprites.py, but no batch
normalization, and 64 latents.
Expect: not yet run.
"""

import jax

from configs.reconstruction import autoencoder_sprites
from experiments import autoencoder
from repr_jax import losses
from repr_jax.evaluators import bound
from repr_jax.models.vae import ConvEncoder
from repr_jax.ops import likelihood


def get_config(mode=""):
    smoke = mode == "smoke"
    config = autoencoder_sprites.get_config(mode)
    del config.log_likelihood
    config.experiment = autoencoder.make
    config.encoder = dict(
        fn=ConvEncoder,
        latent_dim=4 if smoke else 64,
        widths=tuple(config.encoder.widths),
        hidden=config.encoder.features,
        shape=tuple(config.decoder.shape),
    )
    config.decoded_mean = dict(fn=jax.nn.sigmoid)  # the likelihood takes logits
    config.loss = dict(fn=losses.elbo, beta=1.0, log_likelihood=likelihood.bernoulli)
    config.bound = dict(  # the loss at beta = 1
        fn=losses.elbo, log_likelihood=config.loss.get_ref("log_likelihood")
    )
    config.evals.bound = dict(fn=bound.evaluate)
    return config
