"""How much of a real-valued target is predicted. `where` marks present rows."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import all_rows, present
from repr_jax.ops.numerics import to_float


def r2(
    predictions: Array,
    targets: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Coefficient of determination, the mean over the coordinates of the target.

    mean_k [ 1 - sum_i (y_ik - p_ik)^2 / sum_i (y_ik - mean_i y_ik)^2 ]

    A coordinate that does not vary counts 1 if it is predicted exactly, else 0.

    Args:
      predictions: [batch, dim] float; also [batch], one coordinate.
      targets: of the same shape.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar, at most 1: 1 is exact, 0 as good as the mean, below 0 worse.

    Raises:
      ValueError: the two differ in shape. TypeError: integers.
    """
    checks.same_shape("r2", predictions=predictions, targets=targets)
    checks.floating("r2", predictions=predictions, targets=targets)
    where = all_rows(targets) if where is None else where
    checks.shape("r2", jnp.shape(targets)[:1], where=where)

    def total(x):
        x = jnp.sum(present(x, where), axis=0)
        return x if axis_name is None else lax.psum(x, axis_name)

    rows = (len(where), -1)
    predictions, targets = (
        present(to_float(x), where).reshape(rows) for x in (predictions, targets)
    )
    count = jnp.maximum(total(where.astype(targets.dtype)), 1)
    mean = total(targets) / count
    residual = total((targets - predictions) ** 2)
    spread = total((targets - mean[None]) ** 2)
    varies = spread > 0
    share = residual / jnp.where(varies, spread, 1.0)
    constant = jnp.where(residual == 0, 0.0, 1.0)
    return jnp.mean(1.0 - jnp.where(varies, share, constant))
