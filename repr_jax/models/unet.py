"""A small U-Net of images and a level of noise, for diffusion and score models."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from repr_jax.models.conv import Conv, doubled

GROUPS = 8  # of group normalization, at most


def sinusoids(level, dim: int):
    """[batch] -> [batch, dim]: sines and cosines, of waves of 2 pi to 20,000 pi."""
    rates = jnp.exp(-math.log(10_000.0) * jnp.arange(dim // 2) / (dim // 2))
    angles = level.astype(jnp.float32)[:, None] * rates[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def normalize(x):
    """Group normalization, of GROUPS groups or as many as divide the channels."""
    return nn.GroupNorm(num_groups=math.gcd(GROUPS, x.shape[-1]))(x)


class Residual(nn.Module):
    """[batch, H, W, in] and a level's embedding [batch, dim] -> [batch, H, W, width].

    Two convolutions of 3 x 3, the embedding added between them; the second starts at 0.
    """

    width: int

    @nn.compact
    def __call__(self, x, embedding, *, train):
        y = Conv(self.width, padding=(1, 1))(nn.silu(normalize(x)))
        y = y + nn.Dense(self.width)(nn.silu(embedding))[:, None, None]
        y = nn.silu(normalize(y))
        zeros = nn.initializers.zeros_init()
        y = Conv(self.width, padding=(1, 1), kernel_init=zeros)(y)
        if x.shape[-1] != self.width:
            x = Conv(self.width, (1, 1))(x)
        return x + y


class Attention(nn.Module):
    """[batch, H, W, C] -> the same, every place looking at all; starts as identity."""

    @nn.compact
    def __call__(self, x, *, train):
        batch, height, width, channels = x.shape
        flat = normalize(x).reshape(batch, height * width, channels)
        query, key, value = (nn.Dense(channels)(flat) for _ in range(3))
        one_head = (x[:, :, None] for x in (query, key, value))
        seen = jax.nn.dot_product_attention(*one_head)[:, :, 0]
        out = nn.Dense(channels, kernel_init=nn.initializers.zeros_init())(seen)
        return x + out.reshape(x.shape)


class UNet(nn.Module):
    """Images [batch, H, W, C] and level [batch] -> [batch, H, W, C].

    Each width is a scale, half as fine as the one before, with `num_blocks` residual
    blocks on the way down and one more on the way up; attention at the last. Sides are
    multiples of 2^(scales - 1). The output starts at 0.

    Source: the structure of Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic
      Models", 2020, appendix B, https://arxiv.org/abs/2006.11239; ours is smaller, has
      attention at one scale alone and no dropout.
    """

    widths: Sequence[int] = (32, 64, 64)
    num_blocks: int = 1

    @nn.compact
    def __call__(self, x, level, *, train):
        factor = 2 ** (len(self.widths) - 1)
        if x.shape[1] % factor or x.shape[2] % factor:
            raise ValueError(
                f"UNet: expected sides that are multiples of {factor}; got {x.shape}."
            )
        channels, dim = x.shape[-1], 4 * self.widths[0]
        embedding = nn.Dense(dim)(sinusoids(level, dim))
        embedding = nn.Dense(dim)(nn.silu(embedding))
        x = Conv(self.widths[0], padding=(1, 1))(x)
        skips = [x]
        for number, width in enumerate(self.widths):
            if number:
                x = Conv(width, strides=(2, 2), padding=(1, 1))(x)
                skips.append(x)
            for _ in range(self.num_blocks):
                x = Residual(width)(x, embedding, train=train)
                skips.append(x)
        x = Attention()(x, train=train)
        x = Residual(self.widths[-1])(x, embedding, train=train)
        for number, width in reversed(list(enumerate(self.widths))):
            for _ in range(self.num_blocks + 1):
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = Residual(width)(x, embedding, train=train)
            if number:
                x = Conv(width, padding=(1, 1))(doubled(x))
        zeros = nn.initializers.zeros_init()
        x = nn.silu(normalize(x))
        return Conv(channels, padding=(1, 1), kernel_init=zeros)(x)
