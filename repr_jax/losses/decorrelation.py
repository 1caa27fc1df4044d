"""Losses that push a covariance or correlation of features towards a target.

Statistics are of the present rows of the whole batch, also where it is split.
"""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import (
    checked_rows,
    gather_rows,
    masked_mean,
    num_present,
)
from repr_jax.ops.covariance import (
    cross_covariance,
    scaled,
    unbiased_factor,
    variance,
)
from repr_jax.ops.numerics import l2_normalize, pairwise_dot
from repr_jax.ops.pairs import Rows


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
    Moments are biased: divided by the number of rows.

    Args:
      view_a, view_b: [batch, dim] float, of standard deviations far above
        sqrt(epsilon); row i of both shows example i.
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
    statistics = dict(where=where, axis_name=axis_name)
    (view_a, unit_a), (view_b, unit_b) = (
        scaled(x, **statistics) for x in (view_a, view_b)
    )
    least = jnp.finfo(view_a.dtype).tiny  # or 0 would be divided by 0
    scale_a, scale_b = (
        lax.rsqrt(variance(x, **statistics) + jnp.maximum(epsilon / unit / unit, least))
        for x, unit in ((view_a, unit_a), (view_b, unit_b))
    )
    covariance = cross_covariance(view_a, view_b, **statistics)
    correlation = covariance * scale_a[:, None] * scale_b[None]
    diagonal = jnp.diagonal(correlation)
    off_diagonal = jnp.sum(correlation**2) - jnp.sum(diagonal**2)
    value = jnp.sum((1 - diagonal) ** 2) + off_diagonal_weight * off_diagonal
    return jnp.where(num_present(where, axis_name) > 0, value, 0)


def vicreg(
    view_a: Array,
    view_b: Array,
    *,
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
    epsilon: float = 1e-4,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Views agree, every feature varies, and no two features vary together.

    invariance_weight * `vicreg_invariance`(view_a, view_b)
    + variance_weight / 2 * sum over views of `vicreg_variance`
    + covariance_weight * sum over views of `vicreg_covariance`.

    Args:
      view_a, view_b: [batch, dim] float; row i of both shows example i.
      invariance_weight, variance_weight, covariance_weight: >= 0. The paper writes
        lambda, mu and nu.
      epsilon: > 0, added to each variance.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar, >= 0; variance_weight (1 - sqrt(epsilon)) if all rows are equal.

    Raises:
      ValueError: the two differ in shape or are not [batch, dim].

    Source: Bardes, Ponce and LeCun, "VICReg: Variance-Invariance-Covariance
      Regularization for Self-Supervised Learning", 2022, eq. 1 to 6,
      https://arxiv.org/abs/2105.04906. As in the authors' code the variance term is
      halved and the invariance is a mean over features.
    """
    view_a, view_b, where = checked_rows("vicreg", where, view_a=view_a, view_b=view_b)
    statistics = dict(where=where, axis_name=axis_name)
    invariance = vicreg_invariance(view_a, view_b, **statistics)
    spread = sum(
        vicreg_variance(x, epsilon=epsilon, **statistics) for x in (view_a, view_b)
    )
    redundancy = sum(vicreg_covariance(x, **statistics) for x in (view_a, view_b))
    return (
        invariance_weight * invariance
        + variance_weight / 2 * spread
        + covariance_weight * redundancy
    )


def vicreg_invariance(
    view_a: Array,
    view_b: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Mean over rows and features of (view_a - view_b)^2; arguments as in `vicreg`."""
    view_a, view_b, where = checked_rows(
        "vicreg_invariance", where, view_a=view_a, view_b=view_b
    )
    squares = jnp.mean((view_a - view_b) ** 2, axis=-1)
    return masked_mean(squares, where=where, axis_name=axis_name)


def vicreg_variance(
    x: Array,
    *,
    epsilon: float = 1e-4,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Mean over features of max(0, 1 - sqrt(variance + epsilon)), unbiased variances.

    x: [batch, dim] float, of one view; the rest as in `vicreg`.
    """
    x, where = checked_rows("vicreg_variance", where, x=x)
    checks.non_negative("vicreg_variance", epsilon=epsilon)
    variances = variance(x, where=where, axis_name=axis_name)
    deviation = jnp.sqrt(variances * unbiased_factor(where, axis_name) + epsilon)
    value = jnp.mean(jnp.maximum(1 - deviation, 0))
    return jnp.where(num_present(where, axis_name) > 0, value, 0)


def vicreg_covariance(
    x: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """sum_{k != l} C_kl^2 / dim, with C the unbiased covariance of features.

    x: [batch, dim] float, of one view; the rest as in `vicreg`.
    """
    x, where = checked_rows("vicreg_covariance", where, x=x)
    covariance = cross_covariance(x, x, where=where, axis_name=axis_name)
    covariance = covariance * unbiased_factor(where, axis_name)
    others = 1 - jnp.eye(len(covariance), dtype=covariance.dtype)
    return jnp.sum((covariance * others) ** 2) / len(covariance)


def batch_barlow(
    predictions: Array,
    targets: Array,
    *,
    off_diagonal_weight: float | Array = 0.01,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Predictions correlate with the targets of their row, and with no other row's.

    mean_k mean_i [ (1 - C_kii)^2 + off_diagonal_weight sum_{j != i} C_kij^2 ], C_kij
    the cosine of prediction i and target j of head k. `barlow_twins` over rows in place
    of features. 0 only if the targets are orthogonal, for which batch <= dim.

    Args:
      predictions: [head, batch, dim] float, any scale, of a predictor for each head.
      targets: [head, batch, dim] float, any scale, without gradient: what each of some
        random networks makes of the rows.
      off_diagonal_weight: >= 0.
      chunk_size, ring: as in `contrastive`.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar, >= 0.

    Raises:
      ValueError: the two differ in shape or are not [head, batch, dim].

    Source: Sui et al., "Self-supervised Representation Learning From Random Data
      Projectors", 2023, https://arxiv.org/abs/2310.07756, as in the authors' code,
      which adds rows up.
    """
    who = "batch_barlow"
    checks.non_negative(who, off_diagonal_weight=off_diagonal_weight)
    pairs.check(who, chunk_size, axis_name, ring)
    checks.same_shape(who, rank=3, predictions=predictions, targets=targets)
    by_row = (jnp.moveaxis(x, 1, 0) for x in (predictions, targets))
    predictions, targets, where = checked_rows(
        who, where, rank=3, **dict(zip(("predictions", "targets"), by_row))
    )
    index = pairs.row_index(where, axis_name)

    def squares(rows, columns, weight):
        cosines = jnp.einsum("ikd,jkd->kij", rows.x, columns.x, precision="highest")
        other = weight * jnp.mean(cosines**2, axis=0)
        own = columns.where[None] & ~pairs.others(rows, columns)
        terms = jnp.where(own, jnp.mean((1 - cosines) ** 2, axis=0), other)
        return jnp.where(columns.where[None], terms, 0)

    terms = pairs.total(
        squares,
        Rows(l2_normalize(predictions), where, index),
        Rows(lax.stop_gradient(l2_normalize(targets)), where, index),
        off_diagonal_weight,
        chunk_size=chunk_size,
        axis_name=axis_name,
        ring=ring,
    )
    return masked_mean(terms, where=where, axis_name=axis_name)


def prompt_orthogonality(
    prompts: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """How far learned prompts are from pointing in directions of their own.

    1 / n^2 sum_{i != j} cos(p_i, p_j)^2, over all n^2 entries. Published for normal and
    for abnormal prompts each.

    Args:
      prompts: [prompts, dim] float, any scale.
      where: [prompts] bool, False for absent ones; None if all are present.
      axis_name: the mapped axis the prompts are split over; None if they are whole.

    Returns:
      float32 scalar in [0, 1 - 1 / n]; 0 if they are orthogonal.

    Source: Qu et al., "Bayesian Prompt Flow Learning for Zero-Shot Anomaly Detection",
      2025, https://arxiv.org/abs/2503.10080, as in the authors' code.
    """
    x, where = checked_rows("prompt_orthogonality", where, prompts=prompts)
    rows = Rows(l2_normalize(x), where, pairs.row_index(where, axis_name))
    columns = gather_rows(rows, axis_name)
    squares = pairwise_dot(rows.x, columns.x) ** 2
    squares = jnp.where(pairs.others(rows, columns), squares, 0)
    terms = jnp.sum(squares, axis=1) / jnp.maximum(num_present(where, axis_name), 1)
    return masked_mean(terms, where=where, axis_name=axis_name)
