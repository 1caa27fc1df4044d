"""Convolutional variational autoencoder: an encoder and a decoder of images.

The default sizes are those of the PolyMNIST networks of Sutter, Daunhawer and Vogt,
"Generalized Multimodal ELBO", 2021, https://arxiv.org/abs/2105.02470, and so is the
initialization, `uniform_fan_in`. For the small networks of a quick run pass
widths=(16, 32, 64) to the encoder and (64, 32, 16) to the decoder.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from repr_jax.models.conv import Conv, ConvTranspose
from repr_jax.models.initializers import uniform_fan_in

HALVE = dict(kernel_size=(3, 3), strides=(2, 2), padding=(1, 1))


class Posterior(NamedTuple):
    """A diagonal Gaussian or Laplace distribution per row."""

    mean: Array  # [..., batch, dim] float32
    log_var: Array  # [..., batch, dim] float32; a Laplace of scale b has variance 2 b^2


def gaussian_log_var(h):
    """[batch, dim] -> the same: the head is the log-variance of a Gaussian."""
    return h


def laplace_simplex_log_var(h):
    """[batch, dim] -> log-variance of Laplace scales that sum to dim in every row.

    b = dim softmax(h) + 1e-6, log_var = log(2 b^2): Shi et al., "Variational
    Mixture-of-Experts Autoencoders", 2019, https://arxiv.org/abs/1911.03393, code.
    """
    scale = nn.softmax(h, axis=-1) * h.shape[-1] + 1e-6
    return math.log(2) + 2 * jnp.log(scale)


class ConvEncoder(nn.Module):
    """[batch, height, width, channels] -> Posterior of [batch, latent_dim] arrays.

    Convolutions of stride 2, one hidden layer, two linear heads; ReLU between. The
    paper's hidden layer is as wide as its latent space, 512.

    Raises:
      ValueError: latent_dim < 1, or images that are not [batch, *shape].
    """

    latent_dim: int
    widths: Sequence[int] = (32, 64, 128)
    hidden: int = 512
    shape: Sequence[int] = (28, 28, 3)
    log_var: Callable = gaussian_log_var  # of the second head, in float32
    initializer: Callable = uniform_fan_in  # fan_in -> initializer
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, x, *, train):
        del train  # nothing here differs in training
        check_sizes("ConvEncoder", self)
        if x.ndim != 4 or x.shape[1:] != tuple(self.shape):
            raise ValueError(
                f"ConvEncoder: expected images [batch, *{tuple(self.shape)}]; "
                f"got {x.shape}."
            )
        x = x.astype(self.dtype)
        for width in self.widths:
            init = self.initializer(9 * x.shape[-1])
            x = nn.relu(Conv(width, **HALVE, **common(self, init))(x))
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(linear(self, self.hidden, x, name="hidden_layer"))
        mean = linear(self, self.latent_dim, x, name="mean_head")
        log_var = linear(self, self.latent_dim, x, name="log_var_head")
        return Posterior(
            mean.astype(jnp.float32), self.log_var(log_var.astype(jnp.float32))
        )


class ConvDecoder(nn.Module):
    """[batch, latent_dim] -> [batch, height, width, channels] float32, no activation.

    One linear layer and transposed convolutions of stride 2; ReLU between. `shape` is
    that of an image, `widths` the channels entering each transposed convolution.

    Raises:
      ValueError: z is not [batch, latent_dim], or a size is below 1.
    """

    widths: Sequence[int] = (128, 64, 32)
    shape: Sequence[int] = (28, 28, 3)
    initializer: Callable = uniform_fan_in  # fan_in -> initializer
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, z, *, train):
        del train  # nothing here differs in training
        check_sizes("ConvDecoder", self)
        if z.ndim != 2 or z.shape[-1] < 1:
            raise ValueError(
                f"ConvDecoder: expected z [batch, latent_dim]; got {z.shape}."
            )
        sizes = halvings(self.shape[:2], len(self.widths))[::-1]  # small to large
        height, width = sizes[0]
        z = linear(self, height * width * self.widths[0], z.astype(self.dtype))
        x = nn.relu(z).reshape(-1, height, width, self.widths[0])
        channels = (*self.widths[1:], self.shape[-1])
        for i, (size, features) in enumerate(zip(sizes[1:], channels)):
            extra = tuple(1 - n % 2 for n in size)  # 7 -> 13 + 1
            init = self.initializer(9 * features)
            x = ConvTranspose(
                features, output_padding=extra, **HALVE, **common(self, init)
            )(x)
            x = nn.relu(x) if i + 1 < len(channels) else x
        return x.astype(jnp.float32)


class VAE(nn.Module):
    """An encoder and a decoder with one latent space."""

    encoder: nn.Module  # x, train -> Posterior
    decoder: nn.Module  # z, train -> what explains x: means or logits

    def encode(self, x, *, train):
        """[batch, ...] -> Posterior of [batch, latent_dim] arrays."""
        return self.encoder(x, train=train)

    def decode(self, z, *, train):
        """[batch, latent_dim] -> [batch, ...], means or logits of x given z."""
        return self.decoder(z, train=train)

    def __call__(self, x, *, train):
        """Posterior, and x decoded from its mean; touches every parameter."""
        posterior = self.encode(x, train=train)
        return posterior, self.decode(posterior.mean, train=train)


def halvings(size, times):
    """(28, 28), 3 -> [(28, 28), (14, 14), (7, 7), (4, 4)]: what stride 2 leaves."""
    sizes = [tuple(size)]
    for _ in range(times):
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return sizes


def common(module, init):
    """The keywords that every layer of a module shares."""
    return dict(dtype=module.dtype, kernel_init=init, bias_init=init)


def linear(module, features, x, name=None):
    """A dense layer initialized and computed as its module asks."""
    init = module.initializer(x.shape[-1])
    return nn.Dense(features, name=name, **common(module, init))(x)


def check_sizes(who, module):
    """Every size that a module was given is at least 1."""
    for name in ("latent_dim", "hidden", "widths", "shape"):
        size = getattr(module, name, 1)
        if min(size if isinstance(size, Sequence) else [size]) < 1:
            raise ValueError(f"{who}: expected {name} of 1 or more; got {size}.")
