"""Losses that match what another network, or another view, says without a gradient.

Targets get no gradient, whatever made them: a moving average of the network
(`ops.ema`) or the network itself.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import (
    checked_rows,
    checked_where,
    gather_rows,
    masked_mean,
    num_present,
    present,
)
from repr_jax.ops.numerics import l2_normalize, pairwise_dot, to_float
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
      center: [prototype] float, the running mean of targets: `ops.center`; without
        gradient.
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
    center = lax.stop_gradient(to_float(center))
    logits = (targets - center[None, None]) / target_temperature
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


def rare_prototypes(
    online: Array,
    targets: Array,
    usage: Array,
    *,
    temperature: float | Array = 0.1,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of one view's prototypes in which rare prototypes weigh more.

    -mean_i w_i sum_k targets_ik log softmax(online_i / temperature)_k, w_i = sum_k
    targets_ik / usage_k, scaled to mean 1. With equal usage it is `cross_view` of one
    pair of views.

    Args:
      online: [batch, prototype] float logits.
      targets: [batch, prototype] float probabilities of another view or network,
        without gradient, as the weights.
      usage: [prototype] float, how often each is assigned, such as the running mean of
        targets by `ops.ema`; below 1e-6 it is taken for that.
      temperature: > 0.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats; log(prototypes) if all logits are equal.

    Raises:
      ValueError: shapes that do not fit. TypeError: integers.

    Source: after Lin et al., "Frequency-Aware Self-Supervised Long-Tailed Learning",
      2023, https://arxiv.org/abs/2309.04723. The paper's abstract says that rare
      prototypes weigh more; this weight is our choice.
    """
    who = "rare_prototypes"
    online, targets, where = checked_rows(who, where, online=online, targets=targets)
    checks.shape(who, online.shape[1:], usage=usage)
    checks.floating(who, usage=usage)
    checks.positive(who, temperature=temperature)
    targets = lax.stop_gradient(targets)
    rarity = 1 / jnp.maximum(lax.stop_gradient(to_float(usage)), 1e-6)
    weights = jnp.sum(targets * rarity[None], axis=1)
    mean = masked_mean(weights, where=where, axis_name=axis_name)
    weights /= jnp.where(mean > 0, mean, 1)
    log_p = jax.nn.log_softmax(online / temperature, axis=-1)
    terms = -weights * jnp.sum(targets * log_p, axis=-1)
    return masked_mean(terms, where=where, axis_name=axis_name)


def relation_distillation(
    online: Array,
    targets: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Squared distance of how rows relate to the rows of the batch, in two networks.

    mean_i |r_i - t_i|^2, r_i row i of online online^T, of unit length, t_i of targets.
    The two may differ in width. Rotations and one scale for all rows change nothing.

    Args:
      online: [batch, dim] float, of the network being trained.
      targets: [batch, target_dim] float, of the target network, without gradient.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in [0, 4].

    Raises:
      ValueError: the two are not [batch, dim] of one batch. TypeError: integers.

    Source: Tung and Mori, "Similarity-Preserving Knowledge Distillation", 2019, eqs. 1
      to 4, https://arxiv.org/abs/1907.09682, whose sum is over batch^2; here over
      batch, as in the code of Pan et al., LMD, 2025, where its weight is 10.
    """
    online, targets, where = _of_one_batch(
        "relation_distillation", online, targets, where
    )

    def relations(x):
        return l2_normalize(pairwise_dot(x, gather_rows(x, axis_name)))

    terms = jnp.sum((relations(online) - relations(targets)) ** 2, axis=1)
    return masked_mean(terms, where=where, axis_name=axis_name)


def channel_distillation(
    online: Array,
    targets: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Squared distance of how channels relate to channels, in two networks.

    sum_c |r_c - t_c|^2 / batch, r_c row c of online^T online, of unit length, t_c of
    targets^T targets.

    Args:
      online: [batch, dim] float, of the network being trained.
      targets: [batch, dim] float, of the target network, without gradient.
      where, axis_name: as of `relation_distillation`.

    Returns:
      float32 scalar in [0, 4 dim / batch].

    Raises:
      ValueError: the two are not of one shape [batch, dim]. TypeError: integers.

    Source: Pan et al., LMD, 2025, as in the code, which divides by the batch.
    """
    who = "channel_distillation"
    checks.same_shape(who, rank=2, online=online, targets=targets)
    online, targets, where = _of_one_batch(who, online, targets, where)

    def relations(x):
        products = pairwise_dot(x.T, x.T)
        if axis_name is not None:
            products = lax.psum(products, axis_name)
        return l2_normalize(products)

    away = jnp.sum((relations(online) - relations(targets)) ** 2)
    return away / jnp.maximum(num_present(where, axis_name), 1)


def _of_one_batch(who, online, targets, where):
    """[batch, any dim] both, the second without gradient."""
    checks.same_shape(who, rank=2, online=online)
    checks.rows(who, jnp.shape(online)[0], targets=targets)
    online, where = checked_rows(who, where, online=online)
    targets, where = checked_rows(who, where, targets=targets)
    return online, lax.stop_gradient(targets), where


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
