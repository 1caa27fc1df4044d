"""Which rows are nearest to each row, a block of rows at a time."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float
from repr_jax.ops.similarity import cosine


def nearest(
    x: Array, *, num_neighbors: int, similarity: Any = cosine, chunk_size: int = 1024
) -> Array:
    """The rows most similar to each row, without the row itself, the nearest first.

    Exact; no more than chunk_size rows are compared with all others at a time.

    Args:
      x: [rows, dim] float.
      num_neighbors: from 1 to rows - 1.
      similarity: as in `ops.similarity`, such as its cosine.
      chunk_size: > 0.

    Returns:
      [rows, num_neighbors] int32.

    Raises:
      ValueError: x is not [rows, dim], or not finite; too few rows. In traced code a
        NaN is farther than anything.
      TypeError: integers in x.
    """
    who = "nearest"
    checks.same_shape(who, rank=2, x=x)
    checks.floating(who, x=x)
    checks.count(who, num_neighbors=num_neighbors, chunk_size=chunk_size)
    checks.finite(who, x=x)
    rows = len(x)
    if num_neighbors >= rows:
        raise ValueError(
            f"{who}: expected fewer neighbors than rows, {rows}; got num_neighbors "
            f"{num_neighbors}."
        )
    return _nearest(x, num_neighbors, similarity, min(chunk_size, rows))


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _nearest(x, num_neighbors, similarity, chunk_size):
    rows, dim = x.shape
    x = similarity.prepare(to_float(x))
    starts = jnp.arange(0, rows, chunk_size)
    padded = jnp.concatenate([x, jnp.zeros((-rows % chunk_size, dim), x.dtype)])

    def of_chunk(start):
        some = lax.dynamic_slice_in_dim(padded, start, chunk_size)
        scores = similarity.of_pairs(some, x)
        scores = jnp.where(jnp.isnan(scores), jnp.finfo(scores.dtype).min, scores)
        same = start + jnp.arange(chunk_size)[:, None] == jnp.arange(rows)[None]
        return lax.top_k(jnp.where(same, -jnp.inf, scores), num_neighbors)[1]

    found = lax.map(of_chunk, starts).reshape(-1, num_neighbors)
    return found[:rows].astype(jnp.int32)
