"""Does a classifier that says 0.8 have 0.8 right? Errors of probabilities, 0 is best.

A confidence is the probability of the predicted class, or of the positive one; correct
is bool, or the probability of being so. At N rows in B bins even the true probabilities
have an error of up to about 0.4 sqrt(B / N): compare with that. A confidence that is
not a number makes the answer one. 0 if no row is present.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, checked_where, masked_mean, present
from repr_jax.ops.numerics import one_hot, to_float
from repr_jax.ops.quantiles import equal_mass_bins


class Bins(NamedTuple):
    """Means of the rows of each bin; 0 in a bin without rows."""

    count: Array  # [num_bins] int32
    confidence: Array  # [num_bins]
    accuracy: Array  # [num_bins]


def reliability(
    confidence: Array,
    correct: Array,
    *,
    num_bins: int = 15,
    where: Array | None = None,
) -> Bins:
    """Mean confidence and accuracy in bins of equal width, (a, b], 0 in the first.

    Args:
      confidence: [batch] float in [0, 1].
      correct: [batch] bool, or float in [0, 1].
      num_bins: >= 1.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes differ or are not [batch]; a confidence outside of [0, 1].
      TypeError: integers; a `where` that is not bool.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, section 2,
      https://arxiv.org/abs/1706.04599.
    """
    confidence, correct, where = _checked("reliability", confidence, correct, where)
    checks.count("reliability", num_bins=num_bins)
    edges = jnp.arange(1, num_bins, dtype=confidence.dtype) / num_bins
    bins = jnp.searchsorted(edges, confidence, side="left")
    return _means(bins, confidence, correct, where, num_bins)


def adaptive_reliability(
    confidence: Array,
    correct: Array,
    *,
    num_bins: int = 15,
    where: Array | None = None,
) -> Bins:
    """`reliability` in bins of equal mass: bin i has the ranks from i N / B on.

    From floor(i N / B) to below floor((i + 1) N / B), rows of one confidence in their
    order. Arguments and errors are those of `reliability`.

    Source: Nixon et al., "Measuring Calibration in Deep Learning", 2019, section 4,
      https://arxiv.org/abs/1904.01685.
    """
    who = "adaptive_reliability"
    confidence, correct, where = _checked(who, confidence, correct, where)
    checks.count(who, num_bins=num_bins)
    bins = equal_mass_bins(confidence, num_bins=num_bins, where=where)
    return _means(bins, confidence, correct, where, num_bins)


def expected_calibration_error(
    confidence: Array,
    correct: Array,
    *,
    num_bins: int = 15,
    where: Array | None = None,
) -> Array:
    """sum_b n_b / N |mean confidence - accuracy| over the bins of `reliability`.

    Arguments and errors are those of `reliability`; float32 scalar in [0, 1], 0 is
    best. The released code of CaPE weighs all bins alike, which is another number.
    """
    bins = reliability(confidence, correct, num_bins=num_bins, where=where)
    return _weighted_gap(bins)


def adaptive_calibration_error(
    confidence: Array,
    correct: Array,
    *,
    num_bins: int = 15,
    where: Array | None = None,
) -> Array:
    """`expected_calibration_error` over the bins of `adaptive_reliability`."""
    bins = adaptive_reliability(confidence, correct, num_bins=num_bins, where=where)
    return _weighted_gap(bins)


def maximum_calibration_error(
    confidence: Array,
    correct: Array,
    *,
    num_bins: int = 15,
    where: Array | None = None,
) -> Array:
    """max_b |mean confidence - accuracy| over the bins of `reliability`; in [0, 1]."""
    bins = reliability(confidence, correct, num_bins=num_bins, where=where)
    return jnp.max(jnp.abs(bins.confidence - bins.accuracy))


def brier(probabilities: Array, labels: Array, *, where: Array | None = None) -> Array:
    """mean_i sum_c (p_ic - 1[c = label_i])^2.

    Args:
      probabilities: [batch, num_classes] float in [0, 1].
      labels: [batch] int.
      where: [batch] bool, False for absent rows; None if all are present.

    Returns:
      float32 scalar in [0, 2], 0 is best. Codes for two classes that take one column
      have half of it.

    Source: Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950,
      https://doi.org/10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO;2.
    """
    p, where = checked_rows("brier", where, probabilities=probabilities)
    checks.shape("brier", where.shape, labels=labels)
    checks.integers("brier", labels=labels)
    checks.probabilities("brier", where=where, probabilities=probabilities)
    target = one_hot(labels, p.shape[1], dtype=p.dtype)
    return masked_mean(jnp.sum((p - target) ** 2, axis=-1), where=where)


def _checked(who, confidence, correct, where):
    checks.same_shape(who, rank=1, confidence=confidence, correct=correct)
    checks.floating(who, confidence=confidence)
    if jnp.result_type(correct) != jnp.bool_:
        checks.floating(who, correct=correct)
    where = checked_where(who, where, jnp.shape(confidence))
    checks.probabilities(who, where=where, confidence=confidence, correct=correct)
    confidence, correct = (to_float(x) for x in (confidence, correct))
    return present(confidence, where), present(correct, where), where


def _means(bins, confidence, correct, where, num_bins):
    def total(x):
        return jnp.zeros(num_bins, x.dtype).at[bins].add(x)

    count = total(where.astype(jnp.int32))
    means = (total(x) / jnp.maximum(count, 1) for x in (confidence, correct))
    return Bins(count, *means)


def _weighted_gap(bins):
    shares = bins.count / jnp.maximum(jnp.sum(bins.count), 1)
    return jnp.sum(shares * jnp.abs(bins.confidence - bins.accuracy))
