"""Regions of an image, of the same number in both views, are told from all others.

Common to both:
  masks_a, masks_b: [batch, region] int, the number of the mask that each region was
    pooled over; numbers may repeat, and are compared within an image.
  temperature: > 0.
  where: [batch] bool, False for absent images; None if all are present.
  axis_name: the mapped axis the batch is split over; None if it is whole.
Each returns a float32 scalar in nats, and raises ValueError for shapes that do not fit,
TypeError for integers in place of floats or the other way round.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import checked_rows, gather_rows, masked_mean, present
from repr_jax.ops.numerics import class_ids, l2_normalize

HIGH = lax.Precision.HIGHEST


def detcon_s(
    view_a: Array,
    view_b: Array,
    masks_a: Array,
    masks_b: Array,
    *,
    temperature: float | Array = 0.1,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of finding a region in the other view, by one network: DetCon-S.

    `detcon_b` of both views in place of predictions and of targets, with gradient.

    Args:
      view_a, view_b: [batch, region, dim] float, any scale, of pooled regions.

    Source: Henaff et al., "Efficient Visual Pretraining with Contrastive Detection",
      2021, https://arxiv.org/abs/2103.10957, as in the authors' code.
    """
    rows = dict(view_a=view_a, view_b=view_b)
    masks = dict(masks_a=masks_a, masks_b=masks_b)
    checks.positive("detcon_s", temperature=temperature)
    *views, masks, where = _checked("detcon_s", where, rows, masks)
    return _both_ways(views, views, masks, temperature, where, axis_name)


def detcon_b(
    online_a: Array,
    online_b: Array,
    targets_a: Array,
    targets_b: Array,
    masks_a: Array,
    masks_b: Array,
    *,
    temperature: float | Array = 0.1,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of finding a region in the other view, by its target: DetCon-B.

    Sum over both ways of mean_im c_im [ log sum_jn exp(s_imjn / temperature) - mean_n
    s_imin / temperature ], s cosines of region m of image i online and region n of
    image j of the targets of both views. The second mean is over the regions n of the
    other view that have the number of m; regions of the own view and image that have it
    are left out of the sum. c_im is 0 without any in the other view, else 1 over their
    number in the own one.

    Args:
      online_a, online_b: [batch, region, dim] float, any scale, predictions of regions.
      targets_a, targets_b: the same of the target network, without gradient.

    Source: as `detcon_s`.
    """
    rows = dict(online_a=online_a, online_b=online_b)
    rows |= dict(targets_a=targets_a, targets_b=targets_b)
    masks = dict(masks_a=masks_a, masks_b=masks_b)
    checks.positive("detcon_b", temperature=temperature)
    *rows, masks, where = _checked("detcon_b", where, rows, masks)
    targets = lax.stop_gradient(rows[2:])
    return _both_ways(rows[:2], targets, masks, temperature, where, axis_name)


def _checked(who, where, rows, masks):
    """Rows of unit length, zero where absent; [view, batch, region] masks; where."""
    *found, where = checked_rows(who, where, rank=3, **rows)
    for name, mask in masks.items():
        checks.shape(who, found[0].shape[:2], **{name: mask})
        checks.integers(who, **{name: mask})
    several = tuple(masks.values())
    traced = any(isinstance(mask, Array) for mask in several)
    masks = class_ids((jnp if traced else np).stack(several))
    return *(l2_normalize(x) for x in found), masks, where


def _both_ways(online, targets, masks, temperature, where, axis_name):
    """Of a among b and a, and of b among a and b."""
    masks = [present(mask, where) for mask in masks]
    index = pairs.row_index(where, axis_name)
    split = (targets, masks, where, index)
    all_targets, all_masks, there, all_index = gather_rows(split, axis_name)
    same_image = (index[:, None] == all_index[None])[:, None, :, None]
    terms = 0.0
    for own, other in ((0, 1), (1, 0)):
        matched, itself = (
            same_image & (masks[own][:, :, None, None] == all_masks[view][None, None])
            for view in (other, own)
        )
        logits = [
            jnp.einsum("imd,jnd->imjn", online[own], all_targets[view], precision=HIGH)
            / temperature
            for view in (other, own)
        ]
        own_masks = masks[own][:, :, None] == masks[own][:, None]
        weights = 1 / jnp.sum(own_masks, axis=2)
        terms += jnp.mean(weights * _found(*logits, matched, itself, there), axis=1)
    return masked_mean(terms, where=where, axis_name=axis_name)


def _found(others, own, matched, itself, there):
    """[batch, region] cross-entropy of [batch, region, all images, region] logits."""
    axes, there = (2, 3), there[None, None, :, None]
    count = jnp.sum(matched & there, axis=axes)
    counted = (count > 0)[:, :, None, None]
    kept = [jnp.where(there, others, -jnp.inf)]
    kept += [jnp.where(there & ~itself, own, -jnp.inf)]
    kept = [jnp.where(counted, x, 0) for x in kept]  # -inf all have no gradient
    log_sum = jax.nn.logsumexp(jnp.concatenate(kept, axis=2), axis=axes)
    positives = jnp.sum(jnp.where(matched & there, others, 0), axis=axes)
    return jnp.where(count > 0, log_sum - positives / jnp.maximum(count, 1), 0)
