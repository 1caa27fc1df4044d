"""Naturalness of images without a reference: NIQE, with statistics refitted.

    reference = metrics.niqe_reference(metrics.niqe_features(real_images))
    metrics.niqe(metrics.niqe_features(images), reference)

The published statistics of natural photographs are not used: they would not do for
other images. So call the number "NIQE, refit", and compare it under one reference. On
the host, in float64.

Source: Mittal, Soundararajan and Bovik, "Making a 'Completely Blind' Image Quality
  Analyzer", 2013, https://doi.org/10.1109/LSP.2012.2227726. Departures: halved by means
  of 2 x 2 pixels, where their code has a bicubic filter; the reference takes every
  block, where theirs takes sharp ones.
"""

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from repr_jax.metrics.images import gray
from repr_jax.ops import checks

NUM_FEATURES = 36  # 18 at either of two scales
WINDOW, DEVIATION = 7, 7 / 6  # pixels, of the local mean
NEIGHBORS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows down, columns right


class Reference(NamedTuple):
    """Of the features of blocks of natural images."""

    mean: np.ndarray  # [36]
    covariance: np.ndarray  # [36, 36]


def niqe_features(images: ArrayLike, *, block: int = 16) -> np.ndarray:
    """Statistics of normalized gray values, by block.

    At two scales: of (I - local mean) / (local deviation + 1), I in 0 to 255, the shape
    and variance of a generalized Gaussian; and of its products with four neighbors each
    the shape, mean and left and right variance of an asymmetric one.

    Args:
      images: [batch, height, width, 1 or 3] floats in [0, 1].
      block: an even number of pixels, >= 4; 96 in the paper, 16 in the benchmark of
        `fairness`. Rows and columns that fill no block are left out.

    Returns:
      [batch, blocks, 36] float64.

    Raises:
      ValueError: other images, or smaller than a block; an odd block.
    """
    who = "niqe_features"
    checks.count(who, minimum=4, block=block)
    checks.floating(who, images=images)
    images = np.asarray(images, np.float64)
    fits = images.ndim == 4 and images.shape[3] in (1, 3)
    if not fits or min(images.shape[1:3]) < block or block % 2:
        raise ValueError(
            f"{who}: expected [batch, height, width, 1 or 3] with sides of an even "
            f"block {block} or more; got {images.shape}."
        )
    checks.finite(who, images=images)
    rows, columns = (n // block for n in images.shape[1:3])
    x = 255 * gray(images[:, : rows * block, : columns * block])
    found = []
    for size in (block, block // 2):
        blocks = _blocks(_normalized(x), rows, columns, size)
        found.append(_statistics(blocks))
        x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).mean(axis=(2, 4))
    return np.concatenate(found, axis=-1).reshape(len(images), -1, NUM_FEATURES)


def niqe_reference(features: ArrayLike) -> Reference:
    """Mean and covariance of the blocks of all images, [batch, blocks, 36].

    Raises:
      ValueError: fewer than two blocks, or not finite.
    """
    rows = _checked("niqe_reference", features).reshape(-1, NUM_FEATURES)
    if len(rows) < 2:
        raise ValueError(f"niqe_reference: expected two blocks; got {len(rows)}.")
    return Reference(np.mean(rows, axis=0), np.cov(rows, rowvar=False))


def niqe(features: ArrayLike, reference: Reference) -> np.ndarray:
    """How far the blocks of each image are from natural ones.

    sqrt(d' ((S + S_ref) / 2)^+ d), d the difference of means and S the covariance of
    the image's blocks, 0 if there is one.

    Args:
      features: [batch, blocks, 36] of `niqe_features`.

    Returns:
      [batch] float64 >= 0, lower is more natural.
    """
    features = _checked("niqe", features)
    away = np.mean(features, axis=1) - reference.mean
    centered = features - np.mean(features, axis=1, keepdims=True)
    degrees = max(features.shape[1] - 1, 1)
    own = np.einsum("nbi,nbj->nij", centered, centered) / degrees
    inverse = np.linalg.pinv((own + reference.covariance) / 2, hermitian=True)
    return np.sqrt(np.maximum(np.einsum("ni,nij,nj->n", away, inverse, away), 0))


def generalized_gaussian(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape and variance of a centered law exp(-|x / b|^shape), by moments.

    x: [..., n] -> [...] each. The shape is on a grid of 0.2 to 10 by 0.001.
    """
    variance = np.mean(x**2, axis=-1)
    first = np.mean(np.abs(x), axis=-1)
    ratio = first**2 / np.where(variance > 0, variance, 1)
    return _shape(ratio), variance


def asymmetric_gaussian(x: np.ndarray) -> tuple[np.ndarray, ...]:
    """Shape, mean, left and right variance of a law with two widths, by moments.

    x: [..., n] -> [...] each; exp(-(-x / l)^shape) left of 0, exp(-(x / r)^shape)
    right of it.
    """
    left, right = (_mean_square(x, side) for side in (x < 0, x > 0))
    either = np.where(right > 0, right, 1)
    width = np.sqrt(left / either)
    square = np.mean(x**2, axis=-1)
    ratio = np.mean(np.abs(x), axis=-1) ** 2 / np.where(square > 0, square, 1)
    ratio = ratio * (width**3 + 1) * (width + 1) / (width**2 + 1) ** 2
    shape = _shape(ratio)
    gammas = _gamma(shape)
    spread = (np.sqrt(right) - np.sqrt(left)) * np.sqrt(gammas[0] / gammas[2])
    return shape, spread * gammas[1] / gammas[0], left, right


def _mean_square(x: np.ndarray, where: np.ndarray) -> np.ndarray:
    count = np.maximum(np.sum(where, axis=-1), 1)
    return np.sum(np.where(where, x**2, 0), axis=-1) / count


def _gamma(shape: np.ndarray) -> tuple[np.ndarray, ...]:
    """Gamma function of 1, 2 and 3 over the shape."""
    from scipy.special import gamma

    return tuple(gamma(n / shape) for n in (1, 2, 3))


@functools.cache
def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Shapes, and E|x|^2 / E x^2 of them, which rises."""
    shapes = np.arange(0.2, 10.0005, 0.001)
    one, two, three = _gamma(shapes)
    return shapes, two**2 / (one * three)


def _shape(ratio: np.ndarray) -> np.ndarray:
    shapes, ratios = _grid()
    after = np.clip(np.searchsorted(ratios, ratio), 1, len(ratios) - 1)
    nearer = ratio - ratios[after - 1] < ratios[after] - ratio
    return shapes[np.where(nearer, after - 1, after)]


def _normalized(x: np.ndarray) -> np.ndarray:
    """[batch, height, width] less local means, over local deviations + 1."""
    mean = _smooth(x)
    variance = _smooth(x * x) - mean**2
    return (x - mean) / (np.sqrt(np.maximum(variance, 0)) + 1)


def _smooth(x: np.ndarray) -> np.ndarray:
    """Gaussian means; borders are repeated."""
    away = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(away**2) / (2 * DEVIATION**2))
    weights /= weights.sum()
    for axis in (1, 2):
        pad = [(0, 0)] * 3
        pad[axis] = (WINDOW // 2, WINDOW // 2)
        padded, size = np.pad(x, pad, mode="edge"), x.shape[axis]
        x = sum(
            w * np.take(padded, np.arange(i, i + size), axis=axis)
            for i, w in enumerate(weights)
        )
    return x


def _blocks(x: np.ndarray, rows: int, columns: int, size: int) -> np.ndarray:
    """[batch, rows * size, columns * size] -> [batch, rows * columns, size, size]."""
    x = x.reshape(len(x), rows, size, columns, size)
    return np.moveaxis(x, 2, 3).reshape(len(x), rows * columns, size, size)


def _statistics(blocks: np.ndarray) -> np.ndarray:
    """[batch, blocks, size, size] -> [batch, blocks, 18]."""
    flat = (*blocks.shape[:2], -1)
    found = list(generalized_gaussian(blocks.reshape(flat)))
    for down, right in NEIGHBORS:
        shifted = np.roll(blocks, (down, right), axis=(2, 3))
        found += asymmetric_gaussian((blocks * shifted).reshape(flat))
    return np.stack(found, axis=-1)


def _checked(who: str, features: ArrayLike) -> np.ndarray:
    features = np.asarray(features, np.float64)
    if features.ndim != 3 or features.shape[2] != NUM_FEATURES:
        raise ValueError(
            f"{who}: expected [batch, blocks, {NUM_FEATURES}]; got {features.shape}."
        )
    checks.finite(who, features=features)
    return features
