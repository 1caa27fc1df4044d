"""Losses that match what another network, or another view, says without a gradient.

Targets get no gradient, whatever made them: a moving average of the network
(`ops.ema`) or the network itself.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, checked_where, masked_mean, present
from repr_jax.ops.numerics import to_float
from repr_jax.ops.similarity import cosine


def negative_cosine(
    predictions: Array,
    targets: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How far predictions point away from the targets of their rows.

    -mean_i cos(predictions_i, targets_i). SimSiam takes the mean of it over the two
    directions, with projections of the other view as targets.

    Args:
      predictions: [batch, dim] float, any scale; of the predictor on one view.
      targets: [batch, dim] float, any scale, without gradient; of the other view.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in [-1, 1]; -1 if all point in the same direction.

    Raises:
      ValueError: the two differ in shape or are not [batch, dim].

    Source: Chen and He, "Exploring Simple Siamese Representation Learning", 2021,
      eq. 1 and 3, https://arxiv.org/abs/2011.10566.
    """
    predictions, targets, where = checked_rows(
        "negative_cosine", where, predictions=predictions, targets=targets
    )
    predictions, targets = (cosine.prepare(x) for x in (predictions, targets))
    similarity = cosine.of_rows(predictions, lax.stop_gradient(targets))
    return -masked_mean(similarity, where=where, axis_name=axis_name)


def byol(
    predictions: Array,
    targets: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Squared distance of predictions and targets of unit length.

    mean_i |p_i - t_i|^2 = 2 - 2 mean_i cos(predictions_i, targets_i). The paper adds
    the two directions up: one view is predicted from the other and conversely.

    Args:
      predictions: [batch, dim] float, any scale; of the online network.
      targets: [batch, dim] float, any scale, without gradient; projections of the
        other view by the target network, whose parameters `ops.ema` moves.
      where, axis_name: as in `negative_cosine`.

    Returns:
      float32 scalar in [0, 4]; 0 if all point in the same direction, 2 if orthogonal.

    Raises:
      ValueError: the two differ in shape or are not [batch, dim].

    Source: Grill et al., "Bootstrap Your Own Latent", 2020, eq. 2,
      https://arxiv.org/abs/2006.07733.
    """
    predictions, targets, where = checked_rows(
        "byol", where, predictions=predictions, targets=targets
    )
    predictions, targets = (cosine.prepare(x) for x in (predictions, targets))
    similarity = cosine.of_rows(predictions, lax.stop_gradient(targets))
    return masked_mean(2 - 2 * similarity, where=where, axis_name=axis_name)


def cross_view(
    online: Array,
    targets: Array,
    *,
    temperature: float | Array = 0.1,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of one view's prototypes, given those that another view has.

    mean over pairs i != j of mean_b -sum_k targets_jbk log softmax(online_ib /
    temperature)_k. DINO and SwAV are this with targets of their own.

    Args:
      online: [view, batch, prototype] float logits, the views with a target first.
      targets: [target view, batch, prototype] float probabilities, without gradient.
      temperature: > 0.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats; log(prototypes) if all logits are equal.

    Raises:
      ValueError: shapes that do not fit together, fewer than two views, or more
        targets than views.

    Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers",
      2021, eq. 3, https://arxiv.org/abs/2104.14294, over all pairs and as a mean.
    """
    who = "cross_view"
    online, targets, where = _views(who, online, targets, where)
    checks.positive(who, temperature=temperature)
    return _cross_view(online / temperature, targets, where, axis_name)


def dino(
    online: Array,
    targets: Array,
    center: Array,
    *,
    temperature: float | Array = 0.1,
    target_temperature: float | Array = 0.04,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`cross_view` with targets that are centered, then sharpened.

    targets_jb = softmax((targets_jb - center) / target_temperature).

    Args:
      online: [view, batch, prototype] float logits, the global views first.
      targets: [global view, batch, prototype] float logits of the target network on
        the first of these views, without gradient.
      center: [prototype] float, the running mean of targets: `ops.center`.
      temperature, target_temperature: > 0. The paper writes tau_s and tau_t; the
        second is the lower one, which sharpens.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats; log(prototypes) if all online logits are equal.

    Raises:
      ValueError: shapes that do not fit together, fewer than two views, or more
        targets than views.

    Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers",
      2021, eq. 1 to 3 and algorithm 1, https://arxiv.org/abs/2104.14294.
    """
    online, targets, where = _views("dino", online, targets, where)
    checks.shape("dino", targets.shape[2:], center=center)
    checks.floating("dino", center=center)
    checks.positive(
        "dino", temperature=temperature, target_temperature=target_temperature
    )
    logits = (targets - to_float(center)[None, None]) / target_temperature
    targets = jax.nn.softmax(logits, axis=-1)
    return _cross_view(online / temperature, targets, where, axis_name)


def ibot(
    online: Array,
    targets: Array,
    mask: Array,
    *,
    temperature: float | Array = 0.1,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of the prototypes of hidden patches, given those of the target.

    mean_b mean_{p masked} -sum_k targets_bpk log softmax(online_bp / temperature)_k
    over the images that have masked patches.

    Args:
      online: [batch, patch, prototype] float logits, of the image with masked patches.
      targets: [batch, patch, prototype] float probabilities of the whole image, without
        gradient, such as `ops.sinkhorn.balanced_assignment`.
      mask: [batch, patch] bool, True for the patches that are hidden.
      temperature: > 0.
      where: [batch] bool, False for absent images; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats; log(prototypes) if all logits are equal, 0 without a mask.

    Raises:
      ValueError: shapes that do not fit together. TypeError: integers; other masks.

    Source: Zhou et al., "iBOT: Image BERT Pre-Training with Online Tokenizer", 2022,
      eq. 2, https://arxiv.org/abs/2111.07832, as in Oquab et al., "DINOv2", 2023,
      https://arxiv.org/abs/2304.07193, whose code divides by the number of all images.
    """
    checks.positive("ibot", temperature=temperature)
    online, targets, where = checked_rows(
        "ibot", where, rank=3, online=online, targets=targets
    )
    checks.shape("ibot", online.shape[:2], mask=mask)
    checks.boolean("ibot", mask=mask)
    mask = jnp.asarray(mask) & where[:, None]
    online, targets = present(online, mask), lax.stop_gradient(present(targets, mask))
    log_p = jax.nn.log_softmax(online / temperature, axis=-1)
    count = jnp.sum(mask, axis=1)
    terms = -jnp.sum(targets * log_p, axis=(1, 2)) / jnp.maximum(count, 1)
    return masked_mean(terms, where=count > 0, axis_name=axis_name)


def _views(who, online, targets, where):
    """[batch, view, prototype] of both, zero where absent, without gradient; where."""
    checks.floating(who, online=online, targets=targets)
    shapes = jnp.shape(online), jnp.shape(targets)
    ranks_fit = all(len(shape) == 3 for shape in shapes)
    fits = ranks_fit and shapes[0][1:] == shapes[1][1:] and len(online) >= 2
    if not fits or not 1 <= len(targets) <= len(online):
        raise ValueError(
            f"{who}: expected online [view, batch, prototype] of two views or more and "
            f"targets of as many or fewer; got {shapes[0]} and {shapes[1]}."
        )
    where = checked_where(who, where, shapes[0][1:2])
    online, targets = (
        present(to_float(jnp.moveaxis(x, 1, 0)), where) for x in (online, targets)
    )
    return online, lax.stop_gradient(targets), where


def _cross_view(logits, targets, where, axis_name):
    """`cross_view` of [batch, view, prototype] logits and probabilities."""
    log_p = jax.nn.log_softmax(logits, axis=-1)
    num_views, num_targets = logits.shape[1], targets.shape[1]
    other = 1.0 - jnp.eye(num_targets, num_views, dtype=log_p.dtype)
    terms = -jnp.einsum("btk,bvk->btv", targets, log_p, precision="highest")
    mean = masked_mean(terms, where=where, axis_name=axis_name)
    return jnp.sum(mean * other) / (num_targets * (num_views - 1))
