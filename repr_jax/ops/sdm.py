"""Similarity, distance and magnitude in one softmax."""

import jax.numpy as jnp
from jax import Array


def scales(num_matches: Array, closeness: Array) -> Array:
    """[batch] log(2 + q) d: what logits are multiplied by before a softmax."""
    return jnp.log(2 + num_matches) * closeness
