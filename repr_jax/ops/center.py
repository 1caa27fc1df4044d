"""The running mean of a target's outputs, subtracted before they are sharpened.

What a step adds is kept apart until the center is moved, so that a batch in several
parts moves it once, as a whole one does.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, ema
from repr_jax.ops.batch import checked_where, num_present, present
from repr_jax.ops.numerics import to_float


class Center(NamedTuple):
    """A moving average over steps of means over batches."""

    mean: Array  # [dim], what losses take
    total: Array  # [dim], sum of the rows since the mean was moved
    count: Array  # [], their number


def start(dim: int) -> Center:
    """A center at 0, to which nothing was added."""
    return Center(jnp.zeros(dim), jnp.zeros(dim), jnp.zeros(()))


def add(
    center: Center,
    targets: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Center:
    """Adds targets, [view, batch, dim], to what the mean will move by.

    where: [batch] bool, False for absent rows. On a split batch the rows of all devices
    are added.
    """
    checks.same_shape("center.add", rank=3, targets=targets)
    checks.floating("center.add", targets=targets)
    where = checked_where("center.add", where, targets.shape[1:2])
    rows = jnp.moveaxis(lax.stop_gradient(to_float(targets)), 1, 0)
    total = jnp.sum(present(rows, where), axis=(0, 1))
    total = total if axis_name is None else lax.psum(total, axis_name)
    count = len(targets) * num_present(where, axis_name)
    return center._replace(total=center.total + total, count=center.count + count)


def move(center: Center, *, decay: float | Array = 0.9) -> Center:
    """decay * mean + (1 - decay) * mean of what was added; the same if nothing was.

    Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers",
      2021, eq. 4, https://arxiv.org/abs/2104.14294.
    """
    new = center.total / jnp.maximum(center.count, 1)
    moved = ema.update(center.mean, new, decay=decay)
    mean = jnp.where(center.count > 0, moved, center.mean)
    return Center(mean, jnp.zeros_like(center.total), jnp.zeros_like(center.count))
