"""The minimum spanning tree of rows, by the lengths of its edges."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows


def edge_lengths(x: Array, *, where: Array | None = None) -> Array:
    """[rows, dim] -> [rows - 1] Euclidean lengths, ascending; inf for absent rows.

    Also the times at which clusters merge in 0-dimensional Vietoris-Rips persistence;
    some packages halve them. By Prim's algorithm, O(rows^2 dim) time and O(rows dim)
    memory. A row that is not finite makes an edge that is not.

    Args:
      where: [rows] bool, False for absent rows, each of which takes one edge away.

    Raises:
      ValueError: x is not [rows, dim], has no row, or is not finite.

    Source: Prim, "Shortest Connection Networks and Some Generalizations", 1957,
      https://doi.org/10.1002/j.1538-7305.1957.tb01515.x.
    """
    x, where = checked_rows("edge_lengths", where, x=x)
    checks.count("edge_lengths", rows=len(x))
    checks.finite("edge_lengths", where=where, x=x)
    if len(x) == 1:
        return jnp.zeros(0, x.dtype)

    def distances(row):
        return jnp.sqrt(jnp.sum((x - x[row][None]) ** 2, axis=-1))

    def grow(i, state):
        nearest, outside, lengths = state
        candidates = jnp.where(outside, nearest, jnp.inf)
        broken = outside & jnp.isnan(nearest)  # comes first, as a NaN
        row = jnp.argmin(jnp.where(broken, -jnp.inf, candidates))
        lengths = lengths.at[i].set(candidates[row])
        nearest = jnp.minimum(nearest, distances(row))
        return nearest, outside.at[row].set(False), lengths

    first = jnp.argmax(where)
    outside = where.at[first].set(False)
    state = distances(first), outside, jnp.zeros(len(x) - 1, x.dtype)
    return jnp.sort(lax.fori_loop(0, len(x) - 1, grow, state)[2])
