"""A VAE of one modality, all of whose parts may see others: CVAE."""

import flax.linen as nn
import jax.numpy as jnp

from repr_jax.models.mlp import MLP
from repr_jax.models.vae import Posterior


class ConditionalVAE(nn.Module):
    """Posterior of all modalities; prior and decoder of a summary of what is given."""

    encoder: nn.Module  # inputs, where, train -> Posterior of [batch, latent_dim]
    condition_encoder: nn.Module  # the same; the summary is its mean
    decoder: nn.Module  # [batch, 2 latent_dim], train -> means or logits
    latent_dim: int
    hidden: int = 256  # of the prior's network

    def setup(self):
        self.prior_network = MLP((self.hidden, 2 * self.latent_dim))

    def encode(self, inputs, where, *, train):
        """All modalities, and presence [modality, batch] -> Posterior."""
        return self.encoder(inputs, where, train=train)

    def condition(self, inputs, where, *, train):
        """Modalities, zeros where absent, and presence -> [batch, latent_dim]."""
        return self.condition_encoder(inputs, where, train=train).mean

    def prior(self, condition, *, train):
        """[batch, latent_dim] -> p(z given the condition)."""
        parts = jnp.split(self.prior_network(condition, train=train), 2, axis=-1)
        return Posterior(*parts)

    def decode(self, z, condition, *, train):
        """[batch, latent_dim] twice -> means or logits of the target."""
        return self.decoder(jnp.concatenate([z, condition], axis=-1), train=train)

    def __call__(self, inputs, where, *, train):
        """What the posterior's mean decodes to; touches every parameter."""
        z = self.encode(inputs, where, train=train).mean
        condition = self.condition(inputs, where, train=train)
        self.prior(condition, train=train)
        return self.decode(z, condition, train=train)
