"""Anomalous patches of images, by their distance to remembered normal ones: PatchCore.

Patches are feature rows of a pretrained network, each the mean of its 3 x 3 neighbors.
A second memory, of labeled anomalous patches, is fitted in the same way; a network of
labeled patches is `patch_classifier`.

Source: Roth et al., "Towards Total Recall in Industrial Anomaly Detection", 2022,
  https://arxiv.org/abs/2106.08265, in the form of anomalib's code.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import by_block, by_row, finite_rows
from repr_jax.ops.coreset import k_center
from repr_jax.ops.numerics import to_float
from repr_jax.ops.similarity import negative_squared_distance


class PatchMemory(NamedTuple):
    """What is remembered."""

    x: Array  # [num_rows, dim], a coreset of the patches


def fit(
    key: Array, x: Array, *, num_rows: int, where: Array | None = None
) -> PatchMemory:
    """A greedy k-center coreset of normal patches, from a random one on.

    Args:
      key: PRNG key.
      x: [patches, dim] float.
      num_rows: to remember, from 1 to the present patches; published, 1 to 25 %.
      where: [patches] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: as `ops.coreset.k_center`. TypeError: integers.
    """
    x, where = finite_rows("patch_memory.fit", where, x=x)
    place = jax.random.randint(key, (), 0, jnp.maximum(jnp.sum(where), 1))
    first = jnp.argmax(jnp.cumsum(where) > place)  # the place-th present row
    return PatchMemory(x[k_center(x, num_rows, first=first, where=where)])


def patch_scores(memory: PatchMemory, patches: Array) -> Array:
    """[..., patches, dim] -> [..., patches] distances to the nearest remembered row.

    ValueError for patches that are not finite; in traced code they score NaN.
    """
    return by_row(lambda x: _nearest(memory, x)[0], _checked(memory, patches))


def score(memory: PatchMemory, patches: Array) -> Array:
    """[images, patches, dim] -> [images], the largest of `patch_scores`."""
    return jnp.max(patch_scores(memory, patches), axis=-1)


def reweighted_score(
    memory: PatchMemory, patches: Array, *, num_neighbors: int = 9
) -> Array:
    """`score`, more where the nearest remembered row is itself far from the others.

    Times 1 - w, w the first entry of the softmax of the patch's distances to the
    num_neighbors remembered rows that are nearest to its nearest one, itself the first.
    """
    patches = _checked(memory, patches)
    checks.count("patch_memory.reweighted_score", num_neighbors=num_neighbors)
    bank = jnp.asarray(memory.x)
    num_neighbors = min(num_neighbors, len(bank))
    distances, rows = by_row(lambda x: _nearest(memory, x), patches)
    worst = jnp.argmax(distances, axis=-1, keepdims=True)  # [images, 1]
    patch = jnp.take_along_axis(patches, worst[..., None], axis=-2)[..., 0, :]
    row = jnp.take_along_axis(rows, worst, axis=-1)[..., 0]

    def weight(patch, row):
        near = negative_squared_distance.of_pairs(bank[row][None], bank)[0]
        near = near.at[row].set(jnp.inf)
        around = bank[lax.top_k(near, num_neighbors)[1]]
        far = jnp.sqrt(jnp.sum((around - patch[None]) ** 2, axis=1))
        return 1 - jax.nn.softmax(far)[0]

    return jax.vmap(weight)(patch, row) * jnp.max(distances, axis=-1)


def labeled_score(normal: PatchMemory, anomalous: PatchMemory, patches: Array) -> Array:
    """[images, patches, dim] -> [images] max of distance to normal less to anomalous.

    Our reading of Labeled PatchCore, whose exact score was not confirmed.
    """
    gap = patch_scores(normal, patches) - patch_scores(anomalous, patches)
    return jnp.max(gap, axis=-1)


def _checked(memory, patches):
    who = "patch_memory"
    checks.floating(who, patches=patches)
    shape = jnp.shape(patches)
    checks.shape(who, (*shape[:-1], memory.x.shape[1]), patches=patches)
    checks.finite(who, patches=patches)
    return to_float(patches)


def _nearest(memory, x):
    """[n] distances by direct difference, [n] rows."""
    bank = jnp.asarray(memory.x)

    def of_block(x):
        row = jnp.argmax(negative_squared_distance.of_pairs(x, bank), axis=1)
        return jnp.sqrt(jnp.sum((x - bank[row]) ** 2, axis=1)), row

    return by_block(of_block, x)
