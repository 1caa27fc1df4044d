"""How much of a real-valued target is predicted. `where` marks present rows."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import centered, checked_where, present
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
      ValueError: the two differ in shape or are not finite.
      TypeError: integers; a `where` that is not bool.
    """
    checks.same_shape("r2", predictions=predictions, targets=targets)
    checks.floating("r2", predictions=predictions, targets=targets)
    where = checked_where("r2", where, jnp.shape(targets)[:1])
    checks.finite("r2", where=where, predictions=predictions, targets=targets)

    def total(x):
        x = jnp.sum(present(x, where), axis=0)
        return x if axis_name is None else lax.psum(x, axis_name)

    def largest(x):
        x = jnp.max(jnp.where(where[:, None], x, -jnp.inf), axis=0)
        return x if axis_name is None else lax.pmax(x, axis_name)

    predictions, targets = (
        present(to_float(x), where).reshape(len(where), -1)
        for x in (predictions, targets)
    )
    error = targets - predictions
    below = present(targets - largest(targets)[None], where)  # exact if constant
    below, _ = centered(below, where=where, axis_name=axis_name)
    scale = largest(jnp.abs(below))
    constant = scale == 0
    unit = jnp.where(constant, 1, scale)[None]  # so that no square underflows
    spread = jnp.where(constant, 1, total((below / unit) ** 2))
    unexplained = total((error / unit) ** 2) / spread
    wrong = jnp.sign(total(jnp.abs(error)))
    return jnp.mean(1 - jnp.where(constant, wrong, unexplained))
