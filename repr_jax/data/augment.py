"""Random changes of what a model is shown, on the device: (key, batch) -> batch.

Rows are changed independently of each other.
"""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks


def jitter(
    key: Array,
    images: Array,
    *,
    shift: float = 0.1,
    zoom: float = 0.15,
    brightness: float = 0.1,
    contrast: float = 0.2,
    fill: float = 1.0,
) -> Array:
    """Each image moved, zoomed, and changed in brightness and contrast; linear pixels.

    Args:
      key: PRNG key.
      images: [batch, height, width, channels] float in [0, 1].
      shift: >= 0, the largest displacement, in image sizes, along each axis.
      zoom: in [0, 1); sizes are multiplied by something in 1 - zoom to 1 + zoom.
      brightness: >= 0, the largest value added to all pixels.
      contrast: in [0, 1]; the distance of pixels from their mean is multiplied by
        something in 1 - contrast to 1 + contrast.
      fill: value of what lies outside the image.

    Returns:
      images of the same shape, float32 in [0, 1].

    Raises:
      ValueError: images are not of rank 4, or a number is negative.
    """
    checks.same_shape("augment.jitter", rank=4, images=images)
    checks.non_negative("augment.jitter", shift=shift, zoom=zoom, brightness=brightness)
    checks.non_negative("augment.jitter", contrast=contrast)
    size = jnp.array(images.shape[1:3], jnp.float32)

    def one(key: Array, image: Array) -> Array:
        draws = jax.random.uniform(key, (5,), minval=-1.0)
        scale = jnp.full((2,), 1 + zoom * draws[0])
        center = (1 - scale) / 2 * size  # keeps the middle where it is
        moved = jax.image.scale_and_translate(
            image - fill,
            image.shape,
            (0, 1),
            scale,
            center + shift * size * draws[1:3],
            method="linear",
            antialias=False,
        )
        moved = moved + fill
        mean = jnp.mean(moved)
        changed = mean + (1 + contrast * draws[3]) * (moved - mean)
        return jnp.clip(changed + brightness * draws[4], 0.0, 1.0)

    return jax.vmap(one)(jax.random.split(key, len(images)), images)


def dropout(key: Array, features: Array, *, rate: float = 0.2) -> Array:
    """Each feature of each row set to 0 with probability `rate`, the rest kept.

    features: [batch, dim] float; rate in [0, 1). The kept ones are not scaled up.
    """
    checks.same_shape("augment.dropout", rank=2, features=features)
    checks.non_negative("augment.dropout", rate=rate)
    return features * jax.random.bernoulli(key, 1 - rate, features.shape)
