"""Linear regression with a squared penalty; without one, ordinary least squares."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import centered, checked_where, masked_mean, present
from repr_jax.ops.numerics import pairwise_dot, stored, to_float


class Ridge(NamedTuple):
    """y = (x - center) weights + bias."""

    weights: Array  # [dim, target]
    bias: Array  # [target], the prediction at the center
    center: Array  # [dim], the mean of the inputs


def fit(
    x: Array, y: Array, *, penalty: float = 0.0, where: Array | None = None
) -> Ridge:
    """The minimum of sum_i |(x_i - center) W + bias - y_i|^2 + penalty sum(W^2).

    By singular value decomposition of the centered inputs with sqrt(penalty) I below
    them, which does not square their condition number. Without a penalty and with
    dependent columns: the solution of least norm.

    Args:
      x: [batch, dim] float.
      y: [batch, target] float.
      penalty: >= 0; the bias is not penalized. scikit-learn writes alpha.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: x or y is not of rank 2 or not finite (traced: weights are NaN), or
        they differ in rows; a negative penalty.
      TypeError: integers; a `where` that is not bool.
    """
    checks.same_shape("ridge.fit", rank=2, x=x)
    checks.same_shape("ridge.fit", rank=2, y=y)
    checks.rows("ridge.fit", len(x), y=y)
    checks.floating("ridge.fit", x=x, y=y)
    checks.non_negative("ridge.fit", penalty=penalty)
    where = checked_where("ridge.fit", where, x.shape[:1])
    checks.finite("ridge.fit", where=where, x=x, y=y)
    return _fit(to_float(x), to_float(y), penalty, where)


@jax.jit
def _fit(x, y, penalty, where):
    x, y = present(x, where), present(y, where)
    center = stored(masked_mean(x, where=where))
    x, rest = centered(present(x - center[None], where), where=where)
    y, bias = centered(y, where=where)
    dim = x.shape[1]
    root = jnp.sqrt(jnp.asarray(penalty, x.dtype)) * jnp.eye(dim, dtype=x.dtype)
    rows = jnp.concatenate([x, root])
    y = jnp.concatenate([y, jnp.zeros((dim, y.shape[1]), y.dtype)])
    weights = jnp.linalg.lstsq(rows, y)[0]
    return Ridge(weights, bias - pairwise_dot(rest[None], weights.T)[0], center)


def predict(ridge: Ridge, x: Array) -> Array:
    """[batch, dim] -> [batch, target]."""
    x = to_float(x) - ridge.center[None]
    return pairwise_dot(x, ridge.weights.T) + ridge.bias[None]
