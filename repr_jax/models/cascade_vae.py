"""Two VAEs of which the second rebuilds what the first left out: CVAD."""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from repr_jax.models.conv import Conv, ConvTranspose
from repr_jax.models.initializers import uniform_fan_in
from repr_jax.models.vae import HALVE, Posterior, halvings
from repr_jax.ops import gaussian
from repr_jax.ops.diffusion import split


class Cascade(NamedTuple):
    """What a `CascadeVAE` says of images."""

    first: Posterior  # of [batch, latent_dims[0]] arrays
    second: Posterior  # of [batch, latent_dims[1]] arrays
    reconstruction: Array  # [batch, *shape] float32 in (0, 1), the mean of both


class CascadeVAE(nn.Module):
    """[batch, height, width, channels] in [0, 1] -> Cascade.

    The first VAE has four convolutions of stride 2 and four transposed ones. The second
    sees the maps of a quarter of the sides, after the second convolution of its encoder
    and the second transposed one of its decoder, and goes on with two convolutions.
    Both rebuild the image, through a sigmoid each.

    Source: Guo et al., "CVAD: A Generic Medical Anomaly Detector Based on Cascade VAE",
      2021, https://arxiv.org/abs/2110.15811, with the latent sizes of the authors'
      code. Widths, kernels of 3 x 3 and the depth of the second encoder are ours.
    """

    shape: Sequence[int]  # of an image
    latent_dims: Sequence[int] = (16, 64)
    widths: Sequence[int] = (32, 64, 128, 256)  # channels of the convolutions
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, x, keys=None, *, train):
        """keys: [batch], of both latents; None decodes the means, as in a test."""
        del train  # nothing here differs in training
        if len(self.widths) != 4 or len(self.latent_dims) != 2:
            raise ValueError(
                "CascadeVAE: expected 4 widths and 2 latent_dims; got "
                f"{tuple(self.widths)} and {tuple(self.latent_dims)}."
            )
        if x.ndim != 4 or x.shape[1:] != tuple(self.shape):
            raise ValueError(
                f"CascadeVAE: expected images [batch, *{tuple(self.shape)}]; "
                f"got {x.shape}."
            )
        keys = (None, None) if keys is None else split(keys)
        maps = self._down(x.astype(self.dtype), self.widths, "first")
        first = self._posterior(maps[-1], self.latent_dims[0], "first")
        ups = self._up(_drawn(first, keys[0]), "first")
        seen = jnp.concatenate([ups[1], maps[1]], axis=-1)
        below = self._down(seen, self.widths[2:], "second")
        second = self._posterior(below[-1], self.latent_dims[1], "second")
        both = ups[-1], self._up(_drawn(second, keys[1]), "second")[-1]
        rebuilt = sum(nn.sigmoid(each.astype(jnp.float32)) for each in both) / 2
        return Cascade(first, second, rebuilt)

    def _down(self, x, widths, name):
        """The map after each convolution."""
        maps = []
        for number, width in enumerate(widths):
            layer = dict(name=f"{name}_down_{number}", **self._common(9 * x.shape[-1]))
            x = nn.relu(Conv(width, **HALVE, **layer)(x))
            maps.append(x)
        return maps

    def _posterior(self, x, dim, name):
        x = x.reshape(x.shape[0], -1)
        mean, log_var = (
            nn.Dense(dim, name=f"{name}_{part}", **self._common(x.shape[1]))(x)
            for part in ("mean", "log_var")
        )
        return Posterior(mean.astype(jnp.float32), log_var.astype(jnp.float32))

    def _up(self, z, name):
        """The map after each transposed convolution, the last without activation."""
        sizes = halvings(self.shape[:2], 4)[::-1]  # small to large
        (height, width), start = sizes[0], self.widths[-1]
        layer = dict(name=f"{name}_unfold", **self._common(z.shape[1]))
        x = nn.Dense(height * width * start, **layer)(z.astype(self.dtype))
        x, maps = nn.relu(x).reshape(-1, height, width, start), []
        channels = (*self.widths[-2::-1], self.shape[-1])
        for number, (size, features) in enumerate(zip(sizes[1:], channels)):
            extra = tuple(1 - n % 2 for n in size)  # 7 -> 13 + 1
            layer = dict(name=f"{name}_up_{number}", **self._common(9 * features))
            x = ConvTranspose(features, output_padding=extra, **HALVE, **layer)(x)
            x = nn.relu(x) if number < 3 else x
            maps.append(x)
        return maps

    def _common(self, fan_in):
        init = uniform_fan_in(fan_in)
        return dict(dtype=self.dtype, kernel_init=init, bias_init=init)


def _drawn(posterior, keys):
    """A sample of each row, or the means."""
    return posterior.mean if keys is None else gaussian.sample(keys, *posterior)
