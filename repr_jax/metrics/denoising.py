"""How good a denoiser is, without clean images: by several noisy copies of each."""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.numerics import to_float


def unsupervised_mse(
    denoised: Array,
    a: Array,
    b: Array,
    c: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """uMSE: the squared error to the clean images that nobody has, without bias.

    mean (a - denoised)^2 - mean (b - c)^2 / 2: the noise of `a` adds its variance to
    the first term, and the second takes it away.

    Args:
      denoised: [batch, ...] float, of a noisy copy that is independent of a.
      a, b, c: of that shape: noisy copies with independent noise of mean 0, whose
        variance may differ between pixels. c may be a itself: as unbiased, with
        another variance.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar, 0 is best in expectation; by chance it may be below.

    Raises:
      ValueError: shapes differ, or values are not finite. TypeError: integers.

    Source: Marcos Morales et al., "Evaluating Unsupervised Denoising Requires
      Unsupervised Metrics", 2023, https://arxiv.org/abs/2210.05553.
    """
    who, arrays = "unsupervised_mse", dict(denoised=denoised, a=a, b=b, c=c)
    *rows, where = checked_rows(who, where, rank=jnp.ndim(denoised), **arrays)
    checks.finite(who, where=where, **arrays)
    denoised, a, b, c = (x.reshape(len(where), -1) for x in rows)
    terms = jnp.mean((a - denoised) ** 2 - (b - c) ** 2 / 2, axis=1)
    return masked_mean(terms, where=where, axis_name=axis_name)


def unsupervised_psnr(umse: Array, *, peak: float = 1.0) -> Array:
    """uPSNR, 10 log10(peak^2 / umse) in decibels; NaN where umse is not above 0.

    Args:
      umse: [...] float, of `unsupervised_mse`.
      peak: > 0, the largest value of a pixel.
    """
    checks.positive("unsupervised_psnr", peak=peak)
    umse = to_float(umse)
    return jnp.where(umse > 0, 10 * jnp.log10(peak**2 / umse), jnp.nan)


def four_copies(images: Array) -> Array:
    """[batch, height, width, ...] -> [4, batch, height / 2, width / 2, ...].

    The four pixels of each 2 x 2 square, as the four noisy copies of a single image.
    Biased where neighboring pixels of the clean image differ.

    Raises:
      ValueError: images are not of rank 3 or more, or a side is odd.
    """
    shape = jnp.shape(images)
    if len(shape) < 3 or shape[1] % 2 or shape[2] % 2:
        raise ValueError(
            f"four_copies: expected images [batch, height, width, ...] of even sides; "
            f"got {shape}."
        )
    corners = [images[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return jnp.stack(corners)
