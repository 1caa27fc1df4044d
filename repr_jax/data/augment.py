"""Random changes of what a model is shown, on the device: (key, batch) -> batch.

Rows are changed independently of each other, so that a batch may be split over devices.
Those of images take [batch, height, width, channels] float in [0, 1] and return float32
in [0, 1]. Changes of color are in `data.colors`; `data.recipes` puts both together as
published methods do. `mix` and `cut_mix` alone take two batches.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks

ATTEMPTS = 10  # to draw a crop that fits into the image


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


def affine(
    key: Array,
    images: Array,
    *,
    shift: float = 0.1,
    zoom: float = 0.1,
    shear: float = 10.0,
    flip_rate: float = 0.5,
) -> Array:
    """Each image moved, zoomed, sheared and mirrored; linear, edges continued.

    Args:
      key: PRNG key.
      images: [batch, height, width, channels] float in [0, 1].
      shift: >= 0, the largest displacement, in image sizes, along each axis.
      zoom: in [0, 1); sizes are multiplied by something in 1 - zoom to 1 + zoom.
      shear: in [0, 90), the largest angle of columns, in degrees, to either side.
      flip_rate: in [0, 1], of left and right being exchanged.

    Returns:
      images of the same shape, float32 in [0, 1].

    Raises:
      ValueError: images are not of rank 4, or a number is negative.
    """
    checks.same_shape("augment.affine", rank=4, images=images)
    checks.non_negative("augment.affine", shift=shift, zoom=zoom, shear=shear)
    checks.non_negative("augment.affine", flip_rate=flip_rate)
    height, width = images.shape[1:3]
    y, x = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    y, x = y - (height - 1) / 2, x - (width - 1) / 2

    def one(key: Array, image: Array) -> Array:
        draws = jax.random.uniform(key, (4,), minval=-1.0)
        scale, slope = 1 + zoom * draws[0], jnp.tan(jnp.radians(shear * draws[1]))
        rows = y / scale - shift * draws[2] * height + (height - 1) / 2
        columns = (x + slope * y) / scale - shift * draws[3] * width + (width - 1) / 2
        take = jax.scipy.ndimage.map_coordinates
        return jax.vmap(
            lambda channel: take(channel, [rows, columns], order=1, mode="nearest"),
            in_axes=2,
            out_axes=2,
        )(image)

    flip_key, key = jax.random.split(key)
    moved = jax.vmap(one)(
        jax.random.split(key, len(images)), images.astype(jnp.float32)
    )
    return horizontal_flip(flip_key, moved, rate=flip_rate)


def dropout(key: Array, features: Array, *, rate: float = 0.2) -> Array:
    """Each feature of each row set to 0 with probability `rate`, the rest kept.

    features: [batch, dim] float; rate in [0, 1). The kept ones are not scaled up.
    """
    checks.same_shape("augment.dropout", rank=2, features=features)
    checks.non_negative("augment.dropout", rate=rate)
    return features * jax.random.bernoulli(key, 1 - rate, features.shape)


def mix(
    key: Array, images: Array, others: Array, *, alpha: float = 1.0
) -> tuple[Array, Array]:
    """share images + (1 - share) others, of one share ~ Beta(alpha, alpha) a batch.

    images, others: [batch, height, width, channels]; alpha > 0. Also returns the share,
    [], of the images.

    Raises:
      ValueError: the two differ in shape or are not of rank 4, or alpha is not above 0.

    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018,
      https://arxiv.org/abs/1710.09412; with outliers as others, Zhang et al., "Mixture
      Outlier Exposure", 2023, https://arxiv.org/abs/2106.03917.
    """
    checks.same_shape("augment.mix", rank=4, images=images, others=others)
    checks.positive("augment.mix", alpha=alpha)
    share = jax.random.beta(key, alpha, alpha)
    return share * images + (1 - share) * others, share


def cut_mix(
    key: Array, images: Array, others: Array, *, alpha: float = 1.0
) -> tuple[Array, Array]:
    """`mix` by area: a box of each other in its image, at one place in the batch.

    The box has the shape of the image and a share 1 - Beta(alpha, alpha) of its area,
    less what lies beyond the edges around a uniform center; the share returned is that
    of the pixels left. Arguments and errors are those of `mix`.

    Source: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers
      with Localizable Features", 2019, https://arxiv.org/abs/1905.04899; with outliers
      as `mix`.
    """
    checks.same_shape("augment.cut_mix", rank=4, images=images, others=others)
    checks.positive("augment.cut_mix", alpha=alpha)
    share_key, key = jax.random.split(key)
    side = jnp.sqrt(1 - jax.random.beta(share_key, alpha, alpha))
    inside = []
    for size, place in zip(images.shape[1:3], jax.random.uniform(key, (2,))):
        pixels = jnp.arange(size)
        half, center = jnp.floor(side * size) / 2, jnp.floor(place * size)
        inside.append((pixels >= center - half) & (pixels < center + half))
    box = inside[0][:, None] & inside[1][None]
    mixed = jnp.where(box[None, :, :, None], others, images)
    return mixed, 1 - jnp.mean(box, dtype=jnp.float32)


def linear(t: Array) -> Array:
    """The kernel of linear interpolation, max(1 - |t|, 0)."""
    return jnp.maximum(1 - jnp.abs(t), 0)


def cubic(t: Array) -> Array:
    """The kernel of Keys' cubic interpolation with a = -0.5, Pillow's bicubic."""
    t = jnp.abs(t)
    near = (1.5 * t - 2.5) * t**2 + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return jnp.where(t < 1, near, jnp.where(t < 2, far, 0))


def random_resized_crop(
    key: Array,
    images: Array,
    *,
    size: int,
    scale: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    kernel: Callable = linear,
) -> Array:
    """A random part of each image, as a square.

    Args:
      key: PRNG key.
      images: [batch, height, width, channels] float in [0, 1].
      size: pixels of a side of what is returned.
      scale: smallest and largest area of the part, of that of the image; uniform.
      ratio: smallest and largest width / height of the part; its logarithm is uniform.
      kernel: `linear`, or `cubic` (PIL's bicubic), see `resized_crop`.

    Returns:
      [batch, size, size, channels] float32 in [0, 1].

    Raises:
      ValueError: images are not of rank 4, or a range is not ascending and positive.

    Source: Szegedy et al., "Going Deeper with Convolutions", 2015, section 6,
      https://arxiv.org/abs/1409.4842.
    """
    who = "augment.random_resized_crop"
    checks.same_shape(who, rank=4, images=images)
    for name, (low, high) in (("scale", scale), ("ratio", ratio)):
        checks.positive(who, **{name: low})
        if high < low:
            raise ValueError(f"{who}: expected {name} (low, high); got {low}, {high}.")
    boxes = crop_boxes(key, images.shape, scale=scale, ratio=ratio)
    return resized_crop(images, boxes, size=size, kernel=kernel)


def crop_boxes(
    key: Array,
    shape: Sequence[int],
    *,
    scale: Sequence[float],
    ratio: Sequence[float],
) -> Array:
    """[batch, 4] int32 random boxes (top, left, height, width) in images of `shape`.

    The first of ten draws of area and ratio that fits; if none does, the largest box in
    the middle whose ratio is allowed. As torchvision draws. scale, ratio: as of
    `random_resized_crop`.
    """
    batch, *image = shape[:3]
    key_area, key_ratio, key_place = jax.random.split(key, 3)
    draws = (batch, ATTEMPTS)
    area = jax.random.uniform(key_area, draws, minval=scale[0], maxval=scale[1])
    low, high = (float(np.log(r)) for r in ratio)
    aspect = jnp.exp(jax.random.uniform(key_ratio, draws, minval=low, maxval=high))
    area = area * (image[0] * image[1])
    sides = jnp.stack([jnp.sqrt(area / aspect), jnp.sqrt(area * aspect)], axis=-1)
    sides = jnp.round(sides).astype(jnp.int32)  # [batch, attempt, 2]
    limit = jnp.array(image)[None]
    fits = jnp.all((sides >= 1) & (sides <= limit[None]), axis=-1)
    first = jnp.argmax(fits, axis=1)[:, None, None]
    sides = jnp.take_along_axis(sides, first, axis=1)[:, 0]
    place = jax.random.uniform(key_place, (batch, 2))
    corner = jnp.floor(place * (limit - sides + 1)).astype(jnp.int32)
    middle = jnp.array(_middle_box(*image, ratio))[None]
    found = jnp.concatenate([jnp.minimum(corner, limit - sides), sides], axis=1)
    return jnp.where(jnp.any(fits, axis=1)[:, None], found, middle)


def _middle_box(height: int, width: int, ratio: Sequence[float]) -> tuple[int, ...]:
    """(top, left, height, width) of the largest box in the middle of this ratio."""
    tall, wide = height, width
    if width / height < ratio[0]:
        tall = round(width / ratio[0])
    elif width / height > ratio[1]:
        wide = round(height * ratio[1])
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def resized_crop(
    images: Array, boxes: Array, *, size: int, kernel: Callable = linear
) -> Array:
    """[batch, size, size, channels] float32 in [0, 1]: the boxes of images, resized.

    Each pixel is a mean of those of the box, weighted by the kernel of their distance;
    where the box shrinks the kernel is as wide as a pixel (antialias). Nothing outside
    the box is seen.

    boxes: [batch, 4] int, (top, left, height, width).
    """
    checks.rows("augment.resized_crop", len(images), boxes=boxes)

    def weights(start: Array, length: Array, pixels: int) -> Array:
        """[batch, size, pixels]"""
        start, length = (x.astype(jnp.float32)[:, None, None] for x in (start, length))
        step = length / size
        centers = start + (jnp.arange(size) + 0.5)[None, :, None] * step
        places = (jnp.arange(pixels) + 0.5)[None, None]
        found = kernel((places - centers) / jnp.maximum(step, 1.0))
        inside = (places > start) & (places < start + length)
        found = jnp.where(inside, found, 0.0)
        return found / jnp.sum(found, axis=-1, keepdims=True)

    rows = weights(boxes[:, 0], boxes[:, 2], images.shape[1])
    columns = weights(boxes[:, 1], boxes[:, 3], images.shape[2])
    return jnp.clip(_both_axes(images, rows, columns), 0.0, 1.0)


def _both_axes(images: Array, rows: Array, columns: Array) -> Array:
    """Each image times [batch, to, from] matrices from both sides, in float32."""
    exact = jax.lax.Precision.HIGHEST  # accelerators would round to 16 bits
    images = images.astype(jnp.float32)
    images = jnp.einsum("boh,bhwc->bowc", rows, images, precision=exact)
    return jnp.einsum("bpw,bowc->bopc", columns, images, precision=exact)


def horizontal_flip(key: Array, images: Array, *, rate: float = 0.5) -> Array:
    """Left and right exchanged in a share `rate` of the images."""
    return sometimes(key, images, images[:, :, ::-1], rate)


def sometimes(key: Array, images: Array, changed: Array, rate: float) -> Array:
    """Rows of `changed` with probability `rate`, and else of images."""
    chosen = jax.random.bernoulli(key, rate, (len(images),))
    return jnp.where(chosen[:, None, None, None], changed, images.astype(jnp.float32))


def gaussian_blur(
    key: Array,
    images: Array,
    *,
    sigma: Sequence[float] = (0.1, 2.0),
    rate: float = 0.5,
) -> Array:
    """A share `rate` of the images smoothed by Gaussians of random width.

    sigma: smallest and largest standard deviation, in pixels; uniform. The kernel is
    not cut off, and the image is reflected at its edges.
    """
    key_sigma, key_rate = jax.random.split(key)
    shape = (len(images),)
    widths = jax.random.uniform(key_sigma, shape, minval=sigma[0], maxval=sigma[1])
    return sometimes(key_rate, images, blur(images, widths), rate)


def blur(images: Array, sigma: Array) -> Array:
    """Images smoothed by Gaussians; sigma: [batch] standard deviations in pixels."""

    def weights(pixels: int) -> Array:
        """[batch, pixels, pixels], of the image and its mirror images."""
        to, of = jnp.arange(pixels)[:, None], jnp.arange(pixels)[None]
        last = pixels - 1
        before = jnp.where(of > 0, to + of, jnp.inf)  # distances to the mirror images
        after = jnp.where(of < last, 2 * last - to - of, jnp.inf)
        distances = jnp.stack([jnp.abs(to - of).astype(jnp.float32), before, after])
        spread = sigma.astype(jnp.float32)[:, None, None, None]
        found = jnp.sum(jnp.exp(-0.5 * (distances[None] / spread) ** 2), axis=1)
        return found / jnp.sum(found, axis=-1, keepdims=True)

    return _both_axes(images, weights(images.shape[1]), weights(images.shape[2]))
