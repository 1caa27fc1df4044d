"""Losses that push a covariance or correlation of features towards a target.

Statistics are of the present rows of the whole batch, biased: divided by their number.
"""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops.batch import centered, checked_rows, masked_mean, num_present
from repr_jax.ops.numerics import pairwise_dot


def barlow_twins(
    view_a: Array,
    view_b: Array,
    *,
    off_diagonal_weight: float = 5e-3,
    epsilon: float = 1e-5,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Each feature of a view correlates with itself in the other, and with no other.

    sum_k (1 - C_kk)^2 + off_diagonal_weight sum_{k != l} C_kl^2, with C_kl the
    correlation over the batch of feature k of one view and feature l of the other.

    Args:
      view_a, view_b: [batch, dim] float, any scale; row i of both shows example i.
      off_diagonal_weight: >= 0. The paper writes lambda.
      epsilon: >= 0, added to each variance, which makes a constant feature's
        correlation 0.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar, >= 0; about 0 if equal views have uncorrelated features.

    Raises:
      ValueError: the two differ in shape or are not [batch, dim].

    Source: Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy
      Reduction", 2021, eqs. 1 and 2, https://arxiv.org/abs/2103.03230. The variance's
      epsilon is that of the batch normalization in the authors' code.
    """
    view_a, view_b, where = checked_rows(
        "barlow_twins", where, view_a=view_a, view_b=view_b
    )
    standard = (standardized(x, epsilon, where, axis_name) for x in (view_a, view_b))
    products = pairwise_dot(*(x.T for x in standard))  # [dim, dim]
    count = num_present(where, axis_name)
    if axis_name is not None:
        products = lax.psum(products, axis_name)
    correlation = products / jnp.maximum(count, 1)
    diagonal = jnp.diagonal(correlation)
    off_diagonal = jnp.sum(correlation**2) - jnp.sum(diagonal**2)
    value = jnp.sum((1 - diagonal) ** 2) + off_diagonal_weight * off_diagonal
    return jnp.where(count > 0, value, 0)


def standardized(
    x: Array, epsilon: float, where: Array, axis_name: str | None
) -> Array:
    """[batch, dim], columns of mean 0 and variance 1 over present rows; absent: 0."""
    x, _ = centered(x, where=where, axis_name=axis_name)
    variance = masked_mean(x**2, where=where, axis_name=axis_name)[None]
    return x * lax.rsqrt(variance + epsilon)
