"""Padded and split batches: `where` marks present rows, `axis_name` a split batch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.numerics import stored, to_float


def checked_where(who: str, where: Array | None, shape: tuple[int, ...]) -> Array:
    """`where`, refused unless it is bool of this shape; all True for None."""
    if where is None:
        return jnp.ones(shape, bool)
    checks.shape(who, tuple(shape), where=where)
    checks.boolean(who, where=where)
    return jnp.asarray(where)


def checked_rows(
    who: str, where: Array | None, *, rank: int = 2, **arrays: Array
) -> tuple[Array, ...]:
    """Arrays of one shape [batch, ...], checked, in float, zero where absent; where."""
    checks.same_shape(who, rank=rank, **arrays)
    checks.floating(who, **arrays)
    first = next(iter(arrays.values()))
    where = checked_where(who, where, jnp.shape(first)[:1])
    return *(present(to_float(x), where) for x in arrays.values()), where


def finite_rows(
    who: str, where: Array | None, *, rank: int = 2, **arrays: Array
) -> tuple[Array, ...]:
    """`checked_rows`, finite: others are refused by number, in traced code absent."""
    *found, where = checked_rows(who, where, rank=rank, **arrays)
    checks.finite(who, where=where, **dict(zip(arrays, found)))
    for x in found:
        where &= jnp.all(jnp.isfinite(x), axis=tuple(range(1, rank)))
    return *(present(x, where) for x in found), where


def checked_queries(who: str, shape: tuple[int, ...], **arrays: Array) -> Array:
    """One array in float, refused unless finite and [batch, *shape], as was fitted."""
    (x,) = arrays.values()
    checks.shape(who, (*jnp.shape(x)[:1], *shape), **arrays)
    checks.floating(who, **arrays)
    checks.finite(who, **arrays)
    return to_float(x)


def present(x: Array, where: Array) -> Array:
    """x with zeros where `where`, a mask of its leading axes, is False."""
    mask = where.reshape(where.shape + (1,) * (x.ndim - where.ndim))
    return jnp.where(mask, x, jnp.zeros_like(x))


def gather_rows(tree: Any, axis_name: str | None) -> Any:
    """Arrays of the whole batch from arrays of this shard: [b, ...] -> [B, ...]."""
    if axis_name is None:
        return tree
    return lax.all_gather(tree, axis_name, axis=0, tiled=True)


def gather_invariant(tree: Any, axis_name: str | None) -> Any:
    """`gather_rows` without gradient, known to shard_map to be equal everywhere."""
    if axis_name is None:
        return tree

    def gather(x):  # a sum, which every transformation and release of JAX knows so
        places = jnp.zeros((lax.psum(1, axis_name), *x.shape), x.dtype)
        places = lax.psum(places.at[lax.axis_index(axis_name)].set(x), axis_name)
        return places.reshape(-1, *x.shape[1:]).astype(x.dtype)

    return jax.tree.map(gather, tree)


def num_present(where: Array, axis_name: str | None) -> Array:
    """The number of present rows of the whole batch."""
    count = jnp.sum(where)
    return count if axis_name is None else lax.psum(count, axis_name)


def most_present(where: Array) -> int:
    """The number of present rows; in traced code, where it is not known, of all."""
    return int(np.sum(np.asarray(where))) if checks.known(where) else len(where)


def masked_mean(values: Array, *, where: Array, axis_name: str | None = None) -> Array:
    """[batch, ...] -> [...] mean over the present rows of the whole batch; 0 if none.

    `where` marks entries of the leading axes, and the mean is over all of its axes.
    """
    axes = tuple(range(where.ndim))
    total, count = jnp.sum(present(values, where), axis=axes), jnp.sum(where)
    if axis_name is not None:
        # one by one: JAX 0.6 and 0.7 cannot transpose a sum of which a part is constant
        total, count = lax.psum(total, axis_name), lax.psum(count, axis_name)
    return total / jnp.maximum(count, 1)


def centered(
    x: Array, *, where: Array, axis_name: str | None = None
) -> tuple[Array, Array]:
    """[batch, ...] less the mean over its present rows, 0 in absent ones; the mean.

    Of rows far from 0 the mean is rounded, so what remains is centered once more.
    """
    mean = stored(masked_mean(x, where=where, axis_name=axis_name))
    x = present(x - mean[None], where)
    rest = masked_mean(x, where=where, axis_name=axis_name)
    return present(x - rest[None], where), mean + rest


def log_mean_exp(
    values: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """[n, ...] -> [...] log mean_i exp(values_i) over the marked entries; 0 if none.

    where: bool of the leading axes of values, or of its rank with axes of length 1. The
    mean is over axis 0 of the whole batch.
    """
    where = jnp.ones(values.shape[:1], bool) if where is None else where
    where = where.reshape(where.shape + (1,) * (values.ndim - where.ndim))
    highest = jnp.where(where, lax.stop_gradient(values), -jnp.inf)
    highest, count = jnp.max(highest, axis=0), jnp.sum(where, axis=0)
    if axis_name is not None:
        highest, count = lax.pmax(highest, axis_name), lax.psum(count, axis_name)
    highest = jnp.where(jnp.isinf(highest), 0, highest)
    relative = jnp.exp(jnp.where(where, values - highest[None], -jnp.inf))
    total = jnp.sum(relative, axis=0)
    total = total if axis_name is None else lax.psum(total, axis_name)
    total = jnp.where(count > 0, total, 1)
    return highest + jnp.log(total) - jnp.log(jnp.maximum(count, 1))


def by_row(function: Callable[..., Any], *arrays: Array) -> Any:
    """function([n, dim], ...), which acts on each row by itself, of [..., batch, dim].

    Every array that it returns gets the leading axes of the arrays: [..., batch, ...].
    """
    lead = arrays[0].shape[:-1]
    out = function(*(x.reshape(-1, x.shape[-1]) for x in arrays))
    return jax.tree.map(lambda a: a.reshape(lead + a.shape[1:]), out)


def row_keys(key: Array, where: Array, axis_name: str | None = None) -> Array:
    """[batch] PRNG keys: row r folds in how many present rows come before it.

    Rows count over the whole batch, so that a row draws the same numbers when absent
    rows are deleted and when the batch is split. Holds for the default threefry keys;
    rbg keys give other numbers in batches of another size.
    """
    rank = jnp.cumsum(gather_rows(where, axis_name)) - 1
    if axis_name is not None:
        start = lax.axis_index(axis_name) * where.shape[0]
        rank = lax.dynamic_slice_in_dim(rank, start, where.shape[0])
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, rank)


def draw_places(key: Array, count: Array, num: int) -> Array:
    """[num] int32, uniform in [0, count), with replacement; 0 where count is 0."""
    place = jnp.floor(jax.random.uniform(key, (num,)) * count).astype(jnp.int32)
    return jnp.minimum(place, jnp.maximum(count - 1, 0))


def row_normal(keys: Array, shape: tuple[int, ...], dtype: Any = None) -> Array:
    """[batch] keys -> [batch, *shape] standard normal, float32 unless told."""
    dtype = jnp.result_type(float) if dtype is None else dtype
    return jax.vmap(lambda key: jax.random.normal(key, shape, dtype))(keys)


def by_block(function: Callable, x: Any, *, size: int = 1024) -> Any:
    """function(x), `size` rows at a time where x has more: it takes less memory.

    function: [rows, ...] -> arrays [rows, ...], each row by itself; x is an array, or a
    tuple of them.
    """
    num = len(jax.tree.leaves(x)[0])
    if 0 < num <= size:
        return function(x)
    blocks = max(1, -(-num // size))  # of no row one block, to know the shapes

    def padded(a):
        a = jnp.pad(a, [(0, blocks * size - num)] + [(0, 0)] * (a.ndim - 1))
        return a.reshape(blocks, size, *a.shape[1:])

    out = lax.map(function, jax.tree.map(padded, x))
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:num], out)
