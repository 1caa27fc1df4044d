"""Linear regression with a squared penalty; without one, ordinary least squares."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import all_rows, present
from repr_jax.ops.numerics import to_float


class Ridge(NamedTuple):
    """y = (x - center) weights + bias."""

    weights: Array  # [dim, target]
    bias: Array  # [target], the mean of the targets
    center: Array  # [dim], the mean of the inputs


def fit(
    x: Array, y: Array, *, penalty: float = 0.0, where: Array | None = None
) -> Ridge:
    """The minimum of sum_i |(x_i - center) W + bias - y_i|^2 + penalty sum(W^2).

    By singular value decomposition of the centred inputs with sqrt(penalty) I below
    them, which does not square their condition number. Without a penalty and with
    dependent columns: the solution of least norm.

    Args:
      x: [batch, dim] float.
      y: [batch, target] float.
      penalty: >= 0; the bias is not penalised. scikit-learn writes alpha.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: x or y is not of rank 2, or they differ in rows; a negative penalty.
      TypeError: integers.
    """
    checks.same_shape("ridge.fit", rank=2, x=x)
    checks.same_shape("ridge.fit", rank=2, y=y)
    checks.rows("ridge.fit", len(x), y=y)
    checks.floating("ridge.fit", x=x, y=y)
    checks.non_negative("ridge.fit", penalty=penalty)
    where = all_rows(x) if where is None else where
    count = jnp.maximum(jnp.sum(where), 1)
    x, y = present(to_float(x), where), present(to_float(y), where)
    center, bias = jnp.sum(x, axis=0) / count, jnp.sum(y, axis=0) / count
    x, y = present(x - center[None], where), present(y - bias[None], where)
    dim = x.shape[1]
    root = jnp.sqrt(jnp.asarray(penalty, x.dtype)) * jnp.eye(dim, dtype=x.dtype)
    x = jnp.concatenate([x, root])
    y = jnp.concatenate([y, jnp.zeros((dim, y.shape[1]), y.dtype)])
    return Ridge(jnp.linalg.lstsq(x, y)[0], bias, center)


def predict(ridge: Ridge, x: Array) -> Array:
    """[batch, dim] -> [batch, target]."""
    x = to_float(x) - ridge.center[None]
    return jnp.matmul(x, ridge.weights, precision="highest") + ridge.bias[None]
