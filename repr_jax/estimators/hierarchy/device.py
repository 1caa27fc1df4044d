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
from repr_jax.estimators.hierarchy.merging import (
    Aggregation,
    Hierarchy,
    Rules,
    rules_of,
    sum_mean,
)
from repr_jax.ops import checks

ALL_BITS = np.int32(-1)


def rounded(product: Array, keep: Array) -> Array:
    """The product, rounded to float32 before anything else happens to it.

    keep: [] int32, an argument of the program whose bits are all set, which no compiler
    knows: so it cannot fuse the product with a sum.
    """
    bits = lax.bitcast_convert_type(product, jnp.int32) & keep
    return lax.bitcast_convert_type(bits, jnp.float32)


def _exp2(y: Array, keep: Array) -> Array:
    """`arithmetic.exp2_of`."""
    whole = jnp.round(y)
    y = y - whole
    out = rounded(y * np.float32(arithmetic.COEFFICIENTS[-1]), keep)
    for c in arithmetic.COEFFICIENTS[-2::-1]:
        out = rounded((out + np.float32(c)) * y, keep)
    bits = lax.bitcast_convert_type(out + np.float32(1), jnp.int32)
    bits = bits + (whole.astype(jnp.int32) << 23)
    return lax.bitcast_convert_type(bits, jnp.float32)


def _power(difference: Array, scale: Array, keep: Array) -> Array:
    """exp(difference / temperature)."""
    exponent = rounded(difference * scale, keep)
    return _exp2(jnp.maximum(exponent, np.float32(arithmetic.LOWEST)), keep)


def _best(x: Array) -> tuple[Array, Array]:
    """argmax and max of rows; the lowest index of equals."""
    best = jnp.max(x, axis=-1)
    index = jnp.arange(x.shape[-1], dtype=jnp.int32)
    equal = x == best[:, None]
    return jnp.min(jnp.where(equal, index[None], x.shape[-1]), axis=-1), best


def _normalizer(x: Array, best: Array, scale: Array, keep: Array) -> Array:
    """`arithmetic.normalizer`: terms are added in halves."""
    terms = _power(x - best[:, None], scale, keep)
    n = 1 << (x.shape[-1] - 1).bit_length()
    terms = jnp.pad(terms, ((0, 0), (0, n - x.shape[-1])))
    while n > 1:
        n //= 2
        terms = terms[:, :n] + terms[:, n:]
    return terms[:, 0]


def _to_fixed(sums: Array) -> Array:
    one = np.float32(1)
    return jnp.round((one / sums) * np.float32(2**arithmetic.FRACTION)).astype(
        jnp.int32
    )


def _masked(x, in_group, scale, keep) -> tuple[Array, Array]:
    """`arithmetic.masked`: [rows, K] float32 and [K] bool -> [rows] int32, twice."""
    x = jnp.where(in_group[None], np.float32(-np.inf), x)
    index, best = _best(x)
    return index, _to_fixed(_normalizer(x, best, scale, keep))


def _first_choice(x, scale, keep) -> tuple[Array, Array]:
    """The best class of each row and its confidence, as `arithmetic.both_choices`."""
    first, best = _best(x)
    own = jnp.arange(x.shape[-1], dtype=jnp.int32)[None] == first[:, None]
    x = jnp.where(own, np.float32(-np.inf), x)
    second_best = jnp.max(x, axis=-1)
    sums = _normalizer(x, second_best, scale, keep)
    ratio = _power(second_best - best, scale, keep)
    return first, _to_fixed(np.float32(1) + rounded(sums * ratio, keep))


def _masked_blocks(x, first, scale, keep, block):
    """[K] bool -> `_masked` of all rows; 0 in blocks without a row of the group."""
    blocks = (x.reshape(-1, block, x.shape[1]), first.reshape(-1, block))

    def of_group(in_group):
        def of_block(part):
            rows, names = part
            return lax.cond(
                jnp.any(in_group[names]),
                lambda: _masked(rows, in_group, scale, keep),
                lambda: (jnp.zeros_like(names), jnp.zeros_like(names)),
            )

        return jax.tree.map(jnp.ravel, lax.map(of_block, blocks))

    return of_group


def _merge_all(logits, where, scale, keep, *, rules: Rules, block, axis_name):
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
    assignments, confidence = _first_choice(x, scale, keep)

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
        merged, score, others = merging.lowest_score(groups, rules, jnp)
        in_group = groups.group == merged
        best, fixed = masked(in_group)
        moved = summed(best, fixed, where & in_group[first] & others.any())
        drawn, drawn_rows = jax.ops.segment_sum(moved.T, groups.group, num_segments=k).T
        groups, row = merging.merge(
            groups, merged, score, others, drawn, drawn_rows, k + t, jnp
        )
        return groups, jax.tree.map(lambda o, x: o.at[t].set(x), out, row)

    groups = merging.first_groups(sums, counts, rules.aggregation, jnp)
    out = merging.Step(*[jnp.zeros(k - 1, jnp.int64)] * len(merging.Step._fields))
    _, steps = lax.fori_loop(0, k - 1, step, (groups, out))
    return steps, assignments, sums, counts


@partial(jax.jit, static_argnames=("mesh", "axis_name", "rules", "block"))
def _split(logits, where, scale, keep, *, mesh, axis_name, rules, block):
    """`_merge_all` with rows over a mesh axis."""
    rows, whole = PartitionSpec(axis_name), PartitionSpec()
    return jax.shard_map(
        partial(_merge_all, rules=rules, block=block, axis_name=axis_name),
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
    height: str = "score",
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
      aggregation, empty, height, temperature: as for `fit`.

    Returns:
      Hierarchy, the same as that of `fit`, where the devices round float32 sums,
      products and quotients as IEEE 754 has it (tested on CPU).

    Raises:
      ValueError, TypeError: as `fit`, and for an axis that the mesh does not have.
    """
    who = "fit_sharded"
    logits = host.check_logits(who, logits)
    rules = rules_of(who, aggregation, empty, height)
    scale = arithmetic.log2_scale(who, temperature)
    if mesh is None:
        mesh = Mesh(np.array(jax.devices()[:1]), (axis_name,))
    checks.one_of(who, mesh.axis_names, axis_name=axis_name)
    checks.count(who, block=block)
    logits = logits.astype(np.float32) if logits.dtype == np.float64 else logits
    finite = np.isfinite(logits.astype(np.float32)).all(axis=1)
    if not finite.all():
        raise host.not_finite(who, logits, finite, 0)
    num_rows, k = logits.shape
    if k == 1:
        return host.fit(logits, aggregation=aggregation, empty=empty, height=height)
    shards = mesh.shape[axis_name]
    block = min(block, -(-num_rows // shards))
    padding = -num_rows % (shards * block)
    logits = np.pad(logits, ((0, padding), (0, 0)))
    where = np.arange(len(logits)) < num_rows
    layout = dict(mesh=mesh, axis_name=axis_name, block=block)
    with jax.enable_x64(True):
        found = _split(logits, where, scale, ALL_BITS, rules=rules, **layout)
        steps, assignments, sums, counts = jax.tree.map(np.asarray, found)
    return merging.finish(steps, assignments[:num_rows], sums, counts, rules)
