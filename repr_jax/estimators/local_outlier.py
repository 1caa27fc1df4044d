"""Local outlier factor: how much sparser it is around a row than around its neighbors.

Source: Breunig et al., "LOF: Identifying Density-Based Local Outliers", 2000,
  definitions 5 to 7, https://doi.org/10.1145/335191.335388; with scikit-learn's 1e-10,
  which makes repeated rows finite.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_queries, finite_rows, most_present, present
from repr_jax.ops.neighbors import between
from repr_jax.ops.similarity import negative_squared_distance

SMALLEST_REACH = 1e-10


class LocalOutlier(NamedTuple):
    """The rows and their neighborhoods."""

    x: Array  # [batch, dim]
    where: Array  # [batch] bool, which are present
    neighbors: Array  # [batch, num_neighbors] int32, the nearest other rows
    radius: Array  # [batch], the distance to the last of them
    density: Array  # [batch], 1 / mean reach
    scores: Array  # [batch], the factors of the rows themselves; 0 if absent


def fit(
    x: Array, *, num_neighbors: int = 20, where: Array | None = None
) -> LocalOutlier:
    """Factors of all rows: near 1 in a cluster, above it for outliers.

    scores_i = mean_j density_j / density_i over the nearest rows j, density_i = 1 /
    (mean_j max(|x_i - x_j|, radius_j) + 1e-10), radius_j the distance from j to the
    last of its nearest rows.

    Args:
      x: [batch, dim] float.
      num_neighbors: > 0 and below the number of present rows.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: x is not [batch, dim], or not finite (where traced, such a row is
        absent); too few rows. TypeError: integers; a `where` that is not bool.
    """
    who = "local_outlier.fit"
    checks.count(who, num_neighbors=num_neighbors)
    x, where = finite_rows(who, where, x=x)
    count = most_present(where)
    if num_neighbors >= count:
        raise ValueError(
            f"{who}: expected fewer neighbors than rows, {count}; got num_neighbors "
            f"{num_neighbors}."
        )
    return _fit(x, where, num_neighbors)


def score(fitted: LocalOutlier, x: Array) -> Array:
    """[batch, dim] -> [batch], factors of new rows among the fitted ones.

    A fitted row is here its own neighbor; its factor without it is in `scores`.

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite.
    """
    x = checked_queries("local_outlier.score", fitted.x.shape[1:], x=x)
    return _score(fitted, x)


@functools.partial(jax.jit, static_argnums=2)
def _fit(x, where, num_neighbors):
    away, rows = _nearest(x, x, where, num_neighbors + 1)
    own = rows == jnp.arange(len(x))[:, None]  # of equal rows it may not be the first
    order = jnp.argsort(own, axis=1, stable=True)[:, :num_neighbors]
    away, rows = (jnp.take_along_axis(a, order, axis=1) for a in (away, rows))
    radius = away[:, -1]
    density = _density(away, radius[rows])
    scores = present(jnp.mean(density[rows], axis=1) / density, where)
    return LocalOutlier(x, where, rows, radius, density, scores)


@jax.jit
def _score(fitted, x):
    num_neighbors = fitted.neighbors.shape[1]
    away, rows = _nearest(x, fitted.x, fitted.where, num_neighbors)
    return jnp.mean(fitted.density[rows], axis=1) / _density(away, fitted.radius[rows])


def _nearest(x, stored, where, num_neighbors):
    values, rows = between(
        x,
        stored,
        num_neighbors=num_neighbors,
        similarity=negative_squared_distance,
        where=where,
    )
    return jnp.sqrt(-values), rows


def _density(away, radius):
    return 1 / (jnp.mean(jnp.maximum(away, radius), axis=1) + SMALLEST_REACH)
