"""Encoder and decoder of a VAE of sentences, whose words are an image, as on CUB.

A sentence of 32 words, each `embedding` = 128 numbers, is an image of one channel.
Convolutions of 4 x 4 and stride 2 halve both of its sides to 4 x 16, then two of 1 x 4
its width to 4 x 4; a normalization and ReLU follow each; two linear heads take what is
left. The decoder is the way back, and a word's logit is the product of its row with the
word's embedding.

Published networks normalize over the batch; here over eight groups of the features of
one row, since what a sentence is encoded as must not depend on others, of which some
are absent. The decoder has embeddings of its own, where the published one has those of
the encoder.

Source: Shi et al., "Variational Mixture-of-Experts Autoencoders", 2019, code,
https://github.com/iffsid/mmvae.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from repr_jax.models.conv import Conv, ConvTranspose
from repr_jax.models.initializers import uniform_fan_in
from repr_jax.models.vae import check_sizes, common, gaussian_log_var
from repr_jax.models.vae_layers import heads, latents, rows_of
from repr_jax.models.vae_residual_layers import normalized

SQUARE = dict(kernel_size=(4, 4), strides=(2, 2), padding=(1, 1))  # halves both sides
WIDE = dict(kernel_size=(1, 4), strides=(1, 2), padding=(0, 1))  # halves the width
LENGTH, EMBEDDING, PIXEL = 32, 128, (4, 4)  # the only sizes that end with PIXEL


class SentenceEncoder(nn.Module):
    """[batch, 32, words], one-hot -> Posterior of [batch, latent_dim] arrays."""

    latent_dim: int
    num_words: int
    widths: Sequence[int] = (32, 64, 128)
    log_var: Callable = gaussian_log_var  # of the second head, in float32
    initializer: Callable = uniform_fan_in  # fan_in -> initializer
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, x, *, train):
        del train  # nothing here differs in training
        check_sizes("SentenceEncoder", self)
        x = rows_of("SentenceEncoder", (LENGTH, self.num_words), x).astype(self.dtype)
        x = jnp.einsum("nlw,we->nle", x, embeddings(self))[..., None]
        for width, layer in [(w, SQUARE) for w in self.widths] + [(None, WIDE)] * 2:
            taps = layer["kernel_size"][0] * layer["kernel_size"][1]
            init = self.initializer(taps * x.shape[-1])
            x = Conv(width or self.widths[-1], **layer, **common(self, init))(x)
            x = nn.relu(normalized(self, x))
        return heads(self, x.reshape(x.shape[0], -1))


class SentenceDecoder(nn.Module):
    """[batch, latent_dim] -> [batch, 32, words] float32 logits."""

    num_words: int
    widths: Sequence[int] = (128, 64, 32)
    initializer: Callable = uniform_fan_in  # fan_in -> initializer
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, z, *, train):
        del train  # nothing here differs in training
        check_sizes("SentenceDecoder", self)
        x = latents("SentenceDecoder", z).astype(self.dtype)[:, None, None]
        first = dict(kernel_size=PIXEL, strides=(1, 1), padding=(0, 0))
        layers = [(self.widths[0], first), *[(self.widths[0], WIDE)] * 2]
        layers += [(width, SQUARE) for width in (*self.widths[1:], 1)]
        for number, (width, layer) in enumerate(layers, start=1):
            taps = layer["kernel_size"][0] * layer["kernel_size"][1]
            init = self.initializer(taps * width)
            x = ConvTranspose(width, **layer, **common(self, init))(x)
            x = nn.relu(normalized(self, x)) if number < len(layers) else x
        logits = jnp.einsum("nle,we->nlw", x[..., 0], embeddings(self))
        return logits.astype(jnp.float32)


def embeddings(module):
    """[words, 128], a parameter of the module."""
    shape = (module.num_words, EMBEDDING)
    table = module.param("table", nn.initializers.normal(1.0), shape, jnp.float32)
    return table.astype(module.dtype)
