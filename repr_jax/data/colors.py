"""Random changes of the colors of images, on the device: (key, batch) -> batch.

Images are [batch, height, width, 3] float in [0, 1], red, green and blue; what is
returned is float32 in [0, 1]. Rows are changed independently of each other. Formulas,
ranges and order are those of torchvision's transforms of tensors.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.data.augment import sometimes
from repr_jax.ops import checks

Colors = tuple[Array, Array, Array]  # [batch, height, width] float32 in [0, 1] each

GRAY = (0.2989, 0.587, 0.114)  # weights of red, green and blue
CHANGES = ("brightness", "contrast", "saturation", "hue")  # numbers 0 to 3


def color_jitter(
    key: Array,
    images: Array,
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    rate: float = 0.8,
) -> Array:
    """The four changes of `adjust_colors` by random factors, in an order of each image.

    Args:
      key: PRNG key.
      images: see the module.
      brightness, contrast, saturation: factors are uniform in max(0, 1 - this) to
        1 + this.
      hue: in [0, 0.5]; turns are uniform in -hue to hue.
      rate: the share of images that is changed.

    Raises:
      ValueError: images are not [batch, height, width, 3], or a number out of range.
    """
    who = "color_jitter"
    check_colors(who, images)
    widths = (brightness, contrast, saturation)
    checks.non_negative(who, **dict(zip(CHANGES, (*widths, hue))))
    if hue > 0.5:
        raise ValueError(f"{who}: expected hue <= 0.5; got {hue}.")
    key_order, key_factors, key_rate = jax.random.split(key, 3)
    order = jnp.argsort(jax.random.uniform(key_order, (len(images), 4)), axis=1)
    low = jnp.array([*(max(0.0, 1 - w) for w in widths), -hue])[None]
    high = jnp.array([*(1 + w for w in widths), hue])[None]
    draws = jax.random.uniform(key_factors, (len(images), 4))
    changed = adjust_colors(images, order, low + draws * (high - low))
    return sometimes(key_rate, images, changed, rate)


def adjust_colors(images: Array, order: Array, factors: Array) -> Array:
    """Four changes of each image, one after another, each clipped to [0, 1].

    0, brightness: factor * x. 1, contrast: factor * x + (1 - factor) * the mean of the
    gray image. 2, saturation: factor * x + (1 - factor) * the gray image. 3, hue: a
    turn by `factor` of a full circle, see `turn_hue`.

    Args:
      images: see the module.
      order: [batch, 4] int, each row the numbers of the changes as they are made.
      factors: [batch, 4] float, of the changes 0 to 3.
    """
    x = tuple(images[..., i].astype(jnp.float32) for i in range(3))  # is quicker
    hue_at = jnp.argmax(order == 3, axis=1)  # changes before that of hue

    def blend(x: Colors, step: int, made: Array) -> Colors:
        """Of the three other changes number `step`, in rows where made is True."""
        place = step + (step >= hue_at)
        change = jnp.take_along_axis(order, place[:, None], axis=1)
        factor = jnp.take_along_axis(factors, change, axis=1)
        factor = jnp.where(made[:, None], factor, 1.0)[:, :, None]
        change, gray = change[:, :, None], to_gray(x)
        flat = jnp.mean(gray, axis=(1, 2), keepdims=True)
        target = jnp.where(change == 2, gray, jnp.where(change == 1, flat, 0.0))
        return tuple(jnp.clip(factor * c + (1 - factor) * target, 0, 1) for c in x)

    # Hue, the slow one, is turned once; the others have a place on either side of it.
    for step in range(3):
        x = blend(x, step, step < hue_at)
    x = turn_hue(x, factors[:, 3])
    for step in range(3):
        x = blend(x, step, step >= hue_at)
    return jnp.stack(x, axis=-1)


def to_gray(x: Colors) -> Array:
    """0.2989 red + 0.587 green + 0.114 blue."""
    return sum(weight * color for weight, color in zip(GRAY, x))


def turn_hue(x: Colors, turns: Array) -> Colors:
    """Hue moved, with saturation and value of HSV as they are; gray pixels stay.

    turns: [batch] float, of full circles; red moved by 1/3 is green.
    """
    red, green, blue = x
    value = jnp.maximum(jnp.maximum(red, green), blue)
    span = value - jnp.minimum(jnp.minimum(red, green), blue)
    safe = jnp.where(span > 0, span, 1.0)
    # Compared with each other, not with the largest: that may be rounded otherwise.
    at_red = (red >= green) & (red >= blue)
    at_green = green >= blue
    near = jnp.where(at_red, green - blue, jnp.where(at_green, blue - red, red - green))
    start = jnp.where(at_red, 0.0, jnp.where(at_green, 2.0, 4.0))
    hue = start + near / safe + 6 * turns.astype(jnp.float32)[:, None, None]  # sixths

    def channel(start: int) -> Array:
        """value, less the span where the hue is far from the channel's."""
        place = start + hue
        place = place - 6 * jnp.floor(place / 6)  # mod is slow
        far = jnp.clip(jnp.minimum(place, 4 - place), 0.0, 1.0)
        return value - span * far

    return channel(5), channel(3), channel(1)


def channel_gains(
    key: Array, images: Array, *, low: float = 0.2, high: float = 1.0, rate: float = 0.8
) -> Array:
    """Red, green and blue each multiplied by a factor of its own, uniform in low, high.

    Unlike a turn of hue it colors gray pixels, and changes saturation. Not one of
    torchvision's. 0 <= low <= high <= 1; a share `rate` of the images is changed.
    """
    check_colors("channel_gains", images)
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"channel_gains: expected 0 <= low <= high <= 1; got {low} and {high}."
        )
    key_gains, key_rate = jax.random.split(key)
    shape = (len(images), 1, 1, 3)
    gains = jax.random.uniform(key_gains, shape, minval=low, maxval=high)
    return sometimes(key_rate, images, images.astype(jnp.float32) * gains, rate)


def grayscale(key: Array, images: Array, *, rate: float = 0.2) -> Array:
    """A share `rate` of the images without color, in three equal channels."""
    check_colors("grayscale", images)
    gray = to_gray(tuple(images[..., i].astype(jnp.float32) for i in range(3)))
    gray = jnp.broadcast_to(gray[..., None], images.shape)
    return sometimes(key, images, gray, rate)


def solarize(
    key: Array, images: Array, *, threshold: float = 0.5, rate: float = 0.2
) -> Array:
    """Values x >= threshold become 1 - x in a share `rate` of the images."""
    inverted = jnp.where(images >= threshold, 1 - images, images)
    return sometimes(key, images, inverted, rate)


def chroma_blur(images: Array, *, size: int) -> Array:
    """Color differences of each pixel averaged around it, brightness as it was.

    Y = 0.299 R + 0.587 G + 0.114 B is kept; (B - Y) / 1.772 and (R - Y) / 1.402 become
    means over a square of pixels, edges continued. Fringes of chromatic aberration,
    from which a network could read where a patch lay in the image, are smeared. Not
    one of torchvision's.

    Args:
      images: see the module; gray ones stay.
      size: odd, pixels of a side of the square; 1 changes nothing.

    Returns:
      images of the same shape, float32. Values may leave [0, 1] where a color is strong
      and its surroundings differ; cutting them off would change Y.

    Raises:
      ValueError: images are not [batch, height, width, 3], or size is not odd.

    Source: Mundhenk, Ho and Chen, "Improvements to Context Based Self-Supervised
      Learning", 2018, https://arxiv.org/abs/1711.06379, who blur the two channels of
      color of Lab. Those of YCbCr are our choice: they keep Y exactly.
    """
    who = "chroma_blur"
    check_colors(who, images)
    checks.count(who, size=size)
    if size % 2 == 0:
        raise ValueError(f"{who}: expected an odd size; got {size}.")
    red, green, blue = (images[..., i].astype(jnp.float32) for i in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    around, square = size // 2, (1, size, size, 1)
    chroma = jnp.stack([blue - luma, red - luma], axis=-1)
    edges = [(0, 0), (around, around), (around, around), (0, 0)]
    chroma = jnp.pad(chroma, edges, mode="edge")
    total = lax.reduce_window(chroma, 0.0, lax.add, square, (1, 1, 1, 1), "VALID")
    blue, red = (luma + total[..., i] / size**2 for i in range(2))
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return jnp.stack([red, green, blue], axis=-1)


def check_colors(who: str, images: Array) -> None:
    """ValueError unless images are [batch, height, width, 3]."""
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(
            f"{who}: expected images [batch, height, width, 3]; got {images.shape}."
        )
