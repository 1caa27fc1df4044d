"""Montages of patches from all images of a batch: of which image, and which cell?"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks


class Montage(NamedTuple):
    """As many montages as there were images, and the labels of their places."""

    images: Array  # [batch, cells * tile height, cells * tile width, channels]
    source: Array  # [batch, cells^2] int32 in [0, batch), of which image; row by row
    cell: Array  # [batch, cells^2] int32 in [0, cells^2), and from which of its cells


def montage(
    key: Array,
    images: Array,
    *,
    change: Callable[[Array, Array], Array],
    cells: int = 2,
    overlap: float = 0.3,
) -> Montage:
    """Overlapping patches of all images, each changed on its own, in random places.

    One pass of a network over the montages gives a feature of each place: its map,
    averaged within places, [batch, cells, cells, dim]. With both flattened to rows, the
    loss is `losses.sup_con` (temperature 0.07) of features and sources plus
    `losses.cross_entropy` of logits and cells.

    Patches mix across the batch, so that its rows must be on one device, or each device
    makes montages of its own rows.

    Args:
      key: PRNG key.
      images: [batch, height, width, channels].
      change: (key, [num, height, width, channels] patches) -> [num, tile height, tile
        width, channels], random changes of each such as partial(
        augment.random_resized_crop, size=14).
      cells: >= 2, along each axis. The paper writes m.
      overlap: >= 0, at most 1 - 1 / cells: a patch has sides of 1 / cells + overlap of
        the image's, evenly spread.

    Raises:
      ValueError: images are not of rank 4, a number out of range, or `change` returns
        another number of patches.

    Source: Chen, Liu and Jia, "Jigsaw Clustering for Unsupervised Visual Representation
      Learning", 2021, section 3, https://arxiv.org/abs/2104.00323. Their code numbers
      cells column by column.
    """
    who = "montage"
    checks.same_shape(who, rank=4, images=images)
    change_key, order_key = jax.random.split(key)
    patches = overlapping_patches(images, cells=cells, overlap=overlap)
    num = len(patches)
    patches = change(change_key, patches)
    checks.rows(who, num, **{"patches of change": patches})
    return arranged(patches, jax.random.permutation(order_key, num), cells=cells)


def overlapping_patches(images: Array, *, cells: int, overlap: float) -> Array:
    """[batch, ...] -> [cells^2 batch, ...]: of all images one cell after another.

    cells, overlap: as of `montage`; cells are numbered row by row.
    """
    who = "overlapping_patches"
    checks.count(who, minimum=2, cells=cells)
    if not 0 <= overlap <= 1 - 1 / cells:
        raise ValueError(
            f"{who}: expected overlap in [0, {1 - 1 / cells:g}]; got {overlap}."
        )
    parts = []  # of both axes, a slice of each cell
    for length in images.shape[1:3]:
        side = round(length * (1 / cells + overlap))
        starts = np.round(np.linspace(0, length - side, cells)).astype(int)
        parts.append([slice(start, start + side) for start in starts])
    rows, columns = parts
    return jnp.concatenate([images[:, r, c] for r in rows for c in columns])


def arranged(patches: Array, order: Array, *, cells: int) -> Montage:
    """Patches in montages, each with every n-th of the list patches[order].

    n is the number of montages; number i has i, n + i, 2 n + i, ..., row by row.

    patches: [cells^2 batch, tile height, tile width, channels], in the order of
    `overlapping_patches`; order: [cells^2 batch] int, a permutation.
    """
    batch, (height, width, channels) = len(patches) // cells**2, patches.shape[1:]
    grid = (cells, cells, batch, height, width, channels)
    tiles = patches[order].reshape(grid).transpose(2, 0, 3, 1, 4, 5)
    images = tiles.reshape(batch, cells * height, cells * width, channels)
    places = order.astype(jnp.int32).reshape(cells**2, batch).T
    return Montage(images, places % batch, places // batch)
