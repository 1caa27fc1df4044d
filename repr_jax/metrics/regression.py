"""How much of real values is explained or predicted. `where` marks present rows."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import centered, checked_rows, checked_where, present
from repr_jax.ops.covariance import cross_covariance, scaled, variance
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


def variance_share(
    hidden: Array,
    features: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """The share of a representation's variance that each feature explains by itself.

    share_k = sum_j cov(h_j, y_k)^2 / var(y_k) / sum_j var(h_j): the R^2 of the linear
    regression of all hidden units on one feature, units in proportion to their
    variance; `r2` weighs them alike.

    Rotating, shifting or scaling the hidden units changes nothing. The shares of
    independent features add up to at most 1. Of held-out rows.

    Args:
      hidden: [batch, units] float.
      features: [batch, features] float, such as 0 and 1.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      [features] in [0, 1]; 0 of a feature or representation that does not vary.

    Raises:
      ValueError: not of rank 2, or they differ in rows, or are not finite.
      TypeError: integers.

    Source: Lampinen, Chan and Hermann, "Learned Feature Representations Are Biased by
      Complexity, Learning Order, Position, and More", 2024,
      https://arxiv.org/abs/2405.05847. The weights by variance are our reading.
    """
    who = "variance_share"
    checks.rows(who, len(hidden), features=features)
    hidden, where = checked_rows(who, where, hidden=hidden)
    features, _ = checked_rows(who, where, features=features)
    checks.finite(who, where=where, hidden=hidden, features=features)
    split = dict(where=where, axis_name=axis_name)
    hidden, features = (scaled(x, **split)[0] for x in (hidden, features))
    shared = jnp.sum(cross_covariance(hidden, features, **split) ** 2, axis=0)
    below = variance(features, **split) * jnp.sum(variance(hidden, **split))
    return jnp.where(below > 0, shared / jnp.where(below > 0, below, 1), 0)


def spearman(x: Array, y: Array, *, where: Array | None = None) -> Array:
    """Correlation of the ranks of two scores of the same things; ties have mid-ranks.

    Rising maps of either change nothing.

    Args:
      x, y: [things] float.
      where: [things] bool, False for absent ones; None if all are present.

    Returns:
      float32 scalar in [-1, 1], 1 is the same order; NaN if either is constant.

    Raises:
      ValueError: shapes differ or are not [things], or not finite. TypeError: integers.
    """
    who = "spearman"
    x, y, where = checked_rows(who, where, rank=1, x=x, y=y)
    checks.finite(who, where=where, x=x, y=y)

    def ranks(values):
        ordered = jnp.sort(jnp.where(where, values, jnp.inf))
        ends = (jnp.searchsorted(ordered, values, side=s) for s in ("left", "right"))
        middle = jnp.where(jnp.isnan(values), jnp.nan, sum(ends) / 2)
        return centered(present(middle, where), where=where)[0]

    x, y = ranks(x), ranks(y)
    return jnp.sum(x * y) / (jnp.sqrt(jnp.sum(x**2)) * jnp.sqrt(jnp.sum(y**2)))
