"""Events, one entity of each of several types, as pairs of embeddings that fit."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks


def score(embeddings: Sequence[Array], weights: Array, events: Array) -> Array:
    """sum_{i < j} w_ij v_i . v_j over the pairs of types of an event.

    Minus it is the anomaly score. An entity that was never seen has no trained
    embedding: give it the mean of its type.

    Args:
      embeddings: of each type, [entities, dim] float.
      weights: [types (types - 1) / 2] >= 0, of the pairs 01, 02, ..., 12, ...; clip
        them after each step of training. Ones for no weights.
      events: [..., types] int, an entity of each type.

    Returns:
      [...]; 0 for weights of 0.

    Raises:
      ValueError: shapes that do not fit; an entity out of range (traced: the nearest in
        range). TypeError: events that are not whole numbers.

    Source: Chen et al. 2016, as `losses.event_nce`.
    """
    types = len(embeddings)
    checks.integers("score", events=events)
    checks.shape("score", (*jnp.shape(events)[:-1], types), events=events)
    checks.shape("score", (types * (types - 1) // 2,), weights=weights)
    for m, v in enumerate(embeddings):
        checks.within("score", len(v), events=events[..., m].reshape(-1))
    vectors = [v[events[..., m]] for m, v in enumerate(embeddings)]
    pairs = [(i, j) for i in range(types) for j in range(i + 1, types)]
    fits = [jnp.sum(vectors[i] * vectors[j], axis=-1) for i, j in pairs]
    return sum(w * fit for w, fit in zip(weights, fits))
