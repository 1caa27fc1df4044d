"""Distance to the nearest of stored rows: what lies far from all of them is anomalous.

Distances are Euclidean, not squared as indexes of neighbors often return them. Deep
k-nearest neighbors are these of features of unit length (`ops.numerics.l2_normalize`).

Source: Ramaswamy, Rastogi and Shim, "Efficient Algorithms for Mining Outliers from
  Large Data Sets", 2000; Sun et al., "Out-of-Distribution Detection with Deep Nearest
  Neighbors", 2022, https://arxiv.org/abs/2204.06507.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from repr_jax.ops.batch import checked_queries, finite_rows
from repr_jax.ops.neighbors import between
from repr_jax.ops.similarity import negative_squared_distance


class KNNDistance(NamedTuple):
    """The rows that others are compared with."""

    x: Array  # [batch, dim]
    where: Array  # [batch] bool, which are present


def fit(x: Array, *, where: Array | None = None) -> KNNDistance:
    """Stores the rows.

    Args:
      x: [batch, dim] float.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: x is not [batch, dim], or not finite; where traced, a row that is not
        is absent.
      TypeError: integers in x; a `where` that is not bool.
    """
    return KNNDistance(*finite_rows("knn_distance.fit", where, x=x))


def score(fitted: KNNDistance, x: Array, *, num_neighbors: int = 50) -> Array:
    """[batch, dim] -> [batch] distance to the num_neighbors-th nearest stored row.

    A stored row is its own nearest. Infinite where traced with too few rows.

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite; too few rows stored.
    """
    return _distances("knn_distance.score", fitted, x, num_neighbors)[:, -1]


def mean_score(fitted: KNNDistance, x: Array, *, num_neighbors: int = 50) -> Array:
    """`score` with the mean distance to the num_neighbors nearest stored rows."""
    who = "knn_distance.mean_score"
    return jnp.mean(_distances(who, fitted, x, num_neighbors), axis=1)


def _distances(who, fitted, x, num_neighbors):
    values, _ = between(
        checked_queries(who, fitted.x.shape[1:], x=x),
        fitted.x,
        num_neighbors=num_neighbors,
        similarity=negative_squared_distance,
        where=fitted.where,
    )
    return jnp.sqrt(-values)
