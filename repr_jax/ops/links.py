"""Losses of score differences, 1 where all are 0: v is [..., k] float -> [...].

For one difference, k = 1, they are those of a binary classifier.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array


def hinge(v: Array) -> Array:
    """max(0, 1 + max_j -v_j)."""
    return jax.nn.relu(1 - jnp.min(v, axis=-1))


def logistic(v: Array) -> Array:
    """log2(1 + sum_j exp(-v_j)), in bits."""
    return jax.nn.softplus(jax.nn.logsumexp(-v, axis=-1)) / math.log(2)
