"""How alike two representations are, and how many dimensions one of them uses.

`where` marks present rows; absent ones are as good as deleted. How well positive pairs
agree and how evenly rows are spread are losses too: `losses.alignment` and
`losses.uniformity`.
"""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import (
    checked_rows,
    checked_where,
    gather_rows,
    num_present,
    present,
)
from repr_jax.ops.covariance import cross_covariance, scaled
from repr_jax.ops.numerics import to_float


def linear_cka(
    x: Array,
    y: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Linear centered kernel alignment of two representations of the same rows.

    |X^T Y|^2 / (|X^T X| |Y^T Y|), Frobenius norms, columns of X and Y centered.

    Rotating, scaling or shifting either changes nothing; stretching one direction does.
    With fewer rows than dimensions it is close to 1 for representations that have
    nothing in common: use several times as many rows.

    Args:
      x: [batch, dim] float.
      y: [batch, other dim] float; row i is of the same example as row i of x.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in [0, 1], 1 is equal up to rotation, scale and shift; NaN if one
      does not vary.

    Raises:
      ValueError: x or y is not [batch, dim], or they differ in rows, or are not finite.
      TypeError: integers; a `where` that is not bool.

    Source: Kornblith et al., "Similarity of Neural Network Representations Revisited",
      2019, section 3, https://arxiv.org/abs/1905.00414.
    """
    who = "linear_cka"
    checks.same_shape(who, rank=2, x=x)
    checks.same_shape(who, rank=2, y=y)
    checks.rows(who, len(x), y=y)
    checks.floating(who, x=x, y=y)
    where = checked_where(who, where, jnp.shape(x)[:1])
    checks.finite(who, where=where, x=x, y=y)

    def unit(a):
        a = present(to_float(a), where)
        return scaled(a, where=where, axis_name=axis_name)[0]

    def square(a, b):
        return jnp.sum(cross_covariance(a, b, where=where, axis_name=axis_name) ** 2)

    x, y = unit(x), unit(y)
    below = jnp.sqrt(square(x, x)) * jnp.sqrt(square(y, y))
    return jnp.clip(square(x, y) / below, 0.0, 1.0)  # rounding may exceed 1


def effective_rank(
    x: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """How many directions the rows use: exp of the entropy of the singular values.

    exp( - sum_k p_k log p_k ), p_k = s_k / sum_j s_j, s the singular values of x as it
    is, not centered.

    Scaling or rotating x changes nothing. A representation that collapsed to a point
    has 1; subtract the mean first to ask about the spread around it.

    Args:
      x: [batch, dim] float.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in [1, min(present rows, dim)]; 0 if every entry is 0. Singular
      values below 1e-7 of the largest are rounding, each of which adds up to 2e-6.

    Raises:
      ValueError: x is not [batch, dim], or not finite.
      TypeError: integers; a `where` that is not bool.

    Source: Roy and Vetterli, "The Effective Rank: A Measure of Effective
      Dimensionality", 2007, definition 1, EUSIPCO, pages 606-610.
    """
    shares, counted = _shares("effective_rank", x, where, axis_name)
    logs = jnp.log(jnp.where(shares > 0, shares, 1))
    entropy = -jnp.sum(shares * logs, where=counted)
    return jnp.where(jnp.sum(shares) > 0, jnp.exp(entropy), 0.0)


def rankme(
    x: Array,
    *,
    epsilon: float = 1e-7,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`effective_rank` as RankMe has it, to choose among trained representations.

    exp( - sum_k p_k log p_k ), p_k = s_k / sum_j s_j + epsilon.

    The p_k sum to 1 + min(rows, dim) epsilon, and a singular value of 0 counts as one
    of epsilon times their sum, so that the two differ in about the sixth digit.

    Args:
      x: [batch, dim] float; the paper takes 25,600 rows of the projector's output.
      epsilon: > 0.
      where, axis_name: as of `effective_rank`.

    Returns:
      float32 scalar, about in [1, min(present rows, dim)]; 0 if every entry is 0.

    Raises:
      ValueError, TypeError: as `effective_rank`, or epsilon is not above 0.

    Source: Garrido et al., "RankMe: Assessing the Downstream Performance of Pretrained
      Self-Supervised Representations by Their Rank", 2023, eq. 1,
      https://arxiv.org/abs/2210.02885.
    """
    checks.positive("rankme", epsilon=epsilon)
    shares, counted = _shares("rankme", x, where, axis_name)
    shifted = shares + epsilon
    entropy = -jnp.sum(shifted * jnp.log(shifted), where=counted)
    return jnp.where(jnp.sum(shares) > 0, jnp.exp(entropy), 0.0)


def _shares(who: str, x: Array, where: Array | None, axis_name: str | None) -> tuple:
    """Singular values over their sum, descending; those that present rows can have."""
    x, where = checked_rows(who, where, x=x)
    checks.finite(who, where=where, x=x)
    count = num_present(where, axis_name)
    x = gather_rows(x, axis_name)
    largest = jnp.max(jnp.abs(x), initial=0.0)
    values = jnp.linalg.svd(x / jnp.where(largest == 0, 1, largest), compute_uv=False)
    counted = jnp.arange(len(values)) < count
    values = jnp.where(counted, values, 0)
    total = jnp.sum(values)
    return values / jnp.where(total == 0, 1, total), counted
