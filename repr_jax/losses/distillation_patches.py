"""Patches of an image relate to each other as those of a target network do."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, checked_where, masked_mean, present
from repr_jax.ops.numerics import length


def patch_alignment(
    online: Array,
    targets: Array,
    *,
    patch_where: Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """One minus the linear centered kernel alignment of the patches of each image.

    mean_i [1 - |X_i^T Y_i|^2 / (|X_i^T X_i| |Y_i^T Y_i|)], Frobenius norms, X_i and Y_i
    the patches [patch, dim] of both networks less their means: `metrics.linear_cka` of
    the patches of an image. Rotations, scales and shifts of either change nothing.

    Args:
      online: [batch, patch, dim] float.
      targets: [batch, patch, other dim] float, of the same places, without gradient.
      patch_where: [batch, patch] bool, False for patches that do not count; None if all
        do. Images with fewer than two that count do not.
      where: [batch] bool, False for absent images; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in [0, 1]; of an image whose patches are equal, 1.

    Raises:
      ValueError: shapes that do not fit. TypeError: integers; other masks.

    Source: Yeo, Jang and Kim, "Patch-Level Kernel Alignment for Dense
      Self-Supervised Learning", 2025, https://arxiv.org/abs/2509.05606.
    """
    who = "patch_alignment"
    online, where = checked_rows(who, where, rank=3, online=online)
    targets, _ = checked_rows(who, where, rank=3, targets=targets)
    checks.shape(who, (*online.shape[:2], targets.shape[2]), targets=targets)
    counted = checked_where(who, patch_where, online.shape[:2]) & where[:, None]
    x, y = (_centered(a, counted) for a in (online, lax.stop_gradient(targets)))
    norms = _norm(x, x) * _norm(y, y)
    alignment = _norm(x, y) ** 2 / jnp.where(norms == 0, 1, norms)
    several = jnp.sum(counted, axis=1) > 1
    return masked_mean(1 - alignment, where=several, axis_name=axis_name)


def _centered(x, counted):
    """[batch, patch, dim] less the mean of an image, over its largest entry."""
    x = present(x, counted)
    count = jnp.maximum(jnp.sum(counted, axis=1), 1)[:, None, None]
    for _ in range(2):  # of patches far from 0 the mean is rounded
        x = present(x - jnp.sum(x, axis=1, keepdims=True) / count, counted)
    largest = jnp.max(jnp.abs(lax.stop_gradient(x)), axis=(1, 2), keepdims=True)
    return x / jnp.where(largest == 0, 1, largest)


def _norm(x, y):
    """[batch] Frobenius norms of x^T y."""
    products = jnp.einsum("ipd,ipe->ide", x, y, precision=lax.Precision.HIGHEST)
    return length(products.reshape(len(products), -1))
