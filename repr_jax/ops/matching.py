"""Patches of one view and those of another that they are matched with."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks


def nearest_patches(
    by_a: Array, by_b: Array, *, num_matches: int
) -> tuple[Array, Array]:
    """Places [batch, num_matches] of a and of b: patches of a whose nearest of b is
    nearest, the closest first.

    by_a [batch, patch, n] and by_b [batch, other patch, n] are what distances are of:
    features, or places in the image. Of fewer patches all are taken. No gradient.

    Source: Bardes, Ponce and LeCun, "VICRegL: Self-Supervised Learning of Local Visual
      Features", 2022, https://arxiv.org/abs/2210.01571.
    """
    who = "nearest_patches"
    checks.count(who, num_matches=num_matches)
    checks.same_shape(who, rank=3, by_a=by_a)
    batch, patches, dim = jnp.shape(by_a)
    checks.shape(who, (batch, *jnp.shape(by_b)[1:2], dim), by_b=by_b)
    checks.floating(who, by_a=by_a, by_b=by_b)
    by_a, by_b = lax.stop_gradient((by_a, by_b))
    squares = jnp.sum((by_a[:, :, None] - by_b[:, None]) ** 2, axis=-1)
    nearest = jnp.argmin(squares, axis=2)
    closeness = -jnp.min(squares, axis=2)
    _, kept = lax.top_k(closeness, min(num_matches, patches))
    return kept, jnp.take_along_axis(nearest, kept, axis=1)
