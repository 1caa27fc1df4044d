"""Losses that compare logits with labels, or with soft targets."""

import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.numerics import one_hot


def cross_entropy(
    logits: Array,
    labels: Array,
    *,
    label_smoothing: float = 0.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How surprised a softmax is by the labels.

    -mean_i sum_c q_ic log p_ic, with p = softmax(logits) and q the label's one-hot code
    times 1 - label_smoothing plus label_smoothing / num_classes.

    Args:
      logits: [batch, num_classes] float.
      labels: [batch] int in [0, num_classes); others have probability 0 and add only
        what smoothing adds.
      label_smoothing: in [0, 1).
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, >= 0; log(num_classes) if all logits of a row are equal.

    Raises:
      ValueError: logits is not [batch, num_classes], or labels not [batch].
      TypeError: integer logits, or labels that are not whole numbers.

    Source: label smoothing is of Szegedy et al., "Rethinking the Inception Architecture
      for Computer Vision", 2016, section 7, https://arxiv.org/abs/1512.00567.
    """
    who = "cross_entropy"
    logits, where = checked_rows(who, where, logits=logits)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.non_negative(who, label_smoothing=label_smoothing)
    targets = one_hot(labels, logits.shape[1], dtype=logits.dtype)
    targets = (1 - label_smoothing) * targets + label_smoothing / logits.shape[1]
    return soft_cross_entropy(logits, targets, where=where, axis_name=axis_name)


def soft_cross_entropy(
    logits: Array,
    targets: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How surprised a softmax is by a distribution over the classes.

    -mean_i sum_c targets_ic log softmax(logits_i)_c

    Args:
      logits: [batch, num_classes] float.
      targets: [batch, num_classes] float, rows that sum to 1; without gradient.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, at least the mean entropy of the targets.

    Raises:
      ValueError: the two are not of one shape [batch, num_classes].
      TypeError: integers.
    """
    logits, targets, where = checked_rows(
        "soft_cross_entropy", where, logits=logits, targets=targets
    )
    log_p = jax.nn.log_softmax(logits, axis=-1)
    terms = -jnp.sum(lax.stop_gradient(targets) * log_p, axis=-1)
    return masked_mean(terms, where=where, axis_name=axis_name)


def evidential_cross_entropy(
    evidence: Array,
    labels: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Expected cross-entropy of labels under a Dirichlet distribution of the shares.

    mean_i [ digamma(sum_c a_ic) - digamma(a_iy) ], a = evidence + 1, y the label.

    `ops.uncertainty.vacuity` of the evidence is the score.

    Args:
      evidence: [batch, num_classes] float >= 0, such as softplus of logits.
      labels: [batch] int in [0, num_classes).
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, > 0; sum_{k=1}^{C-1} 1/k without evidence.

    Raises:
      ValueError: evidence is not [batch, num_classes], or labels not [batch].
      TypeError: integer evidence; labels that are none.

    Source: Sensoy, Kaplan and Kandemir, "Evidential Deep Learning to Quantify
      Classification Uncertainty", 2018, eq. 4, https://arxiv.org/abs/1806.01768. Stands
      in for the unpublished loss of Gasperini et al. (U3HS), 2023: our reading.
    """
    who = "evidential_cross_entropy"
    evidence, where = checked_rows(who, where, evidence=evidence)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    wanted = one_hot(labels, evidence.shape[1], dtype=evidence.dtype)
    own = jnp.sum(wanted * evidence, axis=1)
    total = jnp.sum(evidence, axis=1) + evidence.shape[1]
    terms = jax.scipy.special.digamma(total) - jax.scipy.special.digamma(own + 1)
    return masked_mean(terms, where=where, axis_name=axis_name)


def swapped_cross_entropy(
    logits: Array,
    labels: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy with its arguments exchanged: linear in the label's probability.

    mean_i [ log(e + num_classes - 1) - p_i ], p_i = softmax(logits_i) at the label: the
    label's one-hot code is taken for logits, and the probabilities for the target, as a
    published implementation of a debiased pSp has it. `cross_entropy` is what its text
    asks for.

    Args:
      logits, labels, where, axis_name: as of `cross_entropy`.

    Returns:
      float32 scalar in nats, > 0.

    Raises:
      ValueError, TypeError: as `cross_entropy`.

    Source: Tanjim et al., "Debiasing Image-to-Image Translation Models", 2022 (from
      memory; the exchange is that of code, not of the paper).
    """
    who = "swapped_cross_entropy"
    logits, where = checked_rows(who, where, logits=logits)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    p = jax.nn.softmax(logits, axis=-1)
    chosen = one_hot(labels, p.shape[1], dtype=p.dtype)
    terms = jnp.log(math.e + p.shape[1] - 1) - jnp.sum(chosen * p, axis=-1)
    return masked_mean(terms, where=where, axis_name=axis_name)
