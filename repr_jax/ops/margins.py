"""Logits of cosines with a margin: a row must be nearer to its class by so much.

cosines are [batch, num_classes] float in [-1, 1]; labels [batch] int, of which one
outside of [0, num_classes) has no class and no margin; scale > 0, s in the papers.
A margin of cosines may be [1, num_classes], one for each class.
"""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops.numerics import one_hot


def cosface(
    cosines: Array,
    labels: Array,
    *,
    margin: float | Array = 0.35,
    scale: float | Array = 64.0,
) -> Array:
    """scale (c - margin) for the class of the row, scale c for others."""
    own = one_hot(labels, cosines.shape[1], dtype=cosines.dtype)
    return scale * (cosines - margin * own)


def arcface(
    cosines: Array,
    labels: Array,
    *,
    margin: float | Array = 0.5,
    scale: float | Array = 64.0,
) -> Array:
    """scale cos(theta + margin) for the class of the row, scale cos theta for others.

    Beyond theta = pi - margin, where the cosine would rise again, scale (cos theta -
    margin sin(margin)). The slope is finite at cosines of -1 and 1.
    """
    own = one_hot(labels, cosines.shape[1], dtype=bool)
    moved = turned(cosines, margin)
    falls = cosines >= -jnp.cos(margin)
    moved = jnp.where(falls, moved, cosines - margin * jnp.sin(margin))
    return scale * jnp.where(own, moved, cosines)


def turned(cosines: Array, angle: float | Array) -> Array:
    """cos(theta + angle), of finite slope at cosines of -1 and 1."""
    squares = 1 - cosines**2
    apart = ~(squares < 1e-7)  # NaN stays NaN
    sines = jnp.where(apart, jnp.sqrt(jnp.where(apart, squares, 1)), 0)
    return cosines * jnp.cos(angle) - sines * jnp.sin(angle)


def sphereface(
    cosines: Array,
    labels: Array,
    *,
    margin: int = 4,
    scale: float | Array = 1.0,
) -> Array:
    """scale ((-1)^k cos(margin theta) - 2 k) for the class of the row, k = floor(margin
    theta / pi); scale cos theta for others. It falls from theta = 0 to pi.
    """
    own = one_hot(labels, cosines.shape[1], dtype=bool)
    before, turned = jnp.ones_like(cosines), cosines  # cos(n theta), Chebyshev's
    for _ in range(margin - 1):
        before, turned = turned, 2 * cosines * turned - before
    angles = jnp.arccos(jnp.clip(lax.stop_gradient(cosines), -1, 1))
    k = jnp.clip(jnp.floor(margin * angles / jnp.pi), 0, margin - 1)
    sign = 1 - 2 * jnp.mod(k, 2)
    return scale * jnp.where(own, sign * turned - 2 * k, cosines)
