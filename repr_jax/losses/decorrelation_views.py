"""Losses in which the spread of rows of unit length is steered by a moment of them."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, gather_rows, masked_mean
from repr_jax.ops.covariance import moving_moment
from repr_jax.ops.numerics import l2_normalize, pairwise_dot
from repr_jax.ops.similarity import cosine


def tico(
    view_a: Array,
    view_b: Array,
    covariance: Array,
    *,
    decay: float | Array = 0.9,
    contrast_weight: float | Array = 8.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Views agree, and rows avoid the directions in which rows so far were many.

    1 - mean_i cos(a_i, b_i) + contrast_weight mean_i a_i C a_i, a of unit length, C =
    decay * covariance + (1 - decay) mean_i a_i a_i^T, without gradient:
    `ops.covariance.moving_moment`.

    Args:
      view_a, view_b: [batch, dim] float, any scale; row i of both shows example i.
      covariance: [dim, dim] float, the C of the step before, at first zeros; equal on
        all devices. The caller keeps C for the next step.
      decay: in [0, 1], of C. The paper writes beta.
      contrast_weight: >= 0. The paper writes rho.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar, >= 0 if covariance is a mean of products of rows.

    Raises:
      ValueError: the two differ in shape or are not [batch, dim], or covariance is not
        [dim, dim].

    Source: Zhu et al., "TiCo: Transformation Invariance and Covariance Contrast for
      Self-Supervised Visual Representation Learning", 2022,
      https://arxiv.org/abs/2206.10698.
    """
    checks.non_negative("tico", contrast_weight=contrast_weight)
    view_a, view_b, where = checked_rows("tico", where, view_a=view_a, view_b=view_b)
    split = dict(where=where, axis_name=axis_name)
    checks.shape("tico", 2 * view_a.shape[1:], covariance=covariance)
    checks.floating("tico", covariance=covariance)
    moment = moving_moment(covariance, view_a, decay=decay, **split)
    a, b = l2_normalize(view_a), l2_normalize(view_b)
    contrast = cosine.of_rows(pairwise_dot(a, moment), a)
    terms = 1 - cosine.of_rows(a, b) + contrast_weight * contrast
    return masked_mean(terms, **split)


def mmcr(
    views: Array,
    *,
    local_weight: float | Array = 0.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """The means of the views of examples are to span all directions alike.

    -|C|_* + local_weight mean_i |Z_i|_*, Z_i [view, dim] the views of example i, of
    unit length, C [batch, dim] their means over views, |.|_* the sum of the singular
    values.

    Args:
      views: [view, batch, dim] float, any scale, two views or more; with a target
        network, its views are the second half, with a gradient of their own.
      local_weight: >= 0. The paper writes lambda.
      where: [batch] bool, False for absent examples; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar, at least -sqrt(batch min(batch, dim)) without local_weight.

    Raises:
      ValueError: views are not [view, batch, dim].

    Source: Yerxa et al., "Learning Efficient Coding of Natural Images with Maximum
      Manifold Capacity Representations", 2023, https://arxiv.org/abs/2303.03307.
    """
    checks.non_negative("mmcr", local_weight=local_weight)
    checks.same_shape("mmcr", rank=3, views=views)
    rows, where = checked_rows("mmcr", where, rank=3, views=jnp.moveaxis(views, 1, 0))
    rows = l2_normalize(rows)  # [batch, view, dim]
    spread = _nuclear(gather_rows(jnp.mean(rows, axis=1), axis_name))
    if axis_name is not None:
        spread = lax.pmean(spread, axis_name)  # of equal ones
    local = masked_mean(_nuclear(rows), where=where, axis_name=axis_name)
    return local_weight * local - spread


def _nuclear(x):
    """[..., n, m] -> [...] the sum of the singular values."""
    return jnp.sum(jnp.linalg.svd(x, compute_uv=False), axis=-1)
