"""Encoders to distributions on the unit sphere."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from repr_jax.ops.numerics import l2_normalize


class SpherePosterior(NamedTuple):
    """A von Mises-Fisher distribution per row."""

    mean: Array  # [batch, latent_dim] float32, of length 1
    concentration: Array  # [batch] float32, above `least`


class SphereEncoder(nn.Module):
    """[batch, ...] -> SpherePosterior by one hidden layer; trailing axes are flattened.

    The concentration is softplus of an output plus `least`.

    Source: Chen et al., "A Boundary Based Out-of-Distribution Classifier for
      Generalized Zero-Shot Learning", 2020, https://arxiv.org/abs/2008.04872, with the
      sizes and the least concentration of the authors' code.
    """

    latent_dim: int = 64
    hidden: int = 512
    least: float = 100.0
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, x, *, train):
        del train  # nothing here differs in training
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        h = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x))
        mean = nn.Dense(self.latent_dim, dtype=self.dtype, name="mean_head")(h)
        raw = nn.Dense(1, dtype=self.dtype, name="concentration_head")(h)[:, 0]
        concentration = nn.softplus(raw.astype(jnp.float32)) + self.least
        return SpherePosterior(l2_normalize(mean.astype(jnp.float32)), concentration)
