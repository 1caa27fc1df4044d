"""Augmented Lagrangian of constraints c <= 0, each with a multiplier and a weight > 0.

Source: Bertsekas, "Constrained Optimization and Lagrange Multiplier Methods", 1982,
  chapter 3 (from memory), in the form of the code of Bai et al., "Feed Two Birds with
  One Scone", 2023, https://arxiv.org/abs/2306.09158.
"""

import jax.numpy as jnp
from jax import Array


def penalty(
    constraint: Array, multiplier: float | Array, weight: float | Array
) -> Array:
    """multiplier c + weight c^2 / 2 where weight c + multiplier >= 0, and there on
    constant, -multiplier^2 / (2 weight).

    Differentiable, and of slope 0 at a constraint that is met with multiplier 0.
    """
    least = -multiplier / weight  # where both forms and their slopes agree
    constraint = jnp.maximum(constraint, least)
    return multiplier * constraint + weight * constraint**2 / 2


def update(
    constraint: Array,
    multiplier: float | Array,
    weight: float | Array,
    *,
    rate: float | Array = 1.0,
) -> Array:
    """The multiplier, moved by `rate` times the slope of the penalty in it.

    multiplier + rate c where weight c + multiplier >= 0, else multiplier - rate
    multiplier / weight. At rate <= weight it stays >= 0.
    """
    return multiplier + rate * jnp.maximum(constraint, -multiplier / weight)
