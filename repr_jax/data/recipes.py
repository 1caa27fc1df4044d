"""Views of images as published methods make them, by the name of the method.

A recipe is the keywords of `view`; where a method treats its views unlike, there is one
for each, the global ones first. In a config of `experiments.two_view` and its kin:

    config.augment = dict(fn=recipes.view, **recipes.DINO[0])
    config.second_augment = dict(fn=recipes.view, **recipes.DINO[1])
    config.local_augment = dict(fn=recipes.view, **recipes.DINO[2])
    config.num_local = recipes.DINO_COUNTS[2]

Those that end in CIFAR are of 32 x 32 pixels, from solo-learn's configurations
(scripts/pretrain/cifar), which trained ResNet-18 for 1000 epochs; the others are of
ImageNet, from each method's own code. There Pillow blurs by three box filters, and
cuts values to 8 bits after every change; here nothing is rounded.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
from jax import Array

from repr_jax.data import augment, colors
from repr_jax.ops import checks


def view(
    key: Array,
    images: Array,
    *,
    size: int,
    scale: Sequence[float] = (0.08, 1.0),
    kernel: Callable = augment.cubic,
    flip_rate: float = 0.5,
    jitter_rate: float = 0.0,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    gains_rate: float = 0.0,
    gains: Sequence[float] = (0.2, 1.0),
    gray_rate: float = 0.0,
    blur_rate: float = 0.0,
    sigma: Sequence[float] = (0.1, 2.0),
    solarize_rate: float = 0.0,
) -> Array:
    """One view of each image: crop, flip, colors, gray, blur, solarize, in turn.

    A change whose rate is 0 costs nothing, and colors may then be of any number of
    channels.

    Args:
      key: PRNG key.
      images: [batch, height, width, channels] float in [0, 1].
      size, scale, kernel: see `augment.random_resized_crop`.
      flip_rate: see `augment.horizontal_flip`.
      jitter_rate, brightness, contrast, saturation, hue: see `colors.color_jitter`.
      gains_rate, gains: rate, and low and high of `colors.channel_gains`, after them.
      gray_rate: see `colors.grayscale`. solarize_rate: see `colors.solarize`.
      blur_rate, sigma: see `augment.gaussian_blur`.

    Returns:
      [batch, size, size, channels] float32 in [0, 1].

    Raises:
      ValueError: as these functions, or a rate is negative.
    """
    rates = dict(flip_rate=flip_rate, jitter_rate=jitter_rate, gains_rate=gains_rate)
    rates |= dict(gray_rate=gray_rate, blur_rate=blur_rate, solarize_rate=solarize_rate)
    checks.non_negative("recipes.view", **rates)
    keys, crop = jax.random.split(key, 7), dict(size=size, scale=scale, kernel=kernel)
    x = augment.random_resized_crop(keys[0], images, **crop)
    if flip_rate:
        x = augment.horizontal_flip(keys[1], x, rate=flip_rate)
    if jitter_rate:
        widths = dict(brightness=brightness, contrast=contrast, saturation=saturation)
        x = colors.color_jitter(keys[2], x, **widths, hue=hue, rate=jitter_rate)
    if gains_rate:
        low, high = gains
        x = colors.channel_gains(keys[6], x, low=low, high=high, rate=gains_rate)
    if gray_rate:
        x = colors.grayscale(keys[3], x, rate=gray_rate)
    if blur_rate:
        x = augment.gaussian_blur(keys[4], x, sigma=sigma, rate=blur_rate)
    if solarize_rate:
        x = colors.solarize(keys[5], x, rate=solarize_rate)
    return x


def views(
    key: Array,
    images: Array,
    *,
    recipes: Sequence[Mapping],
    counts: Sequence[int] | None = None,
) -> tuple[Array, ...]:
    """Several views of each image, for methods of two views and of many crops.

    Args:
      key: PRNG key.
      images: [batch, height, width, channels] float in [0, 1].
      recipes: each the keywords of `view`.
      counts: how many views of each recipe; None for one.

    Returns:
      one [batch, size, size, channels] float32 a view, in the order of the recipes.

    Raises:
      ValueError, TypeError: no recipe, not as many counts, or as `view`.
    """
    counts = [1] * len(recipes) if counts is None else counts
    if not recipes or len(counts) != len(recipes):
        raise ValueError(
            f"recipes.views: expected at least one recipe, and a count of each; got "
            f"{len(recipes)} recipes and {len(counts)} counts."
        )
    found = []
    for number, (recipe, count) in enumerate(zip(recipes, counts)):
        checks.count("recipes.views", count=count)
        keys = jax.random.split(jax.random.fold_in(key, number), count)
        several = jax.vmap(lambda k, options=recipe: view(k, images, **options))(keys)
        found.extend(several[i] for i in range(count))
    return tuple(found)


# Strength of colors: brightness, contrast, saturation, hue.
_RATES = dict(jitter_rate=0.8, gray_rate=0.2)
_STRONG = dict(_RATES, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
_MEDIUM = dict(_RATES, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
_WEAK = dict(_RATES, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)

# 32 x 32, solo-learn; one recipe serves both views where there is one.
SIMCLR_CIFAR = dict(size=32, **_STRONG, blur_rate=0.5)  # symmetric.yaml
SWAV_CIFAR = SIMCLR_CIFAR
SIMSIAM_CIFAR = dict(size=32, **_MEDIUM, blur_rate=0.5)  # symmetric_weak.yaml
BYOL_CIFAR = (  # asymmetric.yaml
    dict(size=32, **_WEAK),
    dict(size=32, **_WEAK, solarize_rate=0.2),
)
BARLOW_TWINS_CIFAR = BYOL_CIFAR
DINO_CIFAR = BYOL_CIFAR
VICREG_CIFAR = dict(size=32, scale=(0.2, 1.0), **_WEAK, solarize_rate=0.1)
MAE_CIFAR = dict(size=32)  # reconstruction.yaml

# 32 x 32, drawn shapes: ours. Hue and saturation of jitter leave white sprites white.
SPRITES = dict(
    size=32,
    scale=(0.6, 1.0),
    kernel=augment.linear,
    gains_rate=0.8,
    gray_rate=0.2,
)

# 224 x 224, ImageNet.
SIMCLR = dict(size=224, **_STRONG, blur_rate=0.5)  # appendix A, strength 1
SIMSIAM = dict(  # its code, main_simsiam.py; MoCo v2's
    size=224, scale=(0.2, 1.0), kernel=augment.linear, **_MEDIUM, blur_rate=0.5
)
BYOL = (  # table 6
    dict(size=224, **_WEAK, blur_rate=1.0),
    dict(size=224, **_WEAK, blur_rate=0.1, solarize_rate=0.2),
)
BARLOW_TWINS = BYOL  # its code, main.py
VICREG = dict(size=224, **_WEAK, blur_rate=0.5, solarize_rate=0.1)  # unconfirmed
_SWAV = dict(kernel=augment.linear, **_STRONG, blur_rate=0.5)
SWAV = (  # its code
    dict(size=224, scale=(0.14, 1.0), **_SWAV),
    dict(size=96, scale=(0.05, 0.14), **_SWAV),
)
SWAV_COUNTS = (2, 6)
DINO = (  # its code, main_dino.py
    dict(size=224, scale=(0.4, 1.0), **_WEAK, blur_rate=1.0),
    dict(size=224, scale=(0.4, 1.0), **_WEAK, blur_rate=0.1, solarize_rate=0.2),
    dict(size=96, scale=(0.05, 0.4), **_WEAK, blur_rate=0.5),
)
DINO_COUNTS = (1, 1, 8)
MAE = dict(size=224, scale=(0.2, 1.0))  # its code, main_pretrain.py
