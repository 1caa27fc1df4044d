"""A few rows that all others are near."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import finite_rows, most_present


def k_center(
    x: Array, num: int, *, first: Array | int = 0, where: Array | None = None
) -> Array:
    """Greedy k-center: from one row on, the row farthest from all that were chosen.

    At most twice the least possible largest distance of a row to a chosen one. O(rows
    dim num) time, one column of distances at a time; the first of equally far rows.

    Args:
      x: [rows, dim] float.
      num: from 1 to the present rows.
      first: the row to begin with, present.
      where: [rows] bool, False for rows that are neither chosen nor covered.

    Returns:
      [num] int32, different rows in the order they were chosen, `first` the first.

    Raises:
      ValueError: x is not [rows, dim], or not finite (traced, such a row is as good as
        absent); more rows wanted than there are.

    Source: Gonzalez, "Clustering to Minimize the Maximum Intercluster Distance", 1985,
      https://doi.org/10.1016/0304-3975(85)90224-5.
    """
    who = "k_center"
    checks.count(who, num=num)
    x, where = finite_rows(who, where, x=x)
    count = most_present(where)
    if num > count:
        raise ValueError(f"{who}: expected num up to {count} rows; got {num}.")

    def distances(row):
        return jnp.sum((x - x[row][None]) ** 2, axis=1)

    def choose(i, state):
        chosen, nearest = state
        row = jnp.argmax(nearest)
        nearest = jnp.minimum(nearest, distances(row)).at[row].set(-1)
        return chosen.at[i].set(row), nearest

    first = jnp.asarray(first, jnp.int32)
    nearest = jnp.where(where, distances(first), -jnp.inf).at[first].set(-1)
    chosen = jnp.zeros(num, jnp.int32).at[0].set(first)
    return lax.fori_loop(1, num, choose, (chosen, nearest))[0]
