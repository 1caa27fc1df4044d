"""Encoders and decoders of VAEs that are a list of layers: images, text, vectors.

A layer of a convolution is (features, kernel, stride, padding), the same along each
axis. Text is an image one pixel wide: [batch, length, letters] is convolved along its
length. All start as the published networks do, by `uniform_fan_in`.

The networks of MNIST-SVHN-Text, whose latent has 20 dimensions, with their parameters:

    DenseEncoder(20, shape=(28, 28, 1))                          330,040
    DenseDecoder(shape=(28, 28, 1), output=nn.sigmoid)           322,784
    LayersEncoder(20, SVHN, shape=(32, 32, 3))                   236,360
    LayersDecoder(SVHN_BACK, shape=(32, 32, 3), hidden=128)      233,763
    LayersEncoder(20, WORD, shape=(8, 71))                       145,704
    LayersDecoder(WORD_BACK, shape=(8, 71), hidden=128)          143,175

Source: Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021, code,
https://github.com/thomassutter/MoPoE. Their decoder of text ends in a log-softmax;
here it returns logits, for `likelihood.categorical`. Those of MNIST-SVHN, SVHN_SMALL,
and of CUB, BIRD: Shi et al., "Variational Mixture-of-Experts Autoencoders", 2019, code,
https://github.com/iffsid/mmvae.
"""

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from repr_jax.models.conv import Conv, ConvTranspose
from repr_jax.models.initializers import uniform_fan_in
from repr_jax.models.vae import Posterior, check_sizes, common, gaussian_log_var, linear

SVHN = ((32, 4, 2, 1), (64, 4, 2, 1), (64, 4, 2, 1), (128, 4, 2, 0))
SVHN_BACK = ((64, 4, 1, 0), (64, 4, 2, 1), (32, 4, 2, 1), (3, 4, 2, 1))
WORD = ((128, 1, 1, 0), (128, 4, 2, 1), (128, 4, 2, 0))
WORD_BACK = ((128, 4, 1, 0), (128, 4, 2, 1), (71, 1, 1, 0))
# MMVAE's; the heads are convolutions of 4 x 4 there, which is what is left.
SVHN_SMALL = ((32, 4, 2, 1), (64, 4, 2, 1), (128, 4, 2, 1))
SVHN_SMALL_BACK = ((128, 4, 1, 0), (64, 4, 2, 1), (32, 4, 2, 1), (3, 4, 2, 1))
BIRD = ((64, 4, 2, 1), (128, 4, 2, 1), (256, 4, 2, 1), (512, 4, 2, 1))  # 64 x 64
BIRD_BACK = ((512, 4, 1, 0), (256, 4, 2, 1), (128, 4, 2, 1), (64, 4, 2, 1))
BIRD_BACK += ((3, 4, 2, 1),)


def identity(x):
    """x: the output of a decoder as it is, means or logits."""
    return x


class DenseEncoder(nn.Module):
    """[batch, *shape] -> Posterior of [batch, latent_dim] arrays, by dense layers."""

    latent_dim: int
    widths: Sequence[int] = (400,)
    shape: Sequence[int] = (28, 28, 1)
    log_var: Callable = gaussian_log_var  # of the second head, in float32
    initializer: Callable = uniform_fan_in  # fan_in -> initializer
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, x, *, train):
        del train  # nothing here differs in training
        check_sizes("DenseEncoder", self)
        x = rows_of("DenseEncoder", self.shape, x).astype(self.dtype)
        x = x.reshape(x.shape[0], -1)
        for width in self.widths:
            x = nn.relu(linear(self, width, x))
        return heads(self, x)


class DenseDecoder(nn.Module):
    """[batch, latent_dim] -> [batch, *shape] float32, by dense layers."""

    widths: Sequence[int] = (400,)
    shape: Sequence[int] = (28, 28, 1)
    output: Callable = identity  # of the last layer, such as nn.sigmoid
    initializer: Callable = uniform_fan_in  # fan_in -> initializer
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, z, *, train):
        del train  # nothing here differs in training
        check_sizes("DenseDecoder", self)
        x = latents("DenseDecoder", z).astype(self.dtype)
        for width in self.widths:
            x = nn.relu(linear(self, width, x))
        x = linear(self, math.prod(self.shape), x).astype(jnp.float32)
        return self.output(x.reshape(-1, *self.shape))


class LayersEncoder(nn.Module):
    """[batch, *shape] -> Posterior of [batch, latent_dim] arrays, by convolutions.

    shape is (height, width, channels), or (length, letters) of text. A ReLU follows
    each layer; two linear heads take what is left, flattened.
    """

    latent_dim: int
    layers: Sequence[Sequence[int]]  # (features, kernel, stride, padding) each
    shape: Sequence[int]
    log_var: Callable = gaussian_log_var  # of the second head, in float32
    initializer: Callable = uniform_fan_in  # fan_in -> initializer
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, x, *, train):
        del train  # nothing here differs in training
        check_sizes("LayersEncoder", self)
        x = rows_of("LayersEncoder", self.shape, x).astype(self.dtype)
        text = len(self.shape) == 2
        x = x[:, :, None] if text else x
        for features, *numbers in self.layers:
            keywords = along(numbers, text)
            init = self.initializer(math.prod(keywords["kernel_size"]) * x.shape[-1])
            x = nn.relu(Conv(features, **keywords, **common(self, init))(x))
        return heads(self, x.reshape(x.shape[0], -1))


class LayersDecoder(nn.Module):
    """[batch, latent_dim] -> [batch, *shape] float32, by transposed convolutions.

    They start from one pixel: z itself, or a linear layer of `hidden` features and a
    ReLU. A ReLU follows each layer but the last.

    Raises:
      ValueError: what the layers make is not of `shape`.
    """

    layers: Sequence[Sequence[int]]  # (features, kernel, stride, padding) each
    shape: Sequence[int]
    hidden: int = 0
    output: Callable = identity  # of the last layer, such as nn.sigmoid
    initializer: Callable = uniform_fan_in  # fan_in -> initializer
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, z, *, train):
        del train  # nothing here differs in training
        x = latents("LayersDecoder", z).astype(self.dtype)
        if self.hidden:
            x = nn.relu(linear(self, self.hidden, x))
        x, text = x[:, None, None], len(self.shape) == 2
        for number, (features, *numbers) in enumerate(self.layers, start=1):
            keywords = along(numbers, text)
            init = self.initializer(math.prod(keywords["kernel_size"]) * features)
            x = ConvTranspose(features, **keywords, **common(self, init))(x)
            x = nn.relu(x) if number < len(self.layers) else x
        x = x[:, :, 0] if text else x
        if x.shape[1:] != tuple(self.shape):
            raise ValueError(
                f"LayersDecoder: expected layers that make {tuple(self.shape)}; they "
                f"make {x.shape[1:]}."
            )
        return self.output(x.astype(jnp.float32))


def heads(module, x):
    """[batch, features] -> Posterior by two linear heads of module.latent_dim."""
    mean = linear(module, module.latent_dim, x, name="mean_head")
    log_var = linear(module, module.latent_dim, x, name="log_var_head")
    log_var = module.log_var(log_var.astype(jnp.float32))
    return Posterior(mean.astype(jnp.float32), log_var)


def along(numbers, text):
    """The keywords of a layer's kernel, stride and padding; those of text are 1-D."""
    kernel, stride, padding = numbers
    return dict(
        kernel_size=(kernel, 1 if text else kernel),
        strides=(stride, 1 if text else stride),
        padding=(padding, 0 if text else padding),
    )


def rows_of(who, shape, x):
    """x, if it is [batch, *shape]."""
    if x.shape[1:] != tuple(shape):
        raise ValueError(f"{who}: expected [batch, *{tuple(shape)}]; got {x.shape}.")
    return x


def latents(who, z):
    """z, if it is [batch, latent_dim]."""
    if z.ndim != 2 or z.shape[-1] < 1:
        raise ValueError(f"{who}: expected z [batch, latent_dim]; got {z.shape}.")
    return z
