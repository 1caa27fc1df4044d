"""Trees of logits in one jitted program, rows split over the devices of a mesh.

The confidences are those of `arithmetic` and the merges those of `merging`, bit by bit.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, PartitionSpec

from repr_jax.estimators.hierarchy import arithmetic, host, merging
from repr_jax.estimators.hierarchy.merging import Aggregation, Hierarchy, sum_mean
from repr_jax.ops import checks

ALL_BITS = np.int32(-1)


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


def _masked_blocks(x, first, scale, keep, block):
    """[K] bool -> `arithmetic.masked` of all rows; 0 in blocks without such a class."""
    blocks = (x.reshape(-1, block, x.shape[1]), first.reshape(-1, block))

    def of_group(in_group):
        bias = jnp.where(in_group, np.float32(-np.inf), 0)

        def of_block(part):
            rows, names = part
            return lax.cond(
                jnp.any(in_group[names]),
                lambda: arithmetic.masked(rows, bias, scale, ops=_ops(keep)),
                lambda: (jnp.zeros_like(names), jnp.zeros_like(names)),
            )

        return jax.tree.map(jnp.ravel, lax.map(of_block, blocks))

    return of_group


def _merge_all(logits, where, scale, keep, *, aggregation, empty, block, axis_name):
    """The merges of the rows of all shards, on each of them; jax_enable_x64 is needed.

    Args:
      logits: [rows, K] float, K >= 2, of which `block` divides the rows.
      where: [rows] bool, False for padding.
      scale, keep: [] float32 and [] int32; as constants they may change the last bits.

    Returns:
      Step of [K - 1] int64, [rows] int32 assignments, [K] int64 sums and counts.
    """
    x = logits.astype(jnp.float32)
    k = x.shape[1]
    assignments, confidence, *_ = arithmetic.both_choices(x, scale, ops=_ops(keep))

    def summed(index, fixed, where):
        """[K] sums of fixed-point numbers by index, and how many, over all shards."""
        columns = jnp.stack([jnp.where(where, fixed, 0), where], axis=1)
        total = jax.ops.segment_sum(columns.astype(jnp.int64), index, num_segments=k)
        return lax.psum(total, axis_name).T

    sums, counts = summed(assignments, confidence, where)
    order = jnp.argsort(assignments)
    first, where = assignments[order], where[order]
    masked = _masked_blocks(x[order], first, scale, keep, block)

    def step(t, carry):
        groups, out = carry
        merged, score, others = merging.lowest_score(groups, aggregation, empty, jnp)
        in_group = groups.group == merged
        best, fixed = masked(in_group)
        moved = summed(best, fixed, where & in_group[first] & others.any())
        drawn, drawn_rows = jax.ops.segment_sum(moved.T, groups.group, num_segments=k).T
        groups, row = merging.merge(
            groups, merged, score, others, drawn, drawn_rows, k + t, jnp
        )
        return groups, jax.tree.map(lambda o, x: o.at[t].set(x), out, row)

    groups = merging.first_groups(sums, counts, aggregation, jnp)
    out = merging.Step(*[jnp.zeros(k - 1, jnp.int64)] * len(merging.Step._fields))
    _, steps = lax.fori_loop(0, k - 1, step, (groups, out))
    return steps, assignments, sums, counts


@partial(
    jax.jit, static_argnames=("mesh", "axis_name", "aggregation", "empty", "block")
)
def _split(logits, where, scale, keep, *, mesh, axis_name, **options):
    """`_merge_all` with rows over a mesh axis."""
    rows, whole = PartitionSpec(axis_name), PartitionSpec()
    return jax.shard_map(
        partial(_merge_all, axis_name=axis_name, **options),
        mesh=mesh,
        in_specs=(rows, rows, whole, whole),
        out_specs=(whole, rows, whole, whole),
    )(logits, where, scale, keep)


def fit_sharded(
    logits,
    mesh: Mesh | None = None,
    *,
    axis_name: str = "data",
    block: int = 1024,
    aggregation: Aggregation = sum_mean,
    empty: str = "last",
    temperature: float = 1.0,
) -> Hierarchy:
    """`fit` as one jitted program with rows split over the devices of a mesh.

    Devices hold their rows sorted by class, skip blocks without rows of the group, and
    exchange K sums of integers at each merge, so the tree does not depend on them.
    O(rows K log K / devices).

    Args:
      logits: [rows, K] float in the memory of this process; padded to a multiple of
        devices times block.
      mesh: such as `repr_jax.sharding.make_mesh()`; the first device alone if None.
      axis_name: the axis of the mesh that rows are split over.
      block: rows that are read or skipped together.
      aggregation, empty, temperature: as for `fit`.

    Returns:
      Hierarchy, the same as that of `fit`, where the devices round float32 sums,
      products and quotients as IEEE 754 has it (tested on CPU).

    Raises:
      ValueError, TypeError: as `fit`, and for an axis that the mesh does not have.
    """
    who = "fit_sharded"
    logits = host.check_logits(who, logits)
    checks.one_of(who, merging.EMPTY, empty=empty)
    scale = arithmetic.log2_scale(who, temperature)
    if mesh is None:
        mesh = Mesh(np.array(jax.devices()[:1]), (axis_name,))
    checks.one_of(who, mesh.axis_names, axis_name=axis_name)
    checks.count(who, block=block)
    host.check_finite(who, logits, 0)
    logits = logits.astype(np.float32) if logits.dtype == np.float64 else logits
    num_rows, k = logits.shape
    if k == 1:
        return host.fit(logits, aggregation=aggregation, empty=empty)
    shards = mesh.shape[axis_name]
    block = min(block, -(-num_rows // shards))
    padding = -num_rows % (shards * block)
    logits = np.pad(logits, ((0, padding), (0, 0)))
    where = np.arange(len(logits)) < num_rows
    options = dict(aggregation=aggregation, empty=empty, block=block)
    with jax.enable_x64(True):
        inputs = (logits, where, scale, ALL_BITS)
        found = _split(*inputs, mesh=mesh, axis_name=axis_name, **options)
        steps, assignments, sums, counts = jax.tree.map(np.asarray, found)
    return merging.finish(
        steps, assignments[:num_rows], sums, counts, aggregation, empty
    )
