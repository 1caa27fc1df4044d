"""Losses that compare rebuilt input, which was hidden, with the input itself."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.numerics import to_float


def masked_patches(
    predictions: Array,
    patches: Array,
    hidden: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Squared error of patches that the encoder did not see.

    mean over hidden patches, of all images, of the mean over a patch's values of
    (predictions - patches)^2; visible patches do not count.

    Args:
      predictions: [batch, patch, dim] float, of the decoder.
      patches: [batch, patch, dim] float, without gradient: `ops.patches.patchify` of
        the images, or `normalized_patches` of that.
      hidden: [batch, patch] bool, True for what is to be rebuilt.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar, >= 0; about 1 if normalized patches are predicted to be flat. 0 if
      nothing is hidden.

    Raises:
      ValueError: shapes that do not fit together.
      TypeError: hidden or where that are not bool.

    Source: He et al., "Masked Autoencoders Are Scalable Vision Learners", 2022, section
      3, https://arxiv.org/abs/2111.06377.
    """
    who = "masked_patches"
    predictions, patches, where = checked_rows(
        who, where, rank=3, predictions=predictions, patches=patches
    )
    checks.shape(who, patches.shape[:2], hidden=hidden)
    checks.boolean(who, hidden=hidden)
    errors = jnp.mean((predictions - lax.stop_gradient(patches)) ** 2, axis=-1)
    counted = jnp.asarray(hidden) & where[:, None]
    return masked_mean(errors, where=counted, axis_name=axis_name)


def normalized_patches(patches: Array, *, epsilon: float = 1e-6) -> Array:
    """[..., dim], each patch of mean 0 and variance 1 over its values; a flat one is 0.

    Source: He et al., "Masked Autoencoders Are Scalable Vision Learners", 2022, section
      4.1, https://arxiv.org/abs/2111.06377; unbiased variance and epsilon as in their
      code.
    """
    checks.floating("normalized_patches", patches=patches)
    patches = to_float(patches)
    centered = patches - jnp.mean(patches, axis=-1, keepdims=True)
    square = jnp.sum(centered**2, axis=-1, keepdims=True) / (patches.shape[-1] - 1)
    return centered * lax.rsqrt(square + epsilon)
