"""Densities of real numbers, by a bump around each of those that were seen."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where
from repr_jax.ops.numerics import to_float


def log_gaussian(
    points: Array, at: Array, *, bandwidth: float | Array, where: Array | None = None
) -> Array:
    """log mean_j N(at_i; points_j, bandwidth^2): [n], [m] -> [m].

    Args:
      bandwidth: > 0, the standard deviation of a bump.
      where: [n] bool, False for absent points; None if all are present.
    """
    checks.same_shape("log_gaussian", rank=1, points=points)
    checks.same_shape("log_gaussian", rank=1, at=at)
    checks.floating("log_gaussian", points=points, at=at)
    where = checked_where("log_gaussian", where, jnp.shape(points))
    points, at = to_float(points), to_float(at)
    away = (at[:, None] - points[None]) / bandwidth
    logs = jnp.where(where[None], -(away**2) / 2, -jnp.inf)
    constant = jnp.log(bandwidth * np.sqrt(2 * np.pi)) + jnp.log(jnp.sum(where))
    return jax.nn.logsumexp(logs, axis=1) - constant
