"""The Inception network whose features FID is defined by, from a file of its weights.

    config.evals.frechet.features = dict(fn=inception.features, path="inception.pth")

The file is the one that FID codes for PyTorch share, "pt_inception-2015-12-05", a
conversion of the network of 2015; it is not in the package, nor loaded by it. With it
and at least 10,000 images the number "fd" of `evaluators.frechet` is FID, up to how
images are resized: here bilinear without antialiasing, as the PyTorch codes do.

Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
  2016, https://arxiv.org/abs/1512.00567; the departures of the network of 2015, average
  pooling that leaves out the border and a maximum in the last block, as in its
  conversion, https://github.com/mseitzer/pytorch-fid.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.data import torch_file
from repr_jax.ops import checks
from repr_jax.ops.batch import by_block

SIDE, BLOCK = 299, 32  # pixels; images in memory


def features(images: Array, *, path: str) -> Array:
    """[batch, height, width, 1 or 3] in [0, 1] -> [batch, 2048].

    path: of the weights, read once.

    Raises:
      ValueError: other images; a file without the weights of this network.
      FileNotFoundError: no such file.
    """
    checks.floating("inception.features", images=images)
    if jnp.ndim(images) != 4 or jnp.shape(images)[-1] not in (1, 3):
        raise ValueError(
            f"inception.features: expected [batch, height, width, 1 or 3]; got "
            f"{jnp.shape(images)}."
        )
    return apply(_read(path), images)


@functools.cache
def _read(path):
    found = torch_file.read(path)
    lacking = [name for name in FIRST_AND_LAST if name not in found]
    if lacking:
        raise ValueError(
            f"inception.features: expected weights such as {lacking[0]} in {path}; got "
            f"{len(found)} others."
        )
    parts = (".conv.weight", ".bn.weight", ".bn.bias", ".bn.running_mean")
    parts += (".bn.running_var",)
    return {n: jnp.asarray(x) for n, x in found.items() if n.endswith(parts)}


FIRST_AND_LAST = ("Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.bn.running_var")


@jax.jit
def apply(weights: Mapping[str, Array], images: Array) -> Array:
    """`features`, BLOCK images at a time, by weights of the names of the file.

    weights: "LAYER.conv.weight" [out, in, height, width]; "LAYER.bn.weight", "bias",
    "running_mean" and "running_var" [out].
    """
    return by_block(functools.partial(_network, weights), images, size=BLOCK)


def _network(weights, images):
    layer = functools.partial(_layer, weights)
    x = jnp.broadcast_to(images, (*images.shape[:3], 3))
    x = jax.image.resize(x, (len(x), SIDE, SIDE, 3), "linear", antialias=False)
    x = layer("Conv2d_1a_3x3", 2 * x - 1, stride=2)
    x = layer("Conv2d_2a_3x3", x, padding="VALID")
    x = _max(layer("Conv2d_2b_3x3", x), 2)
    x = layer("Conv2d_3b_1x1", x)
    x = _max(layer("Conv2d_4a_3x3", x, padding="VALID"), 2)
    for name in "bcd":
        x = _block(layer, f"Mixed_5{name}.", x, FIVE)
    x = _shrink(layer, "Mixed_6a.", x, SIX_A)
    for name in "bcde":
        x = _block(layer, f"Mixed_6{name}.", x, SIX)
    x = _shrink(layer, "Mixed_7a.", x, SEVEN_A)
    x = _block(layer, "Mixed_7b.", x, SEVEN)
    x = _block(layer, "Mixed_7c.", x, SEVEN, pool=functools.partial(_max, stride=1))
    return jnp.mean(x, axis=(1, 2))


# Branches of a block: layers one after the other, the last of which may be several.
FIVE = (
    ("branch1x1",),
    ("branch5x5_1", "branch5x5_2"),
    ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
)
SIX = (
    ("branch1x1",),
    ("branch7x7_1", "branch7x7_2", "branch7x7_3"),
    tuple(f"branch7x7dbl_{n}" for n in range(1, 6)),
)
SEVEN = (
    ("branch1x1",),
    ("branch3x3_1", ("branch3x3_2a", "branch3x3_2b")),
    ("branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")),
)
SIX_A = (("branch3x3",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"))
SEVEN_A = (
    ("branch3x3_1", "branch3x3_2"),
    tuple(f"branch7x7x3_{n}" for n in range(1, 5)),
)


def _layer(weights, name, x, *, stride=1, padding=None):
    """A convolution, normalization by fixed statistics, ReLU."""
    padding = padding or ("SAME" if stride == 1 else "VALID")
    x = lax.conv_general_dilated(
        x,
        weights[f"{name}.conv.weight"],
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "OIHW", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )
    mean, variance = (weights[f"{name}.bn.running_{n}"] for n in ("mean", "var"))
    scale = weights[f"{name}.bn.weight"] * lax.rsqrt(variance + 1e-3)
    shift = weights[f"{name}.bn.bias"] - mean * scale
    return jax.nn.relu(x * scale[None, None, None] + shift[None, None, None])


def _max(x, stride):
    """Maxima of 3 x 3 pixels; the border has none beyond it."""
    padding = "SAME" if stride == 1 else "VALID"
    window, strides = (1, 3, 3, 1), (1, stride, stride, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)


def _mean(x):
    """Means of 3 x 3 pixels, of those within the image."""

    def total(x):
        window, ones = (1, 3, 3, 1), (1, 1, 1, 1)
        return lax.reduce_window(x, 0.0, lax.add, window, ones, "SAME")

    return total(x) / total(jnp.ones((1, *x.shape[1:3], 1), x.dtype))


def _block(layer, prefix, x, branches, pool=_mean):
    """All branches side by side, a pooled one last."""
    found = []
    for branch in branches:
        y = x
        for name in branch:
            several = (name,) if isinstance(name, str) else name
            y = jnp.concatenate([layer(prefix + n, y) for n in several], axis=-1)
        found.append(y)
    return jnp.concatenate([*found, layer(prefix + "branch_pool", pool(x))], axis=-1)


def _shrink(layer, prefix, x, branches):
    """Branches whose last layer has a stride of 2, and maxima."""
    found = []
    for *first, last in branches:
        y = functools.reduce(lambda y, name: layer(prefix + name, y), first, x)
        found.append(layer(prefix + last, y, stride=2))
    return jnp.concatenate([*found, _max(x, 2)], axis=-1)
