"""Padded and split batches: `where` marks present rows, `axis_name` a split batch."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax


def all_rows(x: Array, rank: int = 1) -> Array:
    """A `where` of the first `rank` axes of x that marks everything as present."""
    return jnp.ones(x.shape[:rank], bool)


def present(x: Array, where: Array) -> Array:
    """x with zeros where `where`, a mask of its leading axes, is False."""
    mask = where.reshape(where.shape + (1,) * (x.ndim - where.ndim))
    return jnp.where(mask, x, jnp.zeros_like(x))


def gather_rows(tree, axis_name: str | None):
    """Arrays of the whole batch from arrays of this shard: [b, ...] -> [B, ...]."""
    if axis_name is None:
        return tree
    return lax.all_gather(tree, axis_name, axis=0, tiled=True)


def gather_invariant(tree, axis_name: str | None):
    """`gather_rows` without gradient, known to shard_map to be equal everywhere."""
    if axis_name is None:
        return tree
    if _GATHERS_INVARIANT:
        return lax.all_gather(tree, axis_name, axis=0, tiled=True, to="invarying")
    return jax.tree.map(partial(_sum_of_places, axis_name=axis_name), tree)


# Older releases of JAX cannot say that a gathered array is equal everywhere.
_GATHERS_INVARIANT = jax.__version_info__ >= (0, 10)


def _sum_of_places(x, axis_name):
    """[b, ...] -> [B, ...]: summed over devices, each giving its own rows."""
    places = jnp.zeros((lax.psum(1, axis_name), *x.shape), x.dtype)
    places = lax.psum(places.at[lax.axis_index(axis_name)].set(x), axis_name)
    return places.reshape(-1, *x.shape[1:]).astype(x.dtype)


def masked_mean(values: Array, *, where: Array, axis_name: str | None = None) -> Array:
    """Mean of [batch] values over the present rows of the whole batch; 0 if none is."""
    total, count = jnp.sum(present(values, where)), jnp.sum(where)
    if axis_name is not None:
        total, count = lax.psum((total, count), axis_name)
    return total / jnp.maximum(count, 1)


def by_row(function, z: Array):
    """function([n, dim]), which acts on each row by itself, of z [..., batch, dim].

    Every array that it returns gets the leading axes of z: [..., batch, ...].
    """
    lead = z.shape[:-1]
    out = function(z.reshape(-1, z.shape[-1]))
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


def by_block(function, x: Array, *, size: int = 1024):
    """function(x), `size` rows at a time where x has more: it takes less memory.

    function: [rows, ...] -> arrays [rows, ...], each row by itself.
    """
    num = len(x)
    if 0 < num <= size:
        return function(x)
    blocks = max(1, -(-num // size))  # of no row one block, to know the shapes
    x = jnp.pad(x, [(0, blocks * size - num)] + [(0, 0)] * (x.ndim - 1))
    out = lax.map(function, x.reshape(blocks, size, *x.shape[1:]))
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:num], out)
