"""Losses of labels of which some are rare, or wrong.

Logits are [batch, num_classes] float, labels [batch] int in [0, num_classes).
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.classification import cross_entropy
from repr_jax.losses.classification_segmentation import focal_terms
from repr_jax.ops import checks, margins
from repr_jax.ops.batch import checked_rows, checked_where, masked_mean
from repr_jax.ops.numerics import one_hot, to_float


def logit_adjusted(
    logits: Array,
    labels: Array,
    counts: Array,
    *,
    strength: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of logits to which the log shares of the classes are added.

    `cross_entropy` of logits + strength log(counts / sum_c counts_c). The logits
    themselves then rank classes as if all were equally frequent.

    Args:
      logits: [batch, num_classes] float. labels: [batch] int.
      counts: [num_classes] int or float > 0, rows of each class.
      strength: >= 0; the paper writes tau, and 1 is consistent for the balanced error.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, >= 0.

    Raises:
      ValueError: shapes that do not fit. TypeError: integer logits, other labels.

    Source: Menon et al., "Long-Tail Learning via Logit Adjustment", 2021, eq. 10,
      https://arxiv.org/abs/2007.07314.
    """
    who = "logit_adjusted"
    logits, where = checked_rows(who, where, logits=logits)
    counts = _checked_counts(who, logits, counts)
    checks.non_negative(who, strength=strength)
    log_shares = jnp.log(counts / jnp.sum(counts))
    adjusted = logits + strength * log_shares[None]
    return cross_entropy(adjusted, labels, where=where, axis_name=axis_name)


def ldam(
    cosines: Array,
    labels: Array,
    counts: Array,
    *,
    margin: float | Array = 0.5,
    scale: float | Array = 30.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy with a margin at the label that is wider for rarer classes.

    `cross_entropy` of scale (cosines - m_y at the label y), m_c = margin (n / counts_c)
    ^(1/4), n the smallest count.

    Args:
      cosines: [batch, num_classes] float, of features and weights of unit length.
      labels: [batch] int.
      counts: [num_classes] int or float > 0, rows of each class.
      margin: >= 0, of the rarest class. scale: > 0.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, >= 0.

    Raises:
      ValueError: shapes that do not fit. TypeError: integer cosines, other labels.

    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware
      Margin Loss", 2019, eq. 13, https://arxiv.org/abs/1906.07413; margin and scale as
      in the authors' code.
    """
    cosines, where = checked_rows("ldam", where, cosines=cosines)
    counts = _checked_counts("ldam", cosines, counts)
    checks.shape("ldam", where.shape, labels=labels)
    checks.integers("ldam", labels=labels)
    checks.non_negative("ldam", margin=margin)
    checks.positive("ldam", scale=scale)
    widths = margin * (jnp.min(counts) / counts) ** 0.25
    logits = margins.cosface(cosines, labels, margin=widths[None], scale=scale)
    return cross_entropy(logits, labels, where=where, axis_name=axis_name)


def focal_binary(
    logits: Array,
    targets: Array,
    *,
    gamma: float | Array = 2.0,
    alpha: float | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Binary cross-entropy in which rows that are right already hardly count.

    -mean_i a_i (1 - p_i)^gamma log p_i, p_i = sigmoid(logits_i) if targets_i, else 1 -
    sigmoid(logits_i); a_i = alpha if targets_i, else 1 - alpha, or 1 without alpha.

    `focal_balanced` is that of maps, with a mean of its own for each kind.

    Args:
      logits: [batch] float. targets: [batch] bool.
      gamma: >= 0; 0 is binary cross-entropy.
      alpha: in [0, 1].
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, >= 0; log(2) / 2^gamma of zeros, without alpha.

    Raises:
      ValueError: the two are not of one shape [batch], alpha not in [0, 1].
      TypeError: integer logits, targets that are not bool.

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, eq. 5,
      https://arxiv.org/abs/1708.02002, over the number of rows in place of that of
      positive ones.
    """
    who = "focal_binary"
    logits, where = checked_rows(who, where, rank=1, logits=logits)
    checks.shape(who, logits.shape, targets=targets)
    checks.boolean(who, targets=targets)
    checks.non_negative(who, gamma=gamma)
    terms = focal_terms(logits, targets, gamma)
    if alpha is not None:
        checks.fraction(who, alpha=alpha)
        terms *= jnp.where(targets, alpha, 1 - alpha)
    return masked_mean(terms, where=where, axis_name=axis_name)


def generalized_cross_entropy(
    logits: Array,
    labels: Array,
    *,
    power: float = 0.7,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Between cross-entropy and the error: wrong labels pull less.

    mean_i (1 - p_i^power) / power, p_i = softmax(logits_i) at the label.

    Args:
      logits: [batch, num_classes] float. labels: [batch] int; others add 0.
      power: in (0, 1]; 1 is the mean of 1 - p, and towards 0 it is cross-entropy. The
        paper writes q.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in [0, 1 / power].

    Raises:
      ValueError: shapes that do not fit; power out of range.
      TypeError: integer logits, labels that are none.

    Source: Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural
      Networks with Noisy Labels", 2018, eq. 6, https://arxiv.org/abs/1805.07836.
    """
    who = "generalized_cross_entropy"
    logits, where = checked_rows(who, where, logits=logits)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.fraction(who, power=power)
    checks.positive(who, power=power)
    own = one_hot(labels, logits.shape[1], dtype=logits.dtype)
    log_p = jnp.sum(own * jax.nn.log_softmax(logits, axis=-1), axis=-1)
    terms = -jnp.expm1(power * log_p) / power
    return masked_mean(terms, where=where, axis_name=axis_name)


def gaussian_affinity(
    x: Array,
    labels: Array,
    means: Array,
    covariances: Array,
    *,
    ridge: float = 0.01,
    class_where: Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How near rows are to the Gaussians of other classes, less to that of their own.

    mean_i [ mean_{c != y_i} a_ic - a_i,y_i ], a_ic = exp(-|x_i - means_c|^2 / 2), the
    square being that of Mahalanobis with covariances_c + ridge I.

    Args:
      x: [batch, dim] float. labels: [batch] int in [0, num_classes).
      means: [num_classes, dim] float, covariances: [num_classes, dim, dim] float, such
        as of `ops.class_statistics`; without gradient.
      ridge: > 0.
      class_where: [num_classes] bool, False for classes without rows; None if all have.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in [-1, 1].

    Raises:
      ValueError: shapes that do not fit. TypeError: integers, labels that are none.

    Source: Pan et al., LMD, 2025, as a digest has it; the released code leaves out the
      exponential, which turns the sign of the pull. The mean over other classes, not a
      sum, is our choice.
    """
    who = "gaussian_affinity"
    x, where = checked_rows(who, where, x=x)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.floating(who, means=means, covariances=covariances)
    num_classes, dim = len(means), x.shape[1]
    checks.shape(who, (num_classes, dim), means=means)
    checks.shape(who, (num_classes, dim, dim), covariances=covariances)
    checks.positive(who, ridge=ridge)
    class_where = checked_where(who, class_where, (num_classes,))
    means, covariances = lax.stop_gradient((to_float(means), to_float(covariances)))
    factors = jnp.linalg.cholesky(
        covariances + ridge * jnp.eye(dim, dtype=covariances.dtype)[None]
    )

    def affinity(of_class):
        mean, factor = of_class
        away = jax.scipy.linalg.solve_triangular(factor, (x - mean[None]).T, lower=True)
        return jnp.exp(-0.5 * jnp.sum(away**2, axis=0))

    near = lax.map(affinity, (means, factors)).T  # [batch, num_classes]
    own = one_hot(labels, num_classes, dtype=x.dtype)
    other = class_where[None] * (1 - own)
    others = jnp.sum(near * other, axis=1) / jnp.maximum(jnp.sum(other, axis=1), 1)
    terms = others - jnp.sum(near * own, axis=1)
    return masked_mean(terms, where=where, axis_name=axis_name)


def _checked_counts(who, logits, counts):
    checks.shape(who, logits.shape[1:], counts=counts)
    return jnp.asarray(counts, logits.dtype)
