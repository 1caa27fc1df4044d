"""Arithmetic in a dtype that can bear it, finite even for a diverged network."""

import jax
import jax.numpy as jnp
from jax import Array

EXP_LIMIT = 30.0  # exp(30) = 1e13: what grows from it still has a float32 square


def to_float(x) -> Array:
    """Any float dtype to float32; float64 is kept. Callers refuse integers first."""
    x = jnp.asarray(x)
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def bounded_exp(x: Array) -> Array:
    """exp(x) for |x| up to 30, its tangent above, exp(-30) / (1 + distance) below.

    Finite, above zero, rising, and differentiable; bounded_exp(-x) is its reciprocal.
    """
    inside = jnp.exp(jnp.clip(x, -EXP_LIMIT, EXP_LIMIT))
    above, below = jax.nn.relu(x - EXP_LIMIT), jax.nn.relu(-x - EXP_LIMIT)
    return inside * (1 + above) / (1 + below)


def bounded_expm1(x: Array) -> Array:
    """exp(x) - 1 up to x = 30 and its tangent beyond; no cancellation near 0."""
    slope = jnp.exp(jnp.asarray(EXP_LIMIT, x.dtype))
    return jnp.expm1(jnp.minimum(x, EXP_LIMIT)) + slope * jax.nn.relu(x - EXP_LIMIT)


def l2_normalize(x: Array, *, epsilon: float = 1e-12) -> Array:
    """x / sqrt(|x|^2 + epsilon) over the last axis; zero stays zero, with gradient."""
    x = to_float(x)
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + epsilon)


def pairwise_dot(a: Array, b: Array) -> Array:
    """[n, dim], [m, dim] -> [n, m] inner products in full float32 on every backend."""
    return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)
