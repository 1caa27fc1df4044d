"""Features of EfficientNet-Lite0 at several depths, for `metrics.perceptual_distance`.

The distance in these features is not LPIPS, which is defined by another network and
learned weights. It is comparable wherever images have one size.
"""

import functools
import os

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.data import imagenet
from repr_jax.metrics import perceptual_distance
from repr_jax.models import efficientnet
from repr_jax.ops import checks

LAYERS = ("block_0", "block_2", "block_4", "block_10", "block_15")  # before it shrinks

_compared = jax.jit(perceptual_distance)


def layers(images: Array, *, path: str | os.PathLike | None = None) -> tuple:
    """[batch, height, width, 3] in [0, 1] -> a [batch, h, w, channels] for each layer.

    The sides of the layers are those of the images over 2, 4, 8, 16 and 32, rounded up.

    Args:
      images: of any size, taken as they are.
      path: of the weights, see `efficientnet.load`.

    Raises:
      ValueError: other images. ImportError, FileNotFoundError: no weights.
    """
    who = "perceptual.layers"
    checks.floating(who, images=images)
    if jnp.ndim(images) != 4 or jnp.shape(images)[-1] != 3:
        raise ValueError(
            f"{who}: expected [batch, height, width, 3]; got {jnp.shape(images)}."
        )
    return _apply(_weights(path), images)


def distance(x: Array, y: Array, *, path: str | os.PathLike | None = None) -> Array:
    """[batch, height, width, 3] in [0, 1] twice -> [batch]; see the module."""
    checks.same_shape("perceptual.distance", x=x, y=y)
    return _compared(layers(x, path=path), layers(y, path=path))


@functools.cache
def _weights(path):
    with jax.ensure_compile_time_eval():  # what is kept belongs to no trace
        return jax.device_put(efficientnet.load(path))


@jax.jit
def _apply(variables, images):
    pixels = (255 * images - imagenet.MEAN) / imagenet.SCALE
    _, found = efficientnet.EfficientNetLite0().apply(
        variables,
        pixels,
        train=False,
        capture_intermediates=lambda module, _: module.name in LAYERS,
        mutable=["intermediates"],
    )
    return tuple(found["intermediates"][name]["__call__"][0] for name in LAYERS)
