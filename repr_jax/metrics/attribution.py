"""What input gradients point at: pixels to keep, and what a null block gets."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float


def keep_masks(gradients: Array, *, fraction: float) -> tuple[Array, Array]:
    """The entries of each row with the largest gradients, and those with the smallest.

    DiffROAR is the accuracy of a model retrained on inputs of which the first are kept,
    less that of one retrained on the second; the rest becomes the mean value, in
    training and test images alike.

    Args:
      gradients: [batch, ...] float, of the true label's logit, say; magnitudes count.
        NaN counts as the smallest.
      fraction: in (0, 1]; of the entries of a row, a whole number up to rounding.

    Returns:
      top, bottom: bool as gradients, round(fraction * entries) True in each row;
      disjoint for a fraction up to 1/2. Of equal magnitudes the first are larger.

    Source: Shah, Jain and Netrapalli, "Do Input Gradients Highlight Discriminative
      Features?", 2021, section 3, https://arxiv.org/abs/2102.12781.
    """
    who = "keep_masks"
    checks.floating(who, gradients=gradients)
    if not 0 < fraction <= 1:
        raise ValueError(f"{who}: expected fraction in (0, 1]; got {fraction}.")
    shape = jnp.shape(gradients)
    size = jnp.abs(to_float(gradients)).reshape(shape[0], -1)
    order = jnp.argsort(-jnp.where(jnp.isnan(size), -1, size), axis=1)
    rank = jnp.argsort(order, axis=1)  # 0 for the largest
    count = int(np.floor(fraction * size.shape[1] + 0.5))
    top, bottom = rank < count, rank >= size.shape[1] - count
    return top.reshape(shape), bottom.reshape(shape)


def leakage(gradients: Array, null: Array) -> Array:
    """[batch, ...] -> [batch] the share of sum |gradient| that falls on a null block.

    In [0, 1], 0 is best; the share of its pixels is chance. NaN without any gradient.

    Args:
      gradients: [batch, ...] float.
      null: bool as gradients or one row of them, True where nothing tells the class.

    Source: as `keep_masks`, section 5 (BlockMNIST).
    """
    checks.floating("leakage", gradients=gradients)
    checks.boolean("leakage", null=null)
    if jnp.ndim(null) < jnp.ndim(gradients):
        null = jnp.asarray(null)[None]
    size = jnp.abs(to_float(gradients))
    null = jnp.broadcast_to(null, size.shape)
    null, size = (x.reshape(len(size), -1) for x in (null, size))
    return jnp.sum(size, axis=1, where=null) / jnp.sum(size, axis=1)
