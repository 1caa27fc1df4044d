"""CdSprites: a square, an ellipse or a heart whose color goes with its shape.

One image for each of the 737,280 combinations of shape, scale, orientation and place of
dSprites, drawn on the device out of formulas, so nothing is read. The label is the
shape, the spurious attribute its color; `data.shift` says how strongly they correlate.

A batch after `prepare` has "image" float32 [batch, size, size, 3] in [0, 1]; "label"
and "spurious" int32 [batch] in 0..2; "domain" int32, 0 in distribution and 1 out of it;
"index" int32, the number of the combination; "factors" int32 [batch, 5], see FACTORS;
and "where" bool in evaluation. Before it there is no image.

The factors, their order and numbers are those of dSprites: Matthey et al., 2017,
https://github.com/google-deepmind/dsprites-dataset. The images are not its pixels:
edges are soft, and sizes are of our choice, so that nothing is cut off. Colors: Shi et
al., 2023, https://arxiv.org/abs/2206.08871; their values are ours.
"""

import functools
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.data import shift as shifts
from repr_jax.data.dataset import Dataset, of_rows
from repr_jax.ops import checks

FACTORS = ("shape", "scale", "orientation", "x", "y")
COUNTS = (3, 6, 40, 32, 32)  # of classes of each factor, the last index fastest
NUM_IMAGES = 737_280
SHAPES = ("square", "ellipse", "heart")
COLORS = ((255, 255, 255), (160, 32, 240), (0, 255, 255))  # white, purple, cyan
SHARPNESS = 14.0  # of edges: coverage is sigmoid(-SHARPNESS * signed value)
RADIUS = 0.42  # of scale 1, where the image reaches from -1 to 1


def factors_of(index: np.ndarray) -> np.ndarray:
    """[batch] numbers of images -> [batch, 5] int32 classes of FACTORS."""
    return np.stack(np.unravel_index(index, COUNTS), axis=-1).astype(np.int32)


def index_of(factors: np.ndarray) -> np.ndarray:
    """[batch, 5] classes of FACTORS -> [batch] numbers of images, as `factors_of`."""
    return np.ravel_multi_index(tuple(np.asarray(factors).T), COUNTS)


def signed_value(shape: Array, u: Array, v: Array) -> Array:
    """Negative inside a shape, positive outside; in units of its size.

    square: max(|u|, |v|) - 0.8. ellipse: sqrt(u^2 + (v / 0.6)^2) - 1. heart: the cube
    root of (a^2 + b^2 - 1)^3 - a^2 b^3, a = 1.15 u, b = 0.1 - 1.15 v.

    shape: int, an index of SHAPES, which broadcasts with u (to the right) and v (down).
    """
    square = jnp.maximum(jnp.abs(u), jnp.abs(v)) - 0.8
    ellipse = jnp.sqrt(u * u + (v / 0.6) ** 2) - 1
    a, b = 1.15 * u, 0.1 - 1.15 * v
    heart = jnp.cbrt((a * a + b * b - 1) ** 3 - a * a * b**3)
    return jnp.where(shape == 0, square, jnp.where(shape == 1, ellipse, heart))


def coverage(
    shape: Array, radius: Array, angle: Array, center: Array, *, size: int
) -> Array:
    """[batch, size, size] float32 in (0, 1): how much of each pixel a shape covers.

    Args:
      shape: [batch] int, indices of SHAPES.
      radius: [batch] float, of the unit of `signed_value`; the image reaches from -1 to
        1, to the right and down.
      angle: [batch] float, radians.
      center: [batch, 2] float, (x, y).
      size: pixels of a side.
    """
    places = (2 * jnp.arange(size, dtype=jnp.float32) + 1) / size - 1
    wide = (slice(None), None, None)
    x = places[None, None, :] - center[:, 0][wide]
    y = places[None, :, None] - center[:, 1][wide]
    cos, sin = jnp.cos(angle)[wide], jnp.sin(angle)[wide]
    u = (cos * x + sin * y) / radius[wide]
    v = (cos * y - sin * x) / radius[wide]
    value = signed_value(shape[wide], u, v)
    return 1 / (1 + jnp.exp(SHARPNESS * jnp.minimum(value, 5.0)))


def render(factors: Array, color: Array, *, size: int) -> Array:
    """[batch, size, size, 3] float32 in [0, 1]: coverage times color, on black.

    Args:
      factors: [batch, 5] int, classes of FACTORS: scale is linear in 0.5 to 1,
        orientation in 0 to 2 pi with both ends, x and y in -0.5 to 0.5.
      color: [batch] int, indices of COLORS.
      size: pixels of a side.
    """
    part = factors[:, 1:].astype(jnp.float32)
    part = part / jnp.array([n - 1 for n in COUNTS[1:]], jnp.float32)[None]
    radius = RADIUS * (0.5 + 0.5 * part[:, 0])
    shown = coverage(
        factors[:, 0], radius, 2 * jnp.pi * part[:, 1], part[:, 2:] - 0.5, size=size
    )
    colors = jnp.array(COLORS, jnp.float32) / 255
    return shown[..., None] * colors[color][:, None, None]


def load(
    *,
    r_id: float = 1.0,
    r_ood: float = 0.0,
    num_train: int = 50_000,
    num_test: int = 10_000,
    num_head: int = 1_000,
    size: int = 64,
    seed: int = 0,
    data_seed: int = 0,
) -> Dataset:
    """A random part of all images, at r_id and r_ood; see the module.

    Args:
      r_id: of the splits "train" and "test", in [-1/2, 1]; see `shift`.
      r_ood: of "ood_head" and "ood_test".
      num_train, num_test, num_head: how many images "train", each of the two tests, and
        "ood_head" have; no combination is in two of them.
      size: pixels of a side.
      seed: of the order of training.
      data_seed: of the choice of images and of their colors.

    Raises:
      ValueError, TypeError: a number out of range, or more images than there are.
    """
    who = "sprites.load"
    checks.count(who, size=size)
    shift = shifts.check_shift(who, shifts.Shift(r_id, r_ood, data_seed), len(COLORS))
    counts = (num_train, num_test, num_head, num_test)
    num_examples = dict(zip(shifts.SPLITS, counts))
    rows_of = shifts.split_rows(num_examples, NUM_IMAGES, data_seed)

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        index = rows_of[split][rows]
        factors = factors_of(index)
        labels = factors[:, 0]
        colors = shifts.attributes(
            labels, index, r=shift.of(split), num_values=len(COLORS), seed=data_seed
        )
        return {
            "factors": factors,
            "label": labels,
            "spurious": colors,
            "domain": np.full(len(rows), split.startswith("ood"), np.int32),
            "index": index.astype(np.int32),
        }

    prepare = functools.partial(_prepare, size=size)
    return of_rows(who, take, num_examples, seed=seed, prepare=prepare)


def _prepare(batch: Mapping, *, size: int) -> dict:
    return {**batch, "image": render(batch["factors"], batch["spurious"], size=size)}
