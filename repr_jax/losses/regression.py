"""Losses that predict real values by quantiles or densities rather than by means."""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean, present
from repr_jax.ops.buckets import log_prob
from repr_jax.ops.numerics import to_float


def directional_pinball(
    projections: Array,
    quantiles: Array,
    *,
    level: float,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Pinball loss of quantiles of a vector along several directions.

    mean_iu max(level e_iu, (level - 1) e_iu), e = projections - quantiles; its minimum
    over q_iu is the `level` quantile of u . z given the input. A region is where all
    u . z >= q_u, which has less than 1 - level of the mass: 1 - exp(-q^2 / 2) for a
    Gaussian plane, q = the normal quantile of 1 - level.

    Args:
      projections: [batch, directions] float, u . z of unit directions u.
      quantiles: [batch, directions] float, predicted.
      level: in (0, 1), tau.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar, >= 0; half the absolute error at level 1/2.

    Raises:
      ValueError: shapes differ or are not of rank 2; level is not in (0, 1).

    Source: Feldman, Bates and Romano, "Calibrated Multiple-Output Quantile Regression
      with Representation Learning", 2023 (ST-DQR), https://arxiv.org/abs/2110.00816.
    """
    who = "directional_pinball"
    projections, quantiles, where = checked_rows(
        who, where, projections=projections, quantiles=quantiles
    )
    if not 0 < level < 1:
        raise ValueError(f"{who}: expected level in (0, 1); got {level}.")
    errors = projections - quantiles
    terms = jnp.mean(jnp.maximum(level * errors, (level - 1) * errors), axis=1)
    return masked_mean(terms, where=where, axis_name=axis_name)


def bucketed_nll(
    logits: Array,
    y: Array,
    borders: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How surprised a density by buckets is by real values: prior-fitted networks.

    -mean_i log q(y_i), q of `ops.buckets.log_prob`. Of tasks drawn from a prior, with
    logits given each task's context, its minimum is the posterior predictive density.

    Args:
      logits: [batch, ..., buckets] float.
      y: [batch, ...] float.
      borders: [buckets + 1] ascending, such as quantiles of y under the prior.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, any sign: of a density.

    Raises:
      ValueError: shapes that do not fit. TypeError: integers.

    Source: Müller et al., "Transformers Can Do Bayesian Inference", 2022, eq. 2,
      https://arxiv.org/abs/2112.10510.
    """
    who = "bucketed_nll"
    y, where = checked_rows(who, where, rank=jnp.ndim(y), y=y)
    buckets = jnp.shape(borders)[0] - 1
    checks.shape(who, (*y.shape, buckets), logits=logits)
    checks.floating(who, logits=logits, borders=borders)
    logits = present(to_float(logits), where)
    terms = log_prob(logits, y, borders).reshape(len(where), -1)
    return -masked_mean(jnp.mean(terms, axis=1), where=where, axis_name=axis_name)
