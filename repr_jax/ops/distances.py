"""Distances by row that metrics report and losses descend on."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks, similarity
from repr_jax.ops.numerics import l2_normalize, to_float


def mean_squared_error(x: Array, y: Array) -> Array:
    """[batch, ...] -> [batch] mean over the elements of (x - y)^2, >= 0, 0 is equal.

    Raises:
      ValueError: shapes differ, or there is no element.
      TypeError: integers.
    """
    checks.same_shape("mean_squared_error", x=x, y=y)
    checks.floating("mean_squared_error", x=x, y=y)
    if jnp.ndim(x) < 1 or 0 in jnp.shape(x)[1:]:
        raise ValueError(
            f"mean_squared_error: expected [batch, ...]; got {jnp.shape(x)}."
        )
    squares = (to_float(x) - to_float(y)) ** 2
    return jnp.mean(squares, axis=tuple(range(1, squares.ndim)))


def cosine_distance(x: Array, y: Array) -> Array:
    """[batch, dim] -> [batch] 1 - cosine, in [0, 2], 0 for one direction, 1 for zeros.

    Raises:
      ValueError: shapes differ or are not [batch, dim]. TypeError: integers.
    """
    checks.same_shape("cosine_distance", rank=2, x=x, y=y)
    checks.floating("cosine_distance", x=x, y=y)
    x, y = (similarity.cosine.prepare(a) for a in (x, y))
    return jnp.maximum(1 - similarity.cosine.of_rows(x, y), 0)  # rounding


def perceptual_distance(x: Sequence[Array], y: Sequence[Array]) -> Array:
    """How far features of two images are at several layers of a network.

    sum over layers of the mean over places of |f_x - f_y|^2, features f scaled to
    length 1 at every place. It is LPIPS if the network and the weights of channels are
    its own; here all weigh 1, and the number means something beside the name of the
    network alone.

    Args:
      x, y: a tuple of [batch, height, width, channels] floats, a layer each.

    Returns:
      [batch] float32 in [0, 4 * layers], 0 for equal features.

    Raises:
      ValueError: layers differ in number or shape, or there is none.

    Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a
      Perceptual Metric", 2018, eq. 1, https://arxiv.org/abs/1801.03924.
    """
    who = "perceptual_distance"
    if not x or len(x) != len(y):
        raise ValueError(f"{who}: expected as many layers; got {len(x)} and {len(y)}.")
    total = 0.0
    for number, (a, b) in enumerate(zip(x, y)):
        checks.same_shape(f"{who}, layer {number}", rank=4, x=a, y=b)
        checks.floating(f"{who}, layer {number}", x=a, y=b)
        away = l2_normalize(a) - l2_normalize(b)
        total += jnp.mean(jnp.sum(away**2, axis=-1), axis=(1, 2))
    return total
