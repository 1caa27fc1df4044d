"""A residual encoder and decoder of images, as in MMVAE+ and later papers.

A block of n -> m features is shortcut(x) + 0.1 branch(x), where the branch is two times
a leaky ReLU and a convolution of 3 x 3, min(n, m) features between, and the shortcut is
a convolution of 1 x 1 without bias where n and m differ. Slopes are 0.2.

With the defaults and 28 x 28 images: the encoder has 670,144 parameters and those of
its heads, the decoder 669,891 and those of its first layer. A private latent takes an
encoder of its own, as in MMVAE+, where no layer is shared.

Source: Palumbo, Daunhawer and Vogt, "MMVAE+", 2023, code,
https://github.com/epalu/mmvaeplus; after Mescheder, Geiger and Nowozin, "Which Training
Methods for GANs do actually Converge?", 2018, https://arxiv.org/abs/1801.04406.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from repr_jax.models.conv import Conv, doubled
from repr_jax.models.initializers import uniform_fan_in
from repr_jax.models.vae import check_sizes, common, gaussian_log_var, halvings, linear
from repr_jax.models.vae_layers import heads, latents, rows_of

SLOPE = 0.2
BRANCH = 0.1


class ResidualEncoder(nn.Module):
    """[batch, height, width, channels] -> Posterior of [batch, latent_dim] arrays.

    A convolution of 3 x 3 to `width` features, then a block for each entry of `widths`,
    all but the first on an image halved by a mean over 3 x 3, which counts the zeros
    around the image. Two linear heads take what is left, flattened.
    """

    latent_dim: int
    width: int = 64
    widths: Sequence[int] = (64, 128, 256)
    shape: Sequence[int] = (28, 28, 3)
    log_var: Callable = gaussian_log_var  # of the second head, in float32
    initializer: Callable = uniform_fan_in  # fan_in -> initializer
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, x, *, train):
        del train  # nothing here differs in training
        check_sizes("ResidualEncoder", self)
        x = rows_of("ResidualEncoder", self.shape, x).astype(self.dtype)
        x = square_conv(self, self.width, x, size=3)
        for number, width in enumerate(self.widths):
            if number:
                x = nn.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
            x = block(self, width, x)
        return heads(self, x.reshape(x.shape[0], -1))


class ResidualDecoder(nn.Module):
    """[batch, latent_dim] -> [batch, height, width, channels] float32, no activation.

    A linear layer to the smallest image of `width` features, then a block for each
    entry of `widths`, all but the first on an image doubled by repeating its pixels; a
    leaky ReLU and a convolution of 3 x 3 end it.

    Raises:
      ValueError: a size of `shape` that cannot be halved so often.
    """

    width: int = 256
    widths: Sequence[int] = (128, 64, 64)
    shape: Sequence[int] = (28, 28, 3)
    initializer: Callable = uniform_fan_in  # fan_in -> initializer
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, z, *, train):
        del train  # nothing here differs in training
        check_sizes("ResidualDecoder", self)
        times = len(self.widths) - 1
        if any(size % 2**times for size in self.shape[:2]):
            raise ValueError(
                f"ResidualDecoder: expected a height and width that {2**times} "
                f"divides, for {times} doublings; got {tuple(self.shape)}."
            )
        height, width = halvings(self.shape[:2], times)[-1]
        x = latents("ResidualDecoder", z).astype(self.dtype)
        x = linear(self, height * width * self.width, x)
        x = x.reshape(-1, height, width, self.width)
        for number, features in enumerate(self.widths):
            if number:
                x = doubled(x)
            x = block(self, features, x)
        x = square_conv(self, self.shape[-1], nn.leaky_relu(x, SLOPE), size=3)
        return x.astype(jnp.float32)


def block(module, features, x):
    """[batch, H, W, n] -> [batch, H, W, features]; see the module."""
    between = min(x.shape[-1], features)
    branch = square_conv(module, between, nn.leaky_relu(x, SLOPE), size=3)
    branch = square_conv(module, features, nn.leaky_relu(branch, SLOPE), size=3)
    if x.shape[-1] != features:
        init = module.initializer(x.shape[-1])
        x = nn.Dense(features, use_bias=False, dtype=module.dtype, kernel_init=init)(x)
    return x + BRANCH * branch


def square_conv(module, features, x, *, size):
    """A convolution of size x size that keeps the image's size."""
    init = module.initializer(size * size * x.shape[-1])
    pad = (size // 2, size // 2)
    return Conv(features, (size, size), padding=pad, **common(module, init))(x)
