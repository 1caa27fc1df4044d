"""One input, an encoder that returns a posterior, a decoder: VAE, IWAE and relatives.

They differ in `config.loss`, the bound. `make_deterministic` is the plain autoencoder,
without noise. A batch has `image` and may have `where`.
"""

import flax.linen as nn
import jax.numpy as jnp

from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.models.vae import VAE
from repr_jax.ops import gaussian, likelihood
from repr_jax.ops.batch import masked_mean, present, row_keys


def observed(batch, entry="image"):
    """The entry with zeros where absent, and which rows are present, bool [batch]."""
    where = batch.get("where", jnp.ones(batch[entry].shape[0], bool))
    return present(batch[entry], where), where


def make(config) -> Experiment:
    """Reads encoder, decoder, loss, bound and decoded_mean.

    `config.bound` is a loss that is minus a bound of log p(x), such as the training
    loss at beta 1; `config.decoded_mean` maps what the decoder returns to x's mean.
    """
    loss_fn = bind(config.loss, "config.loss")
    bound_fn = bind(config.bound, "config.bound")
    decoded_mean = bind(config.decoded_mean, "config.decoded_mean")
    model = VAE(
        bind(config.encoder, "config.encoder")(),
        bind(config.decoder, "config.decoder")(),
    )

    def encode(params, image, *, train):
        return model.apply({"params": params}, image, train=train, method="encode")

    def decoding(params, *, train):
        def decode(z):
            return model.apply({"params": params}, z, train=train, method="decode")

        return decode

    def objective(function, params, batch, key, *, train):
        image, where = observed(batch)
        posterior = encode(params, image, train=train)
        decode = decoding(params, train=train)
        return function(key, image, *posterior, decode, where=where), posterior, where

    def init(key, batch):
        return model.init(key, observed(batch)[0], train=False)["params"], {}

    def loss(params, extras, batch, key, step):
        value, posterior, where = objective(loss_fn, params, batch, key, train=True)
        terms = {"kl": masked_mean(gaussian.kl(*posterior), where=where)}
        return value, (extras, terms)

    def represent(params, extras, batch, key):
        return encode(params, observed(batch)[0], train=False).mean

    def generate(params, extras, batch, key):
        image, where = observed(batch)
        posterior = encode(params, image, train=False)
        mean, log_var = (present(x, where) for x in posterior)  # absent: the prior
        z = gaussian.sample(row_keys(key, jnp.ones_like(where)), mean, log_var)
        return {"image": decoded_mean(decoding(params, train=False)(z))}

    def bound(params, extras, batch, key):
        return -objective(bound_fn, params, batch, key, train=False)[0]

    outputs = {"represent": represent, "generate": generate, "bound": bound}
    return Experiment(init, loss, outputs)


class Autoencoder(nn.Module):
    """x -> what the encoder makes of it [batch, dim], and what the decoder of that."""

    encoder: nn.Module
    decoder: nn.Module

    def __call__(self, x, *, train):
        representation = self.encoder(x, train=train)
        return representation, self.decoder(representation, train=train)


def make_deterministic(config) -> Experiment:
    """Reads encoder, decoder and log_likelihood.

    The loss is the mean of minus `config.log_likelihood`(x, decoded); of a Gaussian of
    scale 1 half the squared error, summed over pixels, and a constant. The encoder
    returns an array, and may have batch normalization.
    """
    log_likelihood = bind(config.log_likelihood, "config.log_likelihood")
    model = Autoencoder(
        bind(config.encoder, "config.encoder")(),
        bind(config.decoder, "config.decoder")(),
    )

    def init(key, batch):
        variables = dict(model.init(key, observed(batch)[0], train=False))
        return variables.pop("params"), variables

    def loss(params, extras, batch, key, step):
        image, where = observed(batch)
        variables = {"params": params, **extras}
        (_, decoded), extras = model.apply(
            variables, image, train=True, mutable=list(extras)
        )
        scores = likelihood.by_row(log_likelihood, image, decoded, where)
        return -masked_mean(scores, where=where), (extras, {})

    def represent(params, extras, batch, key):
        variables = {"params": params, **extras}
        return model.apply(variables, observed(batch)[0], train=False)[0]

    return Experiment(init, loss, {"represent": represent})
