"""How near two images, or any two arrays, are. The range of values is fixed: [0, 1].

`laplacian_variance` alone is of one image: how sharp it is.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.distances import mean_squared_error
from repr_jax.ops.numerics import to_float

WINDOW = 11  # pixels, at a standard deviation of 1.5, as published
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights, the finest scale first
GRAY = (0.299, 0.587, 0.114)  # of red, green and blue


def psnr(x: Array, y: Array) -> Array:
    """Peak signal-to-noise ratio, -10 log10 of `mean_squared_error`, for a range of 1.

    [batch, ...] -> [batch] decibels, infinite for equal arrays; raises as that does.
    """
    return -10 * jnp.log10(mean_squared_error(x, y))


def ssim(x: Array, y: Array) -> Array:
    """Structural similarity of two images, by Gaussian windows of 11 pixels.

    mean of (2 mx my + c1) (2 cxy + c2) / ((mx^2 + my^2 + c1) (vx + vy + c2)) over all
    windows that lie within the image, and channels; m, v and c are means, variances and
    the covariance in a window, c1 = 0.01^2 and c2 = 0.03^2. (1 - it) / 2 is called
    structural dissimilarity.

    Args:
      x, y: [batch, height, width, channels] floats of range 1, such as [0, 1]; sides of
        11 or more.

    Returns:
      [batch] float32, at most 1, for equal images; about 0 for unrelated ones.

    Raises:
      ValueError: shapes differ, or are not as above.
      TypeError: integers.

    Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural
      Similarity", 2004, eq. 13, https://doi.org/10.1109/TIP.2003.819861. Color images
      channel by channel, as scikit-image does; theirs are gray.
    """
    x, y = _checked("ssim", x, y, 1)
    luminance, contrast = _similarities(x, y)
    return jnp.mean(luminance * contrast, axis=(1, 2, 3))


def ms_ssim(x: Array, y: Array, *, weights: Sequence[float] = SCALES) -> Array:
    """Structural similarity at several scales, each half as fine as the one before.

    prod_s max(contrast_s, 0)^weights_s, the last factor with the luminance too; both
    are those of `ssim`, averaged over windows, and of color images the mean of this
    over channels. Images are halved by means of 2 x 2 pixels, the last row or column of
    an odd side left out.

    Args:
      x, y: as of `ssim`; sides of 11 or more at the last scale: 176 for five.
      weights: a positive number a scale, the finest first; published for five.

    Returns:
      [batch] float32 in [0, 1], 1 for equal images.

    Raises:
      ValueError: as of `ssim`; no weight, or one that is not above 0.

    Source: Wang, Simoncelli and Bovik, "Multi-scale Structural Similarity for Image
      Quality Assessment", 2003, https://doi.org/10.1109/ACSSC.2003.1292216. Negative
      factors, which it leaves undefined, count as 0.
    """
    if not weights:
        raise ValueError("ms_ssim: expected a weight or more; got none.")
    checks.positive("ms_ssim", **{f"weights[{i}]": w for i, w in enumerate(weights)})
    x, y = _checked("ms_ssim", x, y, 2 ** (len(weights) - 1))
    product = jnp.ones((), x.dtype)
    for scale, weight in enumerate(weights):
        if scale:
            x, y = (_halved(a) for a in (x, y))
        luminance, contrast = _similarities(x, y)
        last = scale == len(weights) - 1
        factor = jnp.mean(luminance * contrast if last else contrast, axis=(1, 2))
        product = product * jax.nn.relu(factor) ** weight
    return jnp.mean(product, axis=1)


def laplacian_variance(x: Array) -> Array:
    """Variance of the Laplacian of gray values over an image: the sharper, the higher.

    The Laplacian is the sum of the eight neighbors less eight times the pixel, borders
    mirrored without repeating them. The benchmark of `fairness` reports its negative,
    times 100, as blur.

    Args:
      x: [batch, height, width, 1 or 3] floats, of range 1 by custom; sides >= 2.

    Returns:
      [batch] float32, >= 0, 0 for a flat image.

    Raises:
      ValueError: not as above. TypeError: integers.

    Source: Pech-Pacheco et al., "Diatom Autofocusing in Brightfield Microscopy: a
      Comparative Study", 2000 (from memory).
    """
    who = "laplacian_variance"
    shape = jnp.shape(x)
    if len(shape) != 4 or shape[3] not in (1, 3) or min(shape[1:3]) < 2:
        raise ValueError(
            f"{who}: expected [batch, height, width, 1 or 3], sides of 2 or more; got "
            f"{shape}."
        )
    checks.floating(who, x=x)
    x = gray(to_float(x))
    padded = jnp.pad(x, [(0, 0), (1, 1), (1, 1)], mode="reflect")
    height, width = x.shape[1:]
    around = sum(
        padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)
    )
    return jnp.var(around - 9 * x, axis=(1, 2))


def gray(x: Array) -> Array:
    """[..., 1 or 3] -> [...], 0.299 red + 0.587 green + 0.114 blue."""
    if x.shape[-1] == 1:
        return x[..., 0]
    return sum(weight * x[..., i] for i, weight in enumerate(GRAY))


def _checked(who, x, y, shrinks):
    """Both in float, large enough to be shrunk so much."""
    checks.same_shape(who, rank=4, x=x, y=y)
    checks.floating(who, x=x, y=y)
    least = WINDOW * shrinks
    if min(jnp.shape(x)[1:3]) < least:
        raise ValueError(f"{who}: expected sides of {least} or more; got {x.shape}.")
    return to_float(x), to_float(y)


def _similarities(x, y):
    """Luminance and contrast factors of all windows and channels."""
    x, y = x - 0.5, y - 0.5  # variances round less
    mean_x, mean_y, xx, yy, xy = (_windows(a) for a in (x, y, x * x, y * y, x * y))
    variances = xx - mean_x**2 + yy - mean_y**2
    covariance = xy - mean_x * mean_y
    mean_x, mean_y = mean_x + 0.5, mean_y + 0.5
    luminance = 2 * mean_x * mean_y + 0.01**2
    luminance = luminance / (mean_x**2 + mean_y**2 + 0.01**2)
    return luminance, (2 * covariance + 0.03**2) / (variances + 0.03**2)


def _halved(x):
    """Means of 2 x 2 pixels."""
    height, width = (n // 2 * 2 for n in x.shape[1:3])
    x = x[:, :height, :width]
    rows = x[:, ::2] + x[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) / 4


def _windows(x):
    """Gaussian means of all windows within the images: sides get shorter by 10."""
    weights = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * 1.5**2))
    weights = jnp.asarray(weights / weights.sum(), x.dtype)
    for axis in (1, 2):
        size = x.shape[axis] - WINDOW + 1
        shifted = [
            weights[i] * lax.slice_in_dim(x, i, i + size, axis=axis)
            for i in range(WINDOW)
        ]
        x = jax.tree.reduce(jnp.add, shifted)
    return x
