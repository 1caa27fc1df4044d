"""Densities of real numbers by buckets, with half-normal tails.

Inner buckets are uniform between their borders. The first and the last reach to
infinity: half-normals from their inner border, whose median is the bucket's width.

Source: Müller et al., "Transformers Can Do Bayesian Inference", 2022, section 4,
  https://arxiv.org/abs/2112.10510, with the tails of the authors' code.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr, ndtri

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float

MEDIAN = 0.6744897501960817  # of a half-normal of scale 1
MEAN = float(np.sqrt(2 / np.pi))


def borders_of(samples: Array, num_buckets: int) -> Array:
    """[num] -> [num_buckets + 1] quantiles, buckets of equal mass, of draws of a prior.

    ValueError where two would be equal.
    """
    checks.count("borders_of", minimum=3, num_buckets=num_buckets)
    levels = jnp.linspace(0, 1, num_buckets + 1)
    borders = jnp.quantile(to_float(samples), levels)
    if checks.known(borders) and not np.all(np.diff(borders) > 0):
        raise ValueError("borders_of: expected samples without so many equal ones.")
    return borders


def log_prob(logits: Array, y: Array, borders: Array) -> Array:
    """[..., buckets], [...], [buckets + 1] -> [...] log density in nats.

    A y on a border belongs to the lower bucket.
    """
    log_p = jax.nn.log_softmax(to_float(logits), axis=-1)
    y, borders = to_float(y), to_float(borders)
    widths = jnp.diff(borders)
    bucket = jnp.searchsorted(borders[1:-1], y, side="left")
    first, last = bucket == 0, bucket == len(widths) - 1
    below, above = borders[1] - y, y - borders[-2]
    scale = widths[bucket] / MEDIAN
    away = jnp.where(first, below, jnp.where(last, above, 0)) / scale
    tail = -(away**2) / 2 - jnp.log(scale) + jnp.log(MEAN)
    inside = jnp.where(first | last, tail, -jnp.log(widths[bucket]))
    chosen = jnp.take_along_axis(log_p, bucket[..., None], axis=-1)[..., 0]
    return jnp.where(jnp.isnan(y), y, chosen + inside)


def mean(logits: Array, borders: Array) -> Array:
    """[..., buckets] -> [...] of the density."""
    borders = to_float(borders)
    widths, middles = jnp.diff(borders), (borders[1:] + borders[:-1]) / 2
    middles = middles.at[0].set(borders[1] - widths[0] / MEDIAN * MEAN)
    middles = middles.at[-1].set(borders[-2] + widths[-1] / MEDIAN * MEAN)
    p = jax.nn.softmax(to_float(logits), axis=-1)
    return jnp.sum(p * middles.reshape((1,) * (p.ndim - 1) + (-1,)), axis=-1)


def cdf(logits: Array, y: Array, borders: Array) -> Array:
    """[..., buckets], [...] -> [...] probability of at most y."""
    p = jax.nn.softmax(to_float(logits), axis=-1)
    y, borders = to_float(y)[..., None], to_float(borders)
    low, high, widths = borders[:-1], borders[1:], jnp.diff(borders)
    shape = (1,) * (p.ndim - 1) + (-1,)
    low, high, widths = (x.reshape(shape) for x in (low, high, widths))
    shares = jnp.clip((y - low) / widths, 0, 1)
    place = jnp.arange(p.shape[-1]).reshape(shape)
    below = jnp.maximum(high - y, 0) / widths * MEDIAN
    above = jnp.maximum(y - low, 0) / widths * MEDIAN
    shares = jnp.where(place == 0, 2 * ndtr(-below), shares)
    last = place == p.shape[-1] - 1
    shares = jnp.where(last, 2 * ndtr(above) - 1, shares)
    return jnp.sum(p * shares, axis=-1)


def quantile(logits: Array, level: float | Array, borders: Array) -> Array:
    """[..., buckets] -> [...] the y of which a share `level` of the mass is below."""
    p = jax.nn.softmax(to_float(logits), axis=-1)
    borders = to_float(borders)
    widths = jnp.diff(borders)
    ends = jnp.cumsum(p, axis=-1)
    level = jnp.broadcast_to(jnp.asarray(level, p.dtype), p.shape[:-1])
    bucket = jnp.sum(ends < level[..., None], axis=-1)
    bucket = jnp.minimum(bucket, p.shape[-1] - 1)
    mass = jnp.take_along_axis(p, bucket[..., None], axis=-1)[..., 0]
    end = jnp.take_along_axis(ends, bucket[..., None], axis=-1)[..., 0]
    share = jnp.clip(1 - (end - level) / jnp.where(mass > 0, mass, 1), 0, 1)
    scale = widths[bucket] / MEDIAN
    below = borders[1] + scale * ndtri(share / 2)  # of the first bucket
    above = borders[-2] + scale * ndtri((1 + share) / 2)
    y = borders[bucket] + share * widths[bucket]
    y = jnp.where(bucket == 0, below, y)
    return jnp.where(bucket == len(widths) - 1, above, y)
