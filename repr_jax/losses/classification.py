"""Losses that compare logits with labels, or with soft targets."""

import math

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean


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
    log_p = jax.nn.log_softmax(logits, axis=-1)
    targets = jax.nn.one_hot(labels, logits.shape[1], dtype=log_p.dtype)
    targets = (1 - label_smoothing) * targets + label_smoothing / logits.shape[1]
    terms = -jnp.sum(targets * log_p, axis=-1)
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
    chosen = jax.nn.one_hot(labels, p.shape[1], dtype=p.dtype)
    terms = jnp.log(math.e + p.shape[1] - 1) - jnp.sum(chosen * p, axis=-1)
    return masked_mean(terms, where=where, axis_name=axis_name)
