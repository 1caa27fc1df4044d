"""Which rows are nearest to each row, or to others, a block of rows at a time."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import by_block, checked_where, most_present, present
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
    return _nearest(x, num_neighbors, similarity, chunk_size)


def between(
    queries: Array,
    keys: Array,
    *,
    num_neighbors: int,
    similarity: Any = cosine,
    chunk_size: int = 1024,
    where: Array | None = None,
) -> tuple[Array, Array]:
    """The keys most similar to each query, the most similar first.

    Exact; no more than chunk_size queries are compared with all keys at a time.

    Args:
      queries: [rows, dim] float.
      keys: [keys, dim] float.
      num_neighbors: from 1 to the number of present keys.
      similarity: as in `ops.similarity`, such as its cosine.
      chunk_size: > 0.
      where: [keys] bool, False for absent keys; None if all are present.

    Returns:
      [rows, num_neighbors] similarities, of the pairs themselves, which is free of the
      rounding of a matrix of all; and int32 rows of keys. In traced code an absent key
      and a NaN are less similar than anything, and have the similarity -inf.

    Raises:
      ValueError: shapes do not fit together; not finite; too few present keys.
      TypeError: integers; a `where` that is not bool.
    """
    who = "between"
    checks.same_shape(who, rank=2, queries=queries)
    checks.same_shape(who, rank=2, keys=keys)
    checks.floating(who, queries=queries, keys=keys)
    checks.shape(who, (len(queries), jnp.shape(keys)[1]), queries=queries)
    checks.count(who, num_neighbors=num_neighbors, chunk_size=chunk_size)
    where = checked_where(who, where, jnp.shape(keys)[:1])
    checks.finite(who, queries=queries)
    checks.finite(who, where=where, keys=keys)
    count = most_present(where)
    if num_neighbors > count:
        raise ValueError(
            f"{who}: expected at most as many neighbors as keys, {count}; got "
            f"num_neighbors {num_neighbors}."
        )
    return _between(queries, keys, where, num_neighbors, similarity, chunk_size)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _nearest(x, num_neighbors, similarity, chunk_size):
    rows = len(x)
    x = similarity.prepare(to_float(x))

    def of_chunk(chunk):
        some, place = chunk
        same = place[:, None] == jnp.arange(rows)[None]
        return lax.top_k(_scores(similarity, some, x, ~same), num_neighbors)[1]

    found = by_block(of_chunk, (x, jnp.arange(rows)), size=chunk_size)
    return found.astype(jnp.int32)


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _between(queries, keys, where, num_neighbors, similarity, chunk_size):
    queries = similarity.prepare(to_float(queries))
    keys = similarity.prepare(present(to_float(keys), where))

    def of_chunk(some):
        scores = _scores(similarity, some, keys, where[None])
        rows = lax.top_k(scores, num_neighbors)[1]
        values = lax.map(lambda row: similarity.of_rows(some, keys[row]), rows.T).T
        lost = jnp.isnan(values) | ~where[rows]
        values = jnp.where(lost, -jnp.inf, values)
        order = jnp.argsort(-values, axis=1)
        pair = (values, rows)
        return tuple(jnp.take_along_axis(a, order, axis=1) for a in pair)

    values, rows = by_block(of_chunk, queries, size=chunk_size)
    return values, rows.astype(jnp.int32)


def _scores(similarity, some, x, counted):
    """[rows of some, rows of x]; NaN is below any number, and what is not counted
    below that."""
    scores = similarity.of_pairs(some, x)
    scores = jnp.where(jnp.isnan(scores), jnp.finfo(scores.dtype).min, scores)
    return jnp.where(counted, scores, -jnp.inf)
