"""House numbers drawn from handwritten digits: a stand-in for SVHN without a download.

As in SVHN the digit in the middle is the class, there may be others beside it, cut off
by the border, colors are any two that can be told apart, light changes across the
image, and it is blurred. Figures on it compare with none on SVHN.
"""

import jax
import jax.numpy as jnp
from jax import Array

SIZE = 32  # pixels
APART = 0.3  # least difference in brightness between a digit and its background
RED_GREEN_BLUE = (0.299, 0.587, 0.114)  # weights of brightness


def compose(key: Array, digits: Array) -> Array:
    """One image: the first digit in the middle, the others left and right of it.

    Each of the others is there with probability 0.6. Digits are 0.8 to 1.05 times as
    large as they come, moved by up to 2 pixels, on a common line; the distance of
    neighbors is 13 to 17 pixels, and the blur 0.4 to 1.2 pixels.

    Args:
      key: draws everything else.
      digits: [3, 28, 28] uint8 or float in 0..255.

    Returns:
      [32, 32, 3] float32 in [0, 1]. Use vmap for a batch.
    """
    keys = jax.random.split(key, 4)
    width = jax.random.uniform(keys[0], (), minval=0.4, maxval=1.2)
    ink = blurred(_ink(keys[1], digits.astype(jnp.float32) / 255), width)
    front, back, light = _colors(keys[2])
    ramp = jnp.linspace(-0.5, 0.5, SIZE)
    light = light[0] * ramp[:, None] + light[1] * ramp[None, :]
    noise = 0.02 * jax.random.normal(keys[3], (SIZE, SIZE, 3))
    ink = ink[..., None]
    image = (1 - ink) * back[None, None] + ink * front[None, None]
    return jnp.clip(image + light[..., None] + noise, 0, 1)


def _ink(key: Array, digits: Array) -> Array:
    """[3, 28, 28] -> [32, 32] in [0, 1]: where the digits are."""
    keys = jax.random.split(key, 4)
    scale = jax.random.uniform(keys[0], (), minval=0.8, maxval=1.05)
    middle = SIZE / 2 + jax.random.uniform(keys[1], (2,), minval=-2, maxval=2)
    distance = jax.random.uniform(keys[2], (2,), minval=13, maxval=17)
    there = jnp.append(True, jax.random.bernoulli(keys[3], 0.6, (2,)))
    across = jnp.stack([jnp.zeros(()), -distance[0], distance[1]])

    def placed(digit, across, there):
        corner = middle + jnp.stack([jnp.zeros(()), across]) - scale * 14
        drawn = jax.image.scale_and_translate(
            digit, (SIZE, SIZE), (0, 1), jnp.stack([scale, scale]), corner, "linear"
        )
        return jnp.where(there, drawn, 0)

    return jnp.max(jax.vmap(placed)(digits, across, there), axis=0)


def blurred(image: Array, width: float | Array) -> Array:
    """[height, width, ...] -> the same, under a Gaussian of 7 pixels each way.

    Beyond the border the image goes on as it ends.
    """
    kernel = jnp.exp(-0.5 * (jnp.arange(-3, 4) / width) ** 2)
    kernel = kernel / jnp.sum(kernel)
    for axis in (0, 1):
        size = image.shape[axis]
        pads = [(3, 3) if a == axis else (0, 0) for a in range(image.ndim)]
        padded = jnp.pad(image, pads, mode="edge")
        parts = [jax.lax.slice_in_dim(padded, k, k + size, axis=axis) for k in range(7)]
        image = sum(weight * part for weight, part in zip(kernel, parts))
    return image


def _colors(key: Array) -> tuple[Array, Array, Array]:
    """Two colors [3] at least APART in brightness, and the slopes of light [2].

    Of 16 pairs drawn the first that is far enough apart; if none is, black and white.
    """
    keys = jax.random.split(key, 2)
    pairs = jax.random.uniform(keys[0], (16, 2, 3), minval=0.05, maxval=0.95)
    weights = jnp.array(RED_GREEN_BLUE)[None, None]
    brightness = jnp.sum(pairs * weights, axis=-1)  # [16, 2]
    good = jnp.abs(brightness[:, 0] - brightness[:, 1]) > APART
    pair = jnp.where(
        jnp.any(good), pairs[jnp.argmax(good)], jnp.array([[1.0] * 3, [0.0] * 3])
    )
    light = jax.random.uniform(keys[1], (2,), minval=-0.25, maxval=0.25)
    return pair[0], pair[1], light
