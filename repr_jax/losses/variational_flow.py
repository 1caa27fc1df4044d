"""Terms of posteriors that a normalizing flow bends."""

from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean, present
from repr_jax.ops.gaussian import log_prob
from repr_jax.ops.numerics import to_float


def flow_kl(
    z: Array,
    bent: Array,
    mean: Array,
    log_var: Array,
    log_det: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """One-sample estimate of the KL from a bent posterior to N(0, I).

    mean_i [ log N(z_i; mean_i, exp log_var_i) - log_det_i - log N(bent_i; 0, I) ], bent
    the flow of z and log_det the sum of its steps'.

    Args:
      z, bent, mean, log_var: [batch, dim] float; z drawn from the posterior before the
        flow.
      log_det: [batch] float.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats; >= 0 in expectation.

    Raises:
      ValueError: shapes differ. TypeError: integers.

    Source: Rezende and Mohamed, "Variational Inference with Normalizing Flows", 2015,
      eq. 15, https://arxiv.org/abs/1505.05770; the regularizer of Bayes-PFL.
    """
    who = "flow_kl"
    rows = dict(z=z, bent=bent, mean=mean, log_var=log_var)
    *rows, where = checked_rows(who, where, **rows)
    checks.shape(who, where.shape, log_det=log_det)
    checks.floating(who, log_det=log_det)
    z, bent, mean, log_var = rows
    log_det = present(to_float(log_det), where)
    terms = log_prob(z, mean, log_var) - log_det - log_prob(bent)
    return masked_mean(terms, where=where, axis_name=axis_name)
