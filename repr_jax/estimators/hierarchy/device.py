"""Trees of logits whose rows are split over the devices of a mesh.

The confidences are those of `arithmetic`, bit by bit.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, PartitionSpec

from repr_jax.estimators.hierarchy import arithmetic, host, merging
from repr_jax.estimators.hierarchy.merging import Hierarchy
from repr_jax.ops import checks

ALL_BITS = np.int32(-1)
FINITE_ROWS = 2**14  # looked at together: all rows in float32 are twice float16 ones


def _argmax(x: Array, axis: int) -> Array:
    """int32; the lowest index of equals; quicker here than XLA's own."""
    index = jnp.arange(x.shape[axis], dtype=jnp.int32)[None]
    equal = x == jnp.max(x, axis=axis, keepdims=True)
    return jnp.min(jnp.where(equal, index, x.shape[axis] - 1), axis=axis)


def _sum_in_halves(terms: Array) -> Array:
    n = 1 << (terms.shape[1] - 1).bit_length()
    terms = jnp.pad(terms, ((0, 0), (0, n - terms.shape[1])))
    while n > 1:
        n //= 2
        terms = terms[:, :n] + terms[:, n:]
    return terms[:, 0]


def _ops(keep: Array) -> arithmetic.Ops:
    """Operations that no compiler fuses or reorders.

    keep: [] int32, an argument of the program whose bits are all set, which no compiler
    knows: so it has to round a number before it takes these bits of it.
    """

    def rounded(function):
        def apply(*arguments, out=None):
            x = function(*arguments).view(jnp.int32) & keep
            return x.view(jnp.float32)

        return apply

    return arithmetic.Ops(
        add=rounded(jnp.add),
        multiply=rounded(jnp.multiply),
        subtract=lambda *arguments, out=None: jnp.subtract(*arguments),
        maximum=lambda *arguments, out=None: jnp.maximum(*arguments),
        argmax=_argmax,
        sum_in_halves=_sum_in_halves,
    )


def _sums(index, fixed, where, k: int, axis_name: str):
    """[K] int64 sums of whole numbers by index, over the present rows of all shards."""
    fixed = jnp.where(where, fixed, 0).astype(jnp.int64)
    return lax.psum(jax.ops.segment_sum(fixed, index, num_segments=k), axis_name)


@partial(jax.jit, static_argnames=("mesh", "axis_name", "block"))
def _first_pass(logits, where, scale, keep, *, mesh, axis_name, block):
    """[rows] classes, [K] int64 sums; logits, classes, where sorted within shards."""
    rows, whole, k = PartitionSpec(axis_name), PartitionSpec(), logits.shape[1]

    def of_shard(logits, where, scale, keep):
        def of_block(x):
            x = x.astype(jnp.float32)
            return arithmetic.both_choices(x, scale, ops=_ops(keep))[:2]

        found = lax.map(of_block, logits.reshape(-1, block, k))
        first, confidence = jax.tree.map(jnp.ravel, found)
        sums, order = _sums(first, confidence, where, k, axis_name), jnp.argsort(first)
        return first, sums, (logits[order], first[order], where[order])

    specs = dict(in_specs=(rows, rows, whole, whole), out_specs=(rows, whole, rows))
    return jax.shard_map(of_shard, mesh=mesh, **specs)(logits, where, scale, keep)


@partial(jax.jit, static_argnames=("mesh", "axis_name", "block"))
def _draw(sorted_rows, in_group, scale, keep, *, mesh, axis_name, block):
    """[K] int64 as `merging.grow` has it, of the classes [K] bool in_group."""
    rows, whole, k = PartitionSpec(axis_name), PartitionSpec(), len(in_group)

    def of_shard(sorted_rows, in_group, scale, keep):
        logits, first, where = sorted_rows
        bias = jnp.where(in_group, np.float32(-np.inf), 0)

        def of_block(part):
            x, names = part
            return lax.cond(
                jnp.any(in_group[names]),
                lambda: arithmetic.masked(
                    x.astype(jnp.float32), bias, scale, ops=_ops(keep)
                ),
                lambda: (jnp.zeros_like(names), jnp.zeros_like(names)),
            )

        blocks = (logits.reshape(-1, block, k), first.reshape(-1, block))
        best, fixed = jax.tree.map(jnp.ravel, lax.map(of_block, blocks))
        return _sums(best, fixed, where & in_group[first], k, axis_name)

    specs = dict(in_specs=(rows, whole, whole, whole), out_specs=whole)
    return jax.shard_map(of_shard, mesh=mesh, **specs)(
        sorted_rows, in_group, scale, keep
    )


def fit_sharded(
    logits,
    mesh: Mesh | None = None,
    *,
    axis_name: str = "data",
    block: int = 1024,
    aggregation: str = "sum_mean",
    temperature: float = 1.0,
) -> Hierarchy:
    """`fit` with rows split over the devices of a mesh, in O(rows K log K / devices).

    Devices hold their rows sorted by class, skip blocks without rows of the group, and
    exchange K sums of integers at each merge. The tree is that of `fit` where they
    round float32 sums, products and quotients as IEEE 754 has it (tested on CPU).

    Args:
      logits: [rows, K] float in the memory of this process; padded to a multiple of
        devices times block.
      mesh: such as `repr_jax.sharding.make_mesh()`; the first device alone if None.
      axis_name: the axis of the mesh that rows are split over.
      block: rows that are read or skipped together.
      aggregation, temperature: as for `fit`, and errors.
    """
    who = "fit_sharded"
    logits = host.check_logits(who, logits)
    checks.one_of(who, merging.AGGREGATIONS, aggregation=aggregation)
    # Arguments of the programs: as constants they may change the last bits.
    numbers = arithmetic.log2_scale(who, temperature), ALL_BITS
    if mesh is None:
        mesh = Mesh(np.array(jax.devices()[:1]), (axis_name,))
    checks.one_of(who, mesh.axis_names, axis_name=axis_name)
    checks.count(who, block=block)
    for start in range(0, len(logits), FINITE_ROWS):
        host.check_finite(who, logits[start : start + FINITE_ROWS], start)
    logits = logits.astype(np.float32) if logits.dtype == np.float64 else logits
    (num_rows, k), shards = logits.shape, mesh.shape[axis_name]
    block = min(block, -(-num_rows // shards))
    logits = np.pad(logits, ((0, -num_rows % (shards * block)), (0, 0)))
    where = np.arange(len(logits)) < num_rows

    options = dict(mesh=mesh, axis_name=axis_name, block=block)
    with jax.enable_x64(True):
        first, sums, held = _first_pass(logits, where, *numbers, **options)

        def draw(members):
            in_group = np.isin(np.arange(k), members)
            return np.asarray(_draw(held, in_group, *numbers, **options))

        first, sums = np.asarray(first)[:num_rows], np.asarray(sums)
        return merging.grow(first, sums, draw, aggregation)
