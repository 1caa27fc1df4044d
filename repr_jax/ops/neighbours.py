"""Which rows are nearest to each row, a block of rows at a time."""

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float
from repr_jax.ops.similarity import cosine


@functools.partial(
    jax.jit, static_argnames=("num_neighbours", "similarity", "chunk_size")
)
def nearest(
    x: Array, *, num_neighbours: int, similarity=cosine, chunk_size: int = 1024
) -> Array:
    """The rows most similar to each row, without the row itself, the nearest first.

    Exact; no more than chunk_size rows are compared with all others at a time.

    Args:
      x: [rows, dim] float.
      num_neighbours: from 1 to rows - 1.
      similarity: as in `ops.similarity`, such as its cosine.
      chunk_size: > 0.

    Returns:
      [rows, num_neighbours] int32.

    Raises:
      ValueError: x is not [rows, dim], or too few rows.
      TypeError: integers in x.
    """
    who = "nearest"
    checks.same_shape(who, rank=2, x=x)
    checks.floating(who, x=x)
    checks.count(who, num_neighbours=num_neighbours, chunk_size=chunk_size)
    rows, dim = x.shape
    if num_neighbours >= rows:
        raise ValueError(
            f"{who}: expected fewer neighbours than rows, {rows}; got num_neighbours "
            f"{num_neighbours}."
        )
    chunk_size = min(chunk_size, rows)
    x = similarity.prepare(to_float(x))
    starts = jnp.arange(0, rows, chunk_size)
    padded = jnp.concatenate([x, jnp.zeros((-rows % chunk_size, dim), x.dtype)])

    def of_chunk(start):
        some = lax.dynamic_slice_in_dim(padded, start, chunk_size)
        similarities = similarity.of_pairs(some, x)
        itself = start + jnp.arange(chunk_size)
        same = itself[:, None] == jnp.arange(rows)[None]
        return lax.top_k(jnp.where(same, -jnp.inf, similarities), num_neighbours)[1]

    found = lax.map(of_chunk, starts).reshape(-1, num_neighbours)
    return found[:rows].astype(jnp.int32)
