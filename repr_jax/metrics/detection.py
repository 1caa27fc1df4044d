"""How well scores tell outliers, the positive class, from the rest.

A score is higher for what is more anomalous. Figures of codes that take the inliers for
positive differ: theirs is fpr_at_tpr(-scores, ~outlier). A score that is not a number
loses every comparison. NaN without both classes. O(n log n), all shapes static.
"""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where
from repr_jax.ops.numerics import to_float


def auroc(scores: Array, outlier: Array, *, where: Array | None = None) -> Array:
    """Probability that an outlier has a higher score than another row; ties count half.

    Args:
      scores: [batch] float.
      outlier: [batch] bool.
      where: [batch] bool, False for absent rows; None if all are present.

    Returns:
      float32 scalar in [0, 1], 1 is best and 1/2 is chance; the area under the curve of
      true against false positive rates.

    Raises:
      ValueError: shapes differ or are not [batch]. TypeError: outlier is not bool.

    Source: Hanley and McNeil, "The Meaning and Use of the Area under a Receiver
      Operating Characteristic (ROC) Curve", 1982.
    """
    true, false, _ = _curve("auroc", scores, outlier, where)
    return jnp.sum(jnp.diff(false) * (true[1:] + true[:-1]) / 2)


def minmax_combine(scores: Array, lows: Array, highs: Array) -> Array:
    """[scores, batch] -> [batch] mean of several scores, each from its low to its high.

    mean_s clip((scores_s - lows_s) / (highs_s - lows_s), 0, 1).

    Args:
      scores: [scores, batch] float.
      lows, highs: [scores] float, lows < highs, such as quantiles in training; CVAD
        takes the least and largest of the test set, which must then be at hand.

    Returns:
      [batch] in [0, 1]; a score of NaN makes the mean NaN.

    Source: Guo et al., "CVAD: A Generic Medical Anomaly Detector Based on Cascade VAE",
      2021, https://arxiv.org/abs/2110.15811.
    """
    who = "minmax_combine"
    checks.same_shape(who, rank=2, scores=scores)
    checks.shape(who, jnp.shape(scores)[:1], lows=lows, highs=highs)
    checks.floating(who, scores=scores)
    scores, lows, highs = (to_float(x) for x in (scores, lows, highs))
    shares = (scores - lows[:, None]) / (highs - lows)[:, None]
    return jnp.mean(jnp.clip(shares, 0, 1), axis=0)


def average_precision(
    scores: Array, outlier: Array, *, where: Array | None = None
) -> Array:
    """Mean precision over the outliers, each at its own score as the threshold.

    sum_k (R_k - R_{k-1}) P_k over distinct thresholds k, falling: recall R, precision
    P. Not the trapezoid area under that curve, which some codes report. Arguments and
    errors are those of `auroc`; in (0, 1], 1 is best, chance the share of outliers.
    """
    true, _, precision = _curve("average_precision", scores, outlier, where)
    return jnp.sum(jnp.diff(true) * precision[1:])


def fpr_at_tpr(
    scores: Array, outlier: Array, *, tpr: float = 0.95, where: Array | None = None
) -> Array:
    """The least false positive rate at which a share `tpr` of outliers is found.

    Over the distinct thresholds, without interpolation. Arguments and errors are those
    of `auroc`; tpr in (0, 1]. In [0, 1], 0 is best, `tpr` about chance.
    """
    true, false, _ = _curve("fpr_at_tpr", scores, outlier, where)
    least = jnp.min(jnp.where(true >= tpr - 1e-6, false, jnp.inf))
    return jnp.where(jnp.isfinite(least), least, jnp.nan)


def risk_coverage(
    confidence: Array, correct: Array, *, where: Array | None = None
) -> Array:
    """The area under the curve of risk by coverage: how well errors are kept to last.

    1/n sum_k (share of errors among the k most confident rows)

    Rows of equal confidence count as if drawn in random order.

    Args:
      confidence: [batch] float, higher for what is surer: minus a score. NaN is least.
      correct: [batch] bool.
      where: [batch] bool, False for absent rows; None if all are present.

    Returns:
      float32 scalar in [0, 1], 0 if there is no error, 1 if all are; about the error
      rate if confidence means nothing; NaN if no row is present.

    Raises:
      ValueError: shapes differ or are not [batch]. TypeError: correct is not bool.

    Source: Geifman, Uziel and El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep
      Neural Classifiers", 2019, https://arxiv.org/abs/1805.08206.
    """
    who = "risk_coverage"
    checks.same_shape(who, rank=1, confidence=confidence, correct=correct)
    checks.floating(who, confidence=confidence)
    checks.boolean(who, correct=correct)
    where = checked_where(who, where, confidence.shape)
    counts, here, starts, ends = _sorted(confidence, correct, where)
    before, after = counts[:, starts], counts[:, ends + 1]  # of each row's tie
    taken, size = jnp.cumsum(here), jnp.sum(after - before, axis=0)
    share = (taken - jnp.sum(before, axis=0)) / jnp.maximum(size, 1)
    errors = before[1] + share * (after[1] - before[1])
    total = jnp.sum(jnp.where(here, errors / jnp.maximum(taken, 1), 0))
    return jnp.where(jnp.any(here), total / jnp.maximum(jnp.sum(here), 1), jnp.nan)


def _curve(who, scores, outlier, where):
    """[batch + 1] each: true and false positive rates and precision by threshold.

    Thresholds fall from above all scores; rows with one score enter together, so that
    entries within a tie repeat the one after it.
    """
    checks.same_shape(who, rank=1, scores=scores, outlier=outlier)
    checks.floating(who, scores=scores)
    checks.boolean(who, outlier=outlier)
    where = checked_where(who, where, scores.shape)
    counts, _, _, ends = _sorted(scores, outlier, where)
    counts = jnp.concatenate([counts[:, :1], counts[:, ends + 1]], axis=1)
    true, false = counts / counts[:, -1:]
    precision = counts[0] / jnp.maximum(counts.sum(axis=0), 1)
    both = jnp.all(counts[:, -1] > 0)
    return tuple(jnp.where(both, x, jnp.nan) for x in (true, false, precision))


def _sorted(scores, marked, where):
    """Rows by falling score; NaN is the lowest.

    [2, batch + 1] how many marked and how many other rows come before each place;
    [batch] which are present, and the first and the last place of each one's tie.
    """
    scores = jnp.where(jnp.isnan(scores), -jnp.inf, to_float(scores))
    scores = jnp.where(where, scores, -jnp.inf)
    order = jnp.argsort(-scores)
    scores, here, marked = scores[order], where[order], jnp.asarray(marked)[order]
    counts = jnp.cumsum(jnp.stack([marked & here, ~marked & here]), axis=1)
    counts = jnp.pad(counts.astype(jnp.int32), [(0, 0), (1, 0)])
    edge, place = scores[1:] != scores[:-1], jnp.arange(len(scores))
    starts = lax.cummax(place * jnp.pad(edge, (1, 0), constant_values=True))
    ends = jnp.where(jnp.pad(edge, (0, 1), constant_values=True), place, len(scores))
    return counts, here, starts, lax.cummin(ends, reverse=True)
