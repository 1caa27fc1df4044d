"""Tasks that images set by themselves: their rotation, the places of their patches, and
which image it is.

Each gives inputs and integer labels for a cross-entropy. Images are [batch, height,
width, channels].

Source: as compared by Kolesnikov, Zhai and Beyer, "Revisiting Self-Supervised Visual
  Representation Learning", 2019, section 3.1, https://arxiv.org/abs/1901.09005.
"""

import itertools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.data.dataset import Dataset, resolve
from repr_jax.ops import checks

CENTER = 4  # of the nine patches of a 3 x 3 grid, row by row


def instances(*, dataset: Dataset | Callable) -> Dataset:
    """A dataset whose training rows are each a class of its own, in any variant of it.

    "label" of a training batch is the number of the row, int32 [batch] in [0,
    num_examples["train"]). Evaluation is as it was, with the labels of the dataset.

    Args:
      dataset: a dataset, or what makes one: in a config dict(fn=...).

    Raises:
      ValueError: its rows are not numbered. TypeError: it is no dataset.

    Source: the parametric classifier in Wu et al., "Unsupervised Feature Learning via
      Non-Parametric Instance Discrimination", 2018, eq. 1,
      https://arxiv.org/abs/1805.01978.
    """
    found = resolve("instances", "dataset", dataset)
    if found.train_rows is None:
        raise ValueError(
            "instances: expected a dataset whose training rows are numbered; got one "
            "without train_rows."
        )

    def train(batch_size: int, start_step: int = 0) -> Iterator[dict]:
        batches = found.train(batch_size, start_step)
        for step, batch in enumerate(batches, start=start_step):
            rows = found.train_rows(step, batch_size)
            yield {**batch, "label": rows.astype(np.int32)}

    return found._replace(train=train)


def rotations(images: Array) -> tuple[Array, Array]:
    """All four rotations of square images, and how many quarter turns each has.

    Args:
      images: [batch, side, side, channels].

    Returns:
      [4 batch, side, side, channels], turn after turn, counterclockwise; [4 batch]
      int32 in {0, 1, 2, 3}.

    Source: Gidaris, Singh and Komodakis, "Unsupervised Representation Learning by
      Predicting Image Rotations", 2018, https://arxiv.org/abs/1803.07728.
    """
    shape = jnp.shape(images)
    if len(shape) != 4 or shape[1] != shape[2]:
        raise ValueError(f"rotations: expected images of equal sides; got {shape}.")
    turned = [jnp.rot90(images, k, axes=(1, 2)) for k in range(4)]
    labels = jnp.repeat(jnp.arange(4, dtype=jnp.int32), shape[0])
    return jnp.concatenate(turned), labels


def grid_patches(
    key: Array, images: Array, *, num_cells: int = 3, patch_size: int
) -> Array:
    """A patch from a random place within each cell of a grid, standardized by itself.

    The random gaps keep a network from matching edges, and standardizing from matching
    brightness.

    Args:
      key: PRNG key.
      images: [batch, height, width, channels] float.
      num_cells: along each axis; sides must be multiples of it.
      patch_size: at most a cell's side; equal to it for no jitter.

    Returns:
      [batch, num_cells^2, patch_size, patch_size, channels], cells row by row, of mean
      0 and variance 1 per patch, or 0 if constant.
    """
    room = _room("grid_patches", images, num_cells, patch_size)
    shape = (len(images), num_cells**2, 2)
    return _cut(images, jax.random.randint(key, shape, 0, room), num_cells, patch_size)


def yoked_patches(
    key: Array, images: Array, *, num_cells: int = 3, patch_size: int
) -> Array:
    """`grid_patches` with one random place in their cells for all patches of an image.

    The grid moves as a whole: its distances tell nothing and are those of the image,
    where independent places skew what lies across patches.

    Source: yoked jitter in Mundhenk, Ho and Chen, "Improvements to Context Based
      Self-Supervised Learning", 2018, https://arxiv.org/abs/1711.06379. Standardizing
      as above is our choice; against color fringes, `colors.chroma_blur`.
    """
    room = _room("yoked_patches", images, num_cells, patch_size)
    offsets = jax.random.randint(key, (len(images), 1, 2), 0, room)
    return _cut(images, offsets, num_cells, patch_size)


def _room(who, images, num_cells, patch_size):
    """[1, 1, 2] int, how many places a patch has within its cell, along each axis."""
    checks.same_shape(who, rank=4, images=images)
    checks.floating(who, images=images)
    checks.count(who, num_cells=num_cells, patch_size=patch_size)
    height, width = images.shape[1:3]
    cells = height // num_cells, width // num_cells
    if height % num_cells or width % num_cells or patch_size > min(cells):
        raise ValueError(
            f"{who}: expected sides that are multiples of {num_cells} and patches "
            f"within a cell; got {height} x {width} and patch_size {patch_size}."
        )
    return np.array(cells)[None, None] - patch_size + 1


def _cut(images, offsets, num_cells, patch_size):
    """Standardized patches at offsets [batch, num_cells^2 or 1, 2] in their cells."""
    height, width, channels = images.shape[1:]
    cells = np.array([height // num_cells, width // num_cells])
    corners = np.stack(np.divmod(np.arange(num_cells**2), num_cells), axis=1)
    starts = offsets + jnp.array(corners * cells)[None]

    def cut(image, start):
        size = (patch_size, patch_size, channels)
        return jax.lax.dynamic_slice(image, (start[0], start[1], 0), size)

    patches = jax.vmap(jax.vmap(cut, in_axes=(None, 0)))(images, starts)
    axes = (2, 3, 4)
    patches = patches - jnp.mean(patches, axis=axes, keepdims=True)
    spread = jnp.sqrt(jnp.mean(patches**2, axis=axes, keepdims=True))
    return patches / jnp.where(spread > 0, spread, 1)


def relative_pairs(key: Array, patches: Array) -> tuple[Array, Array]:
    """The center of nine patches beside one of the eight around it: which is it?

    Args:
      key: PRNG key.
      patches: [batch, 9, ...], of `grid_patches`.

    Returns:
      [batch, 2, ...]; [batch] int32 in [0, 8), row by row.

    Source: Doersch, Gupta and Efros, "Unsupervised Visual Representation Learning by
      Context Prediction", 2015, https://arxiv.org/abs/1505.05192.
    """
    checks.shape("relative_pairs", (len(patches), 9, *patches.shape[2:]), x=patches)
    labels = jax.random.randint(key, (len(patches),), 0, 8)
    place = labels + (labels >= CENTER)
    other = patches[jnp.arange(len(patches)), place]
    return jnp.stack([patches[:, CENTER], other], axis=1), labels


def shuffled(key: Array, patches: Array, orders: Array) -> tuple[Array, Array]:
    """Patches in one of several orders, drawn for each image: which one is it?

    Args:
      key: PRNG key.
      patches: [batch, num, ...].
      orders: [num_orders, num] int, such as `permutations`.

    Returns:
      [batch, num, ...], place i has patch orders[label, i]; [batch] int32.

    Source: Noroozi and Favaro, "Unsupervised Learning of Visual Representations by
      Solving Jigsaw Puzzles", 2016, https://arxiv.org/abs/1603.09246.
    """
    checks.shape("shuffled", (len(orders), patches.shape[1]), orders=orders)
    labels = jax.random.randint(key, (len(patches),), 0, len(orders))
    order = jnp.asarray(orders)[labels]
    return patches[jnp.arange(len(patches))[:, None], order], labels


def permutations(num: int, count: int) -> np.ndarray:
    """[count, num] orders that differ in many places, the identity first.

    Each next one is the farthest of all num! from those before it, by the least number
    of places that differ; the first in lexicographic order among equals.

    Raises:
      ValueError: count is not in 1..num!, or num is above 9.
    """
    checks.count("permutations", num=num, count=count)
    if num > 9:
        raise ValueError(f"permutations: expected num up to 9; got {num}.")
    every = np.array([*itertools.permutations(range(num))], np.int32)
    if count > len(every):
        raise ValueError(
            f"permutations: expected count up to {len(every)}; got {count}."
        )
    chosen, least = [0], np.full(len(every), num + 1)
    while len(chosen) < count:
        least = np.minimum(least, np.sum(every != every[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(least)))
    return every[chosen]
