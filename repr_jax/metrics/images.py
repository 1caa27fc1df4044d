"""How near two images, or any two arrays, are. The range of values is fixed: [0, 1]."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float

WINDOW = 11  # pixels, at a standard deviation of 1.5, as published


def mean_squared_error(x: Array, y: Array) -> Array:
    """[batch, ...] -> [batch] mean over the elements of (x - y)^2, >= 0, 0 is equal.

    Raises:
      ValueError: shapes differ, or there is no element.
      TypeError: integers.
    """
    checks.same_shape("mean_squared_error", x=x, y=y)
    checks.floating("mean_squared_error", x=x, y=y)
    if jnp.ndim(x) < 1 or 0 in jnp.shape(x)[1:]:
        raise ValueError(
            f"mean_squared_error: expected [batch, ...]; got {jnp.shape(x)}."
        )
    squares = (to_float(x) - to_float(y)) ** 2
    return jnp.mean(squares, axis=tuple(range(1, squares.ndim)))


def ssim(x: Array, y: Array) -> Array:
    """Structural similarity of two images, by Gaussian windows of 11 pixels.

    mean of (2 mx my + c1) (2 cxy + c2) / ((mx^2 + my^2 + c1) (vx + vy + c2)) over all
    windows that lie within the image, and channels; m, v and c are means, variances and
    the covariance in a window, c1 = 0.01^2 and c2 = 0.03^2.

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
    checks.same_shape("ssim", rank=4, x=x, y=y)
    checks.floating("ssim", x=x, y=y)
    if min(jnp.shape(x)[1:3]) < WINDOW:
        raise ValueError(f"ssim: expected sides of {WINDOW} or more; got {x.shape}.")
    x, y = to_float(x) - 0.5, to_float(y) - 0.5  # variances round less
    mean_x, mean_y, xx, yy, xy = (_windows(a) for a in (x, y, x * x, y * y, x * y))
    variances = xx - mean_x**2 + yy - mean_y**2
    covariance = xy - mean_x * mean_y
    mean_x, mean_y = mean_x + 0.5, mean_y + 0.5
    above = (2 * mean_x * mean_y + 0.01**2) * (2 * covariance + 0.03**2)
    below = (mean_x**2 + mean_y**2 + 0.01**2) * (variances + 0.03**2)
    return jnp.mean(above / below, axis=(1, 2, 3))


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
