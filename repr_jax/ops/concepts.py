"""Directions of an attribute in an embedding, and what is left along or across them."""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import pairwise_dot, to_float


def pairwise_directions(prompts: Array, others: Array | None = None) -> Array:
    """Differences of prompts of one attribute, all turned to the side of the first.

    Args:
      prompts: [n, dim] float, embeddings of its values.
      others: [m, dim] float, of the values it is told from; None for all pairs i < j of
        `prompts`.

    Returns:
      [pairs, dim]: prompts_i - others_j, row by row, or prompts_i - prompts_j.

    Source: Yun et al., "Language-Assisted Feature Transformation for Anomaly
      Detection", 2025 (LAFT), https://arxiv.org/abs/2503.01184.
    """
    who = "pairwise_directions"
    checks.same_shape(who, rank=2, prompts=prompts)
    checks.floating(who, prompts=prompts)
    prompts = to_float(prompts)
    if others is None:
        checks.count(who, minimum=2, prompts=len(prompts))
        first, second = jnp.triu_indices(len(prompts), 1)
        directions = prompts[first] - prompts[second]
    else:
        checks.shape(who, (len(others), prompts.shape[1]), others=others)
        checks.floating(who, others=others)
        away = prompts[:, None] - to_float(others)[None]
        directions = away.reshape(-1, prompts.shape[1])
    side = pairwise_dot(directions, directions[:1])  # [pairs, 1]
    return jnp.where(side < 0, -directions, directions)


def basis(directions: Array, num_components: int) -> Array:
    """[pairs, dim] -> [num_components, dim] orthonormal: where most of them point.

    The top right singular vectors of the directions as they are, not centered. How many
    is to be chosen on normal validation rows (our reading; the authors sweep it).

    Raises:
      ValueError: more components than directions or dimensions.
    """
    checks.count("basis", num_components=num_components)
    if num_components > min(directions.shape):
        raise ValueError(
            f"basis: expected num_components up to {min(directions.shape)}; got "
            f"{num_components}."
        )
    return jnp.linalg.svd(to_float(directions), full_matrices=False)[2][:num_components]


def onto(x: Array, basis: Array) -> Array:
    """[batch, dim] -> the same, the part of x in the span of an orthonormal basis."""
    return pairwise_dot(pairwise_dot(to_float(x), basis), basis.T)


def away(x: Array, basis: Array) -> Array:
    """[batch, dim] -> the same, the rest of x: onto + away = x."""
    return to_float(x) - onto(x, basis)
