"""Trees of logits inside jit: whole on a device, or split by rows over a mesh.

There are no 64-bit integers in jax unless asked for, so sums over rows are digits of
base 256 in int32: what a device adds up, and `psum` over devices, is exact for up to
2^23 rows in all. Quotients and comparisons go digit by digit. The merges are those of
`merging`, bit by bit.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, PartitionSpec

from repr_jax.estimators.hierarchy import arithmetic, merging
from repr_jax.estimators.hierarchy.host import check_logits, fit
from repr_jax.estimators.hierarchy.merging import Aggregation, Hierarchy, sum_mean
from repr_jax.ops import checks

BASE_BITS = 8
DIGITS = 7  # of a sum of confidences over at most MAX_ROWS rows
MAX_ROWS = 2**23


class DeviceSteps(NamedTuple):
    """`merging.Steps` in digits, least first, with what else the tree needs."""

    merges: Array  # [T, 2] int32
    scores: Array  # [T, digits] int32
    drawn: Array  # [T, 2, DIGITS] int32, of the refuge and of the runner-up
    sizes: Array  # [T, 2] int32, clusters in them
    rows: Array  # [T] int32
    moved: Array  # [T] int32
    runner_ups: Array  # [T] int32
    assignments: Array  # [rows] int32
    sums: Array  # [K, DIGITS] int32
    counts: Array  # [K] int32


def carried(digits: Array, length: int) -> Array:
    """[..., d] non-negative int32 -> [..., length] digits below the base."""
    missing = jnp.zeros((*digits.shape[:-1], length - digits.shape[-1]), jnp.int32)
    digits = jnp.concatenate([digits, missing], axis=-1)

    def one(carry, digit):
        carry = carry + digit
        return carry >> BASE_BITS, carry & (2**BASE_BITS - 1)

    first = jnp.moveaxis(digits, -1, 0)
    return jnp.moveaxis(lax.scan(one, jnp.zeros_like(first[0]), first)[1], 0, -1)


def divided(digits: Array, divisor: Array, fraction: int) -> Array:
    """floor(256^fraction digits / divisor), in `fraction` more digits."""

    def one(rest, digit):
        rest = (rest << BASE_BITS) + digit
        return rest % divisor, rest // divisor

    zeros = jnp.zeros((*digits.shape[:-1], fraction), jnp.int32)
    digits = jnp.moveaxis(jnp.concatenate([zeros, digits], axis=-1), -1, 0)
    _, out = lax.scan(one, jnp.zeros_like(divisor), digits, reverse=True)
    return jnp.moveaxis(out, 0, -1)


def index_of_extreme(digits: Array, eligible: Array, *, largest: bool) -> Array:
    """[K, d], [K] -> int32: the lowest index of the extreme; -1 if none is eligible."""

    def one(left, column):
        column = column if largest else -column
        best = jnp.max(jnp.where(left, column, -(2**BASE_BITS)))
        return left & (column == best), None

    left, _ = lax.scan(one, eligible, digits.T, reverse=True)
    return jnp.where(jnp.any(eligible), jnp.argmax(left), -1).astype(jnp.int32)


def _summed(index, fixed, where, k, axis_name):
    """[K, DIGITS] sums of fixed-point numbers by index, and [K] how many, of all."""
    shifts = BASE_BITS * jnp.arange(4, dtype=jnp.int32)
    digits = (fixed[:, None] >> shifts[None]) & (2**BASE_BITS - 1)
    columns = jnp.concatenate([digits, jnp.ones_like(digits[:, :1])], axis=1)
    columns = jnp.where(where[:, None], columns, 0)
    total = jax.ops.segment_sum(columns, index, num_segments=k)
    if axis_name is not None:
        total = lax.psum(total, axis_name)
    return carried(total[:, :4], DIGITS), total[:, 4]


def _scores(state, aggregation: Aggregation) -> Array:
    """[K, digits]: `merging.group_scores` of the state."""
    total = state["total"]
    if aggregation.over_clusters:
        total = divided(total, jnp.maximum(state["size"], 1), 0)
    if aggregation.over_rows:
        extra = merging.MEAN_FRACTION // BASE_BITS
        total = divided(total, jnp.maximum(state["rows"], 1), extra)
    return total


def _masked_rows(x, first, scale, block):
    """A function of in_group [K] to each row's best other class and its confidence.

    With a block, what rows of untouched blocks get is 0.
    """
    if block is None:
        return lambda in_group: arithmetic.masked_on_device(x, in_group, scale)
    blocks = (x.reshape(-1, block, x.shape[1]), first.reshape(-1, block))

    def masked(in_group):
        def one(part):
            rows, names = part
            return lax.cond(
                jnp.any(in_group[names]),
                lambda: arithmetic.masked_on_device(rows, in_group, scale),
                lambda: (jnp.zeros_like(names), jnp.zeros_like(names)),
            )

        return jax.tree.map(jnp.ravel, lax.map(one, blocks))

    return masked


def _first_state(sums, counts, aggregation: Aggregation) -> dict[str, Array]:
    """Every class a group, by its lowest class: all that a merge changes."""
    k, total = len(counts), sums
    if aggregation.cluster_means:
        extra = merging.MEAN_FRACTION // BASE_BITS
        total = divided(sums, jnp.maximum(counts, 1), extra)
    names = jnp.arange(k, dtype=jnp.int32)
    state = dict(total=total, size=jnp.ones(k, jnp.int32), rows=counts)
    return state | dict(group=names, node=names, alive=jnp.ones(k, bool))


def _refuges(state, absorbed, others, drawn):
    """[2] the groups that draw most per cluster; the second is -1 if there is none."""
    index = jnp.arange(len(others), dtype=jnp.int32)
    average = divided(drawn, state["size"], merging.AVERAGE_FRACTION // BASE_BITS)
    empties = state["alive"] & (index != absorbed)  # if all others are
    others = jnp.where(jnp.any(others), others, empties)
    refuge = index_of_extreme(average, others, largest=True)
    second = index_of_extreme(average, others & (index != refuge), largest=True)
    return jnp.stack([refuge, second])


def _row(state, absorbed, refuges):
    """What the state tells of a merge, by the names of DeviceSteps."""
    name, (refuge, second) = state["node"], refuges
    return dict(
        merges=jnp.stack([name[absorbed], name[refuge]]),
        sizes=state["size"][refuges],
        rows=state["rows"][absorbed],
        runner_ups=jnp.where(second >= 0, name[second], -1),
    )


def _joined(state, absorbed, refuge, node):
    """The state after a merge, which makes this node."""
    kept, gone = jnp.minimum(absorbed, refuge), jnp.maximum(absorbed, refuge)
    new = {
        key: state[key].at[kept].add(state[key][gone])
        for key in ("total", "size", "rows")
    }
    new["total"] = carried(new["total"], new["total"].shape[-1])
    new["group"] = jnp.where(state["group"] == gone, kept, state["group"])
    new["node"] = state["node"].at[kept].set(node)
    new["alive"] = state["alive"].at[gone].set(False)
    return new


def steps_on_device(
    logits: Array,
    scale: arithmetic.Scale,
    where: Array,
    *,
    aggregation: Aggregation = sum_mean,
    empty: str = "last",
    block: int | None = None,
    axis_name: str | None = None,
) -> DeviceSteps:
    """The merges of finite logits; jits, and maps over a leading axis by vmap.

    Args:
      logits: [rows, K] float, K >= 2.
      scale: `device_scale(temperature)`, an argument of the jitted function: as a
        constant of it, it may change the last bits.
      where: [rows] bool, False for absent rows.
      aggregation, empty: as for `fit`; "drop" is the same as "last" here.
      block: None re-assigns all rows at each merge and uses those of the group,
        O(rows K^2). A number sorts rows by class and skips blocks of so many rows
        that hold none of the group; it has to divide the rows. Do not vmap that.
      axis_name: the mapped axis that rows are split over; None if they are whole.

    Returns:
      DeviceSteps, the same on every shard, but for the assignments.
    """
    x = logits.astype(jnp.float32)
    k = x.shape[1]
    index = jnp.arange(k, dtype=jnp.int32)
    assignments, confidence = arithmetic.first_choice_on_device(x, scale)
    sums, counts = _summed(assignments, confidence, where, k, axis_name)
    first = assignments
    if block is not None:
        order = jnp.argsort(first)
        x, first, where = x[order], first[order], where[order]
    masked = _masked_rows(x, first, scale, block)

    def step(t, carry):
        state, out = carry
        awake = state["alive"]
        if empty != "zero":
            awake = awake & (state["rows"] > 0)
        score = _scores(state, aggregation)
        absorbed = index_of_extreme(score, awake, largest=False)
        others = awake & (index != absorbed)
        in_group = state["group"] == absorbed
        best, fixed = masked(in_group)
        moving = where & in_group[first] & jnp.any(others)
        moved = _summed(best, fixed, moving, k, axis_name)
        drawn, drawn_rows = (
            jax.ops.segment_sum(m, state["group"], num_segments=k) for m in moved
        )
        drawn = carried(drawn, DIGITS)
        refuges = _refuges(state, absorbed, others, drawn)
        row = _row(state, absorbed, refuges)
        row |= dict(scores=score[absorbed], drawn=drawn[refuges])
        row |= dict(moved=drawn_rows[refuges[0]])
        out = {key: out[key].at[t].set(value) for key, value in row.items()}
        return _joined(state, absorbed, refuges[0], k + t), out

    state = _first_state(sums, counts, aggregation)
    shapes = dict(merges=(2,), drawn=(2, DIGITS), sizes=(2,), rows=(), moved=())
    shapes |= dict(runner_ups=(), scores=_scores(state, aggregation).shape[1:])
    out = {key: jnp.zeros((k - 1, *shape), jnp.int32) for key, shape in shapes.items()}
    _, out = lax.fori_loop(0, k - 1, step, (state, out))
    return DeviceSteps(**out, assignments=assignments, sums=sums, counts=counts)


def _integer(digits) -> int:
    return sum(int(d) << BASE_BITS * i for i, d in enumerate(digits))


def to_hierarchy(
    found: DeviceSteps, *, num_rows, aggregation, height, empty
) -> Hierarchy:
    """What `steps_on_device` found, as `fit` returns it."""
    found = jax.tree.map(np.asarray, found)
    fraction = aggregation.fraction
    affinities = np.array(
        [
            [
                merging.to_float(_integer(d), arithmetic.FRACTION) / max(n, 1)
                for d, n in zip(*pair)
            ]
            for pair in zip(found.drawn, found.sizes)
        ]
    ).reshape(-1, 2)
    steps = merging.Steps(
        merges=found.merges.astype(np.int64),
        scores=np.array(
            [merging.to_float(_integer(s), fraction) for s in found.scores]
        ),
        affinities=affinities[:, 0],
        rows=found.rows.astype(np.int64),
        moved=found.moved.astype(np.int64),
        runner_ups=found.runner_ups.astype(np.int64),
        runner_up_affinities=np.where(found.runner_ups >= 0, affinities[:, 1], 0.0),
    )
    sums = np.array([_integer(s) for s in found.sums])
    assignments = found.assignments[:num_rows]
    counts = found.counts.astype(np.int64)
    return merging.finish(steps, assignments, sums, counts, height=height, empty=empty)


def _checked(who, logits, *, empty, height, temperature):
    """The logits as a NumPy array, finite and not too many."""
    logits = check_logits(who, logits)
    merging.check_options(who, empty=empty, height=height, temperature=temperature)
    if len(logits) > MAX_ROWS:
        raise ValueError(
            f"{who}: expected at most {MAX_ROWS} rows; got {len(logits)}; use fit."
        )
    rows = np.isfinite(logits.astype(np.float32)).all(axis=1)
    if not rows.all():
        raise ValueError(
            f"{who}: expected finite logits; got others in row {rows.argmin()}."
        )
    return logits


def fit_dense(
    logits,
    *,
    aggregation: Aggregation = sum_mean,
    empty: str = "last",
    height: str = "score",
    temperature: float = 1.0,
) -> Hierarchy:
    """`fit` as one jitted program on one device, O(rows K^2): for accelerators.

    Args:
      logits: [rows, K] float, at most 2^23 rows.
      aggregation, empty, height, temperature: as for `fit`.

    Returns:
      Hierarchy, the same as that of `fit`, where the device rounds float32 sums,
      products and quotients as IEEE 754 has it (tested on CPU).

    Raises:
      ValueError, TypeError: as `fit`.
    """
    options = dict(aggregation=aggregation, height=height, empty=empty)
    logits = _checked(
        "fit_dense", logits, empty=empty, height=height, temperature=temperature
    )
    if logits.shape[1] == 1:
        return fit(logits, **options)
    found = _dense(
        logits,
        arithmetic.device_scale(temperature),
        np.ones(len(logits), bool),
        aggregation=aggregation,
        empty="zero" if empty == "zero" else "last",
    )
    return to_hierarchy(found, num_rows=len(logits), **options)


_dense = partial(jax.jit, static_argnames=("aggregation", "empty", "block"))(
    steps_on_device
)


@partial(jax.jit, static_argnames=("mesh", "axis_name", "options"))
def _split(logits, scale, where, *, mesh, axis_name, options):
    """`steps_on_device` with rows over a mesh axis."""
    rows, whole = PartitionSpec(axis_name), PartitionSpec()
    specs = {name: whole for name in DeviceSteps._fields}
    specs["assignments"] = rows
    return jax.shard_map(
        partial(steps_on_device, axis_name=axis_name, **dict(options)),
        mesh=mesh,
        in_specs=(rows, arithmetic.Scale(whole, whole), rows),
        out_specs=DeviceSteps(**specs),
    )(logits, scale, where)


def fit_sharded(
    logits,
    mesh: Mesh,
    *,
    axis_name: str = "data",
    block: int = 1024,
    aggregation: Aggregation = sum_mean,
    empty: str = "last",
    height: str = "score",
    temperature: float = 1.0,
) -> Hierarchy:
    """`fit` with rows split over the devices of a mesh; O(rows K log K / devices).

    Devices hold their rows sorted by class, skip blocks without rows of the group, and
    exchange K sums of integers at each merge, so the tree does not depend on them.

    Args:
      logits: [rows, K] float in the memory of this process, at most 2^23 rows; padded
        to a multiple of devices times block.
      mesh: such as `repr_jax.sharding.make_mesh()`.
      axis_name: the axis of the mesh that rows are split over.
      block: rows that are read or skipped together.
      aggregation, empty, height, temperature: as for `fit`.

    Returns:
      Hierarchy, the same as that of `fit`.

    Raises:
      ValueError, TypeError: as `fit`, and for an axis that the mesh has not.
    """
    who = "fit_sharded"
    options = dict(aggregation=aggregation, height=height, empty=empty)
    logits = _checked(who, logits, empty=empty, height=height, temperature=temperature)
    checks.one_of(who, mesh.axis_names, axis_name=axis_name)
    checks.count(who, block=block)
    num_rows, k = logits.shape
    if k == 1:
        return fit(logits, **options)
    shards = mesh.shape[axis_name]
    block = min(block, -(-num_rows // shards))
    padding = -num_rows % (shards * block)
    found = _split(
        np.pad(logits, ((0, padding), (0, 0))),
        arithmetic.device_scale(temperature),
        np.arange(num_rows + padding) < num_rows,
        mesh=mesh,
        axis_name=axis_name,
        options=(
            ("aggregation", aggregation),
            ("empty", "zero" if empty == "zero" else "last"),
            ("block", block),
        ),
    )
    return to_hierarchy(found, num_rows=num_rows, **options)
