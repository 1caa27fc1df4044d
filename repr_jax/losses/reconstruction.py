"""Losses that compare rebuilt input, which was hidden, with the input itself."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean, present
from repr_jax.ops.distances import (
    cosine_distance,
    mean_squared_error,
    perceptual_distance,
)
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


def psp(
    images: Array,
    targets: Array,
    layers: Sequence[Array],
    target_layers: Sequence[Array],
    offsets: Array,
    *,
    perceptual_weight: float = 0.8,
    identity_weight: float = 0.1,
    offset_weight: float = 0.005,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How far images that a generator makes of encoded ones are from these: pSp.

    mean_i [ mean (images_i - targets_i)^2 + perceptual_weight P(f_i, g_i)
             + identity_weight (1 - cos(mean f_i, mean g_i)) + offset_weight |o_i| ],
    P the `metrics.perceptual_distance` of features f of the images and g of the
    targets; of the last layer the means over places tell the identity.

    Args:
      images: [batch, height, width, channels] float, of the generator.
      targets: the like, what was encoded.
      layers, target_layers: of each a tuple of [batch, h, w, features] floats, of one
        frozen network on both.
      offsets: [batch, styles, dim] float, what the encoder adds to the average latent;
        its length is that of all numbers together.
      perceptual_weight, identity_weight, offset_weight: >= 0; those of the recipe for
        super-resolution.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar, >= 0; of equal images offset_weight times the mean length.

    Raises:
      ValueError: shapes that do not fit together, or a weight below 0.

    Source: Richardson et al., "Encoding in Style: a StyleGAN Encoder for Image-to-Image
      Translation", 2021, section 3, https://arxiv.org/abs/2008.00951. Theirs are
      LPIPS, and features of a network of face recognition; here both are of whatever
      network the caller takes.
    """
    who, rank = "psp", max(jnp.ndim(images), 1)
    weights = dict(perceptual_weight=perceptual_weight, identity_weight=identity_weight)
    checks.non_negative(who, offset_weight=offset_weight, **weights)
    images, targets, where = checked_rows(
        who, where, rank=rank, images=images, targets=targets
    )
    offsets, _ = checked_rows(who, where, rank=3, offsets=offsets)
    layers, target_layers = (
        tuple(present(to_float(x), where) for x in found)
        for found in (layers, target_layers)
    )
    ends = (jnp.mean(found[-1], axis=(1, 2)) for found in (layers, target_layers))
    terms = mean_squared_error(images, targets)
    terms += perceptual_weight * perceptual_distance(layers, target_layers)
    terms += identity_weight * cosine_distance(*ends)
    lengths = jnp.sqrt(jnp.sum(offsets**2, axis=(1, 2)) + 1e-12)
    terms += offset_weight * lengths
    return masked_mean(terms, where=where, axis_name=axis_name)
