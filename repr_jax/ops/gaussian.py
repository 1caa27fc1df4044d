"""Diagonal Gaussians as (mean, log_var) arrays of shape [..., dim], in nats.

The standard normal, mean 0 and log_var 0, is the default second argument. Experts are
stacked on axis 0. Values and gradients are finite up to 1e4 in any array at least:
beyond exp(30) exponentials go on along their tangent, and beyond 1e16 standard
deviations a density is constant.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops.batch import checked_where, present
from repr_jax.ops.numerics import bounded_exp, bounded_expm1

FARTHEST = 1e16  # standard deviations; the square still fits float32


def kl(
    mean: Array,
    log_var: Array,
    prior_mean: float | Array = 0.0,
    prior_log_var: float | Array = 0.0,
) -> Array:
    """[..., dim] -> [...] KL(N(mean, log_var) || N(prior_mean, prior_log_var))."""
    prior_mean, prior_log_var = like(mean, prior_mean, prior_log_var)
    distance = _standardized(mean, prior_mean, prior_log_var)
    log_ratio = log_var - prior_log_var
    terms = bounded_expm1(log_ratio) - log_ratio + distance**2
    return 0.5 * jnp.sum(terms, axis=-1)


def log_prob(
    x: Array, mean: float | Array = 0.0, log_var: float | Array = 0.0
) -> Array:
    """[..., dim] -> [...] log N(x; mean, exp log_var)."""
    mean, log_var = like(x, mean, log_var)
    distance = _standardized(x, mean, log_var)
    return -0.5 * jnp.sum(distance**2 + log_var + math.log(2 * math.pi), axis=-1)


def sample(
    keys: Array, mean: Array, log_var: Array, num_samples: int | None = None
) -> Array:
    """One key per row: [..., batch, dim] -> [(num_samples,) ..., batch, dim].

    Reparameterized, mean + exp(log_var / 2) * noise; see `batch.row_keys` for the keys.
    """
    noise = row_noise(jax.random.normal, keys, mean, num_samples)
    mean, scale = like(noise, mean, bounded_exp(log_var / 2))
    return mean + scale * noise


def row_noise(
    draw: Callable, keys: Array, like: Array, num_samples: int | None = None
) -> Array:
    """draw(key, shape, dtype) by row: noise of shape [(num_samples,) *like.shape]."""
    lead = () if num_samples is None else (num_samples,)
    shape = lead + like.shape[:-2] + like.shape[-1:]
    noise = jax.vmap(lambda key: draw(key, shape, like.dtype))(keys)
    return jnp.moveaxis(noise, 0, -2)


def product_of_experts(
    mean: Array,
    log_var: Array,
    *,
    where: Array | None = None,
    prior: bool | Array = False,
) -> tuple[Array, Array]:
    """Normalized product of the experts: precisions add, means weigh by precision.

    mean, log_var: [experts, ..., dim]. where: [experts, ...] bool, the experts that
    take part. prior: bool or [...] bool, is N(0, I) one more expert? Where no expert
    takes part the product is N(0, I). Returns (mean, log_var), each [..., dim].
    """
    where = checked_where("product_of_experts", where, mean.shape[:-1])
    prior = jnp.asarray(prior) | ~jnp.any(where, axis=0)  # [...]
    where = jnp.concatenate([where, prior[None]])
    return _fuse(mean, log_var, where, jnp.zeros(where.shape, mean.dtype))


def geometric_mean(
    mean: Array,
    log_var: Array,
    *,
    weights: Array | None = None,
    prior_weight: float | Array = 0.0,
    where: Array | None = None,
) -> tuple[Array, Array]:
    """Normalized product of the experts, each to the power of its share of the weight.

    weights: [experts] >= 0, default all 1; prior_weight: that of N(0, I). Shares sum to
    1 over the prior and the experts that `where`, [experts, ...], marks. Else like
    `product_of_experts`. Source: Sutter et al. 2020, https://arxiv.org/abs/2006.08242
    """
    where = checked_where("geometric_mean", where, mean.shape[:-1])
    weights = jnp.ones(mean.shape[0]) if weights is None else jnp.asarray(weights)
    weights = weights.astype(mean.dtype).reshape((-1,) + (1,) * (where.ndim - 1))
    weights = jnp.where(where, weights, 0)  # [experts, ...]
    total = jnp.sum(weights, axis=0, keepdims=True) + prior_weight
    prior_weight = jnp.where(total > 0, prior_weight, 1.0)
    share = jnp.concatenate([weights, prior_weight]) / jnp.where(total > 0, total, 1)
    log_share = jnp.log(jnp.where(share > 0, share, 1))
    return _fuse(mean, log_var, share > 0, log_share)


def _fuse(mean, log_var, where, log_share):
    """Product of Gaussians to the power of their shares, of which N(0, I) is the last.

    where, log_share: [experts + 1, ...]. Precisions are relative to the largest one, so
    that none overflows. Sums over experts are unrolled: several times faster on a CPU.
    """
    mean = (*present(mean, where[:-1]), jnp.zeros_like(mean[0]))
    log_var = (*log_var, jnp.zeros_like(log_var[0]))
    log_precision = [a[..., None] - b for a, b in zip(log_share, log_var)]
    where = list(where[..., None])
    lowest = jnp.finfo(mean[0].dtype).min
    there = [jnp.where(w, p, lowest) for w, p in zip(where, log_precision)]
    largest = jax.lax.stop_gradient(functools.reduce(jnp.maximum, there))
    excess = [jnp.where(w, p - largest, 0) for w, p in zip(where, log_precision)]
    weight = [jnp.where(w, jnp.exp(e), 0) for w, e in zip(where, excess)]
    total = sum(weight)  # from 1 to the number of experts
    fused_mean = sum(w * m for w, m in zip(weight, mean)) / total
    return fused_mean, -(largest + jnp.log(total))


def like(x: Array, *parameters: float | Array) -> tuple[Array, ...]:
    """Numbers, [dim] or [..., dim] parameters in the shape of x."""
    return tuple(jnp.broadcast_to(p, x.shape).astype(x.dtype) for p in parameters)


def _standardized(x, mean, log_var):
    distance = (x - mean) * bounded_exp(-log_var / 2)
    return jnp.clip(distance, -FARTHEST, FARTHEST)
