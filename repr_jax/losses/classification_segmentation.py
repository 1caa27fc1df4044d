"""Losses of maps of logits against masks, for anomalies that fill few pixels.

Source: as used by Qu et al., "Bayesian Prompt Flow Learning for Zero-Shot Anomaly
  Detection", 2025, https://arxiv.org/abs/2503.10080.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.numerics import one_hot


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
    terms = focal_terms(logits, masks, gamma)
    kinds = (masks & where[:, None], ~masks & where[:, None])
    return sum(
        masked_mean(terms.ravel(), where=kind.ravel(), axis_name=axis_name)
        for kind in kinds
    )


def focal_terms(logits: Array, targets: Array, gamma: float | Array) -> Array:
    """(1 - p)^gamma (-log p), p the sigmoid of a logit, or 1 less it: by element.

    logits: float, targets: bool of the same shape, which of the two p is.
    """
    signed = jnp.where(targets, logits, -logits)
    return jax.nn.sigmoid(-signed) ** gamma * -jax.nn.log_sigmoid(signed)


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


def copy_paste(
    logits: Array,
    outer_labels: Array,
    inner_labels: Array,
    outside: Array,
    *,
    outer_weight: float | Array = 1.0,
    inner_weight: float | Array = 0.5,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Dice and cross-entropy of images that have a box of other images pasted in.

    1/2 sum_r weight_r (class_dice_r + region_cross_entropy_r) over the regions outside
    and inside of the box, each with the labels of the images that it comes from.

    For an image pasted into a labeled one the defaults hold; of a labeled image pasted
    into another one they are exchanged, and the two losses are added. Labels of images
    without any are those that a moving average of the network predicts (`ops.ema`, 0.99
    in the paper), of each class its largest connected component.

    Args:
      logits: [batch, height, width, class] float.
      outer_labels, inner_labels: [batch, height, width] int in [0, class).
      outside: [height, width] bool, False in the box; one for the batch.
      outer_weight, inner_weight: >= 0; 1 for true labels and 0.5 for predicted ones.
      where: [batch] bool, False for absent images; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar >= 0; a region without pixels adds 0.

    Raises:
      ValueError: shapes that do not fit. TypeError: integer logits, other labels, a
        mask that is not bool.

    Source: Bai et al., "Bidirectional Copy-Paste for Semi-Supervised Medical Image
      Segmentation", 2023, eqs. 5 to 7, https://arxiv.org/abs/2305.00673, as in the
      authors' code: Dice over the whole batch, of squares, the mean over all classes.
    """
    who = "copy_paste"
    checks.same_shape(who, rank=4, logits=logits)
    checks.shape(who, jnp.shape(logits)[1:3], outside=outside)
    checks.boolean(who, outside=outside)
    checks.floating(who, logits=logits)
    checks.non_negative(who, outer_weight=outer_weight, inner_weight=inner_weight)
    split = dict(where=where, axis_name=axis_name)
    outside = jnp.asarray(outside)
    total = 0.0
    for labels, region, weight in (
        (outer_labels, outside, outer_weight),
        (inner_labels, ~outside, inner_weight),
    ):
        both = class_dice(logits, labels, region, **split)
        both += region_cross_entropy(logits, labels, region, **split)
        total += 0.5 * weight * both
    return total


def class_dice(
    logits: Array,
    labels: Array,
    region: Array,
    *,
    epsilon: float = 1e-10,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """1 - Dice coefficient of each class over a region of all images, the mean of them.

    mean_c [ 1 - (2 sum p_c y_c + epsilon) / (sum p_c^2 + sum y_c + epsilon) ], sums
    over the pixels of the region in all present images, p the softmax, y_c whether the
    label is c. `dice` is that of one class, image by image.

    Args:
      logits: [batch, height, width, class] float.
      labels: [batch, height, width] int in [0, class).
      region: [height, width] bool.
      epsilon: > 0.
      where, axis_name: as of `copy_paste`.

    Returns:
      float32 scalar in [0, 1]; 0 of an empty region.

    Source: as `copy_paste`.
    """
    who = "class_dice"
    checks.positive(who, epsilon=epsilon)
    logits, wanted, inside = _region(who, logits, labels, region, where)
    p = jax.nn.softmax(logits, axis=-1)

    def total(values):
        values = jnp.sum(jnp.where(inside[..., None], values, 0), axis=(0, 1, 2))
        return values if axis_name is None else lax.psum(values, axis_name)

    shared, sizes = total(p * wanted), total(p**2) + total(wanted)
    some = total(jnp.ones_like(p)) > 0
    ratio = (2 * shared + epsilon) / (sizes + epsilon)
    return jnp.mean(jnp.where(some, 1 - ratio, 0))


def region_cross_entropy(
    logits: Array,
    labels: Array,
    region: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of the pixels of a region, the mean over those of all images.

    Arguments, errors and source are those of `class_dice`; 0 of an empty region.
    """
    who = "region_cross_entropy"
    logits, wanted, inside = _region(who, logits, labels, region, where)
    terms = -jnp.sum(wanted * jax.nn.log_softmax(logits, axis=-1), axis=-1)
    return masked_mean(terms, where=inside, axis_name=axis_name)


def _region(who, logits, labels, region, where):
    """Logits and one-hot labels, [batch, height, width, class]; which pixels count."""
    logits, where = checked_rows(who, where, rank=4, logits=logits)
    checks.shape(who, logits.shape[:3], labels=labels)
    checks.integers(who, labels=labels)
    checks.shape(who, logits.shape[1:3], region=region)
    checks.boolean(who, region=region)
    wanted = one_hot(labels, logits.shape[3], dtype=logits.dtype)
    inside = where[:, None, None] & jnp.asarray(region)[None]
    return logits, wanted, inside


def _checked(who, logits, masks, where):
    """[batch, pixels] both."""
    logits, where = checked_rows(who, where, rank=jnp.ndim(logits), logits=logits)
    checks.shape(who, logits.shape, masks=masks)
    checks.boolean(who, masks=masks)
    masks = lax.stop_gradient(jnp.asarray(masks))
    return *(x.reshape(len(where), -1) for x in (logits, masks)), where
