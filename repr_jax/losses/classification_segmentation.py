"""Losses of maps of logits against masks, for anomalies that fill few pixels.

Source: as used by Qu et al., "Bayesian Prompt Flow Learning for Zero-Shot Anomaly
  Detection", 2025, https://arxiv.org/abs/2503.10080.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean


def focal_balanced(
    logits: Array,
    masks: Array,
    *,
    gamma: float | Array = 2.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Focal loss, its mean over anomalous pixels plus its mean over the others.

    mean_{y = 1} (1 - p)^gamma (-log p) + mean_{y = 0} p^gamma (-log(1 - p)), p the
    sigmoid of a logit: pixels that are right already hardly count, and anomalous ones
    count as much as normal ones, however few there are.

    Args:
      logits: [batch, ...] float, of a pixel being anomalous.
      masks: bool as logits.
      gamma: >= 0; 0 is cross-entropy.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, >= 0; a kind of pixel that is missing adds 0.

    Raises:
      ValueError: shapes differ. TypeError: integer logits, masks that are not bool.

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, eq. 4,
      https://arxiv.org/abs/1708.02002; the balance is that of Qu et al.
    """
    who = "focal_balanced"
    checks.non_negative(who, gamma=gamma)
    logits, masks, where = _checked(who, logits, masks, where)
    signed = jnp.where(masks, logits, -logits)
    wrong, surprise = jax.nn.sigmoid(-signed), -jax.nn.log_sigmoid(signed)
    terms = wrong**gamma * surprise
    kinds = (masks & where[:, None], ~masks & where[:, None])
    return sum(
        masked_mean(terms.ravel(), where=kind.ravel(), axis_name=axis_name)
        for kind in kinds
    )


def dice(
    logits: Array,
    masks: Array,
    *,
    epsilon: float = 1e-5,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """1 - Dice coefficient of a soft and a true mask, the mean over images.

    1 - (2 sum p y + epsilon) / (sum p + sum y + epsilon), p the sigmoid of a logit.

    Args:
      logits, masks, where, axis_name: as of `focal_balanced`.
      epsilon: > 0; of an image without an anomaly it says when p counts as empty.

    Returns:
      float32 scalar in [0, 1], 0 if masks are equal.

    Source: Milletari, Navab and Ahmadi, "V-Net: Fully Convolutional Neural Networks for
      Volumetric Medical Image Segmentation", 2016, https://arxiv.org/abs/1606.04797.
      Sums are not of squares here.
    """
    checks.positive("dice", epsilon=epsilon)
    logits, masks, where = _checked("dice", logits, masks, where)
    p = jax.nn.sigmoid(logits)
    shared = jnp.sum(jnp.where(masks, p, 0), axis=1)
    total = jnp.sum(p, axis=1) + jnp.sum(masks, axis=1)
    terms = 1 - (2 * shared + epsilon) / (total + epsilon)
    return masked_mean(terms, where=where, axis_name=axis_name)


def _checked(who, logits, masks, where):
    """[batch, pixels] both."""
    logits, where = checked_rows(who, where, rank=jnp.ndim(logits), logits=logits)
    checks.shape(who, logits.shape, masks=masks)
    checks.boolean(who, masks=masks)
    masks = lax.stop_gradient(jnp.asarray(masks))
    return *(x.reshape(len(where), -1) for x in (logits, masks)), where
