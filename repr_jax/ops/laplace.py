"""Diagonal Laplace distributions as (mean, log_var), of shape [..., dim], in nats.

The same functions as in `gaussian`, so that a loss takes either module. The variance is
2 * scale^2, so log_var = log(2) + 2 * log(scale); the default second argument has mean
0 and variance 1. A product of Laplace densities is no Laplace density: none here.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops.gaussian import FARTHEST, like, row_noise
from repr_jax.ops.numerics import bounded_exp


def kl(
    mean: Array,
    log_var: Array,
    prior_mean: float | Array = 0.0,
    prior_log_var: float | Array = 0.0,
) -> Array:
    """[..., dim] -> [...] KL(Laplace(mean, log_var) || Laplace(prior_mean, ...))."""
    prior_mean, prior_log_var = like(mean, prior_mean, prior_log_var)
    ratio = (log_var - prior_log_var) / 2  # log of scale over prior scale
    distance = jnp.abs(mean - prior_mean)
    own = jnp.minimum(distance / scale(log_var), FARTHEST)
    other = jnp.minimum(distance / scale(prior_log_var), FARTHEST)
    terms = bounded_exp(ratio) * jnp.exp(-own) + other - ratio - 1
    return jnp.sum(terms, axis=-1)


def log_prob(
    x: Array, mean: float | Array = 0.0, log_var: float | Array = 0.0
) -> Array:
    """[..., dim] -> [...] log Laplace(x; mean, log_var)."""
    mean, log_var = like(x, mean, log_var)
    distance = jnp.minimum(jnp.abs(x - mean) / scale(log_var), FARTHEST)
    return -jnp.sum(distance + 0.5 * (log_var + math.log(2)), axis=-1)


def sample(
    keys: Array, mean: Array, log_var: Array, num_samples: int | None = None
) -> Array:
    """One key per row: [..., batch, dim] -> [(num_samples,) ..., batch, dim]."""
    noise = row_noise(jax.random.laplace, keys, mean, num_samples)
    mean, width = like(noise, mean, scale(log_var))
    return mean + width * noise


def scale(log_var: Array) -> Array:
    """The mean absolute deviation: sqrt(variance / 2), bounded on either side."""
    return bounded_exp((log_var - math.log(2)) / 2)
