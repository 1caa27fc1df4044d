"""Reductions over the pairs of two sets of rows, whole, in blocks or round a ring.

A `score` is a function (rows, columns, params) -> [n, m] of two `Rows`, or blocks of
them, and of arrays that all pairs share; `log_sum_exp` and `total` reduce it over the
columns of the whole batch. How they get there changes nothing but rounding:

  chunk_size: None for all pairs at once, differentiated as any JAX function; else
    blocks of chunk_size rows and columns. Neither pass then keeps more than the rows
    and a few blocks, since the backward pass computes every block again: [n, m] never
    exists. Costs 4 products of matrices instead of 3, of which backward 3.
  axis_name: columns are this shard's, and those of all shards are gathered.
  ring: columns are not gathered but travel: every device sends its columns to the next
    one, and in the backward pass the gradient travels with them and comes home. Needs
    axis_name; combines with chunk_size.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where, gather_rows


class Rows(NamedTuple):
    """Rows of a batch, as a score sees them. Padding of blocks is zeros: absent."""

    x: Any  # [n, dim], or a tree of such arrays of floats: what is differentiated
    where: Array  # [n] bool, present
    index: Array  # [n] int32, which example of the whole batch it belongs to
    label: Array | None = None  # [n] int
    pair_where: Array | None = None  # [n, m] bool, of rows alone: columns that count
    memory: Any = None  # of columns alone: further `Rows`, equal on all devices


_NO_GRADIENT = Rows(None, None, None)  # for custom_vjp: of masks and integers
Score = Callable[[Rows, Rows, Any], Array]  # rows [n], columns [m], params -> [n, m]


def row_index(where: Array, axis_name: str | None = None) -> Array:
    """[n] int32, the place of each row in the whole batch."""
    index = jnp.arange(where.shape[0], dtype=jnp.int32)
    if axis_name is None:
        return index
    return index + where.shape[0] * lax.axis_index(axis_name)


class RelationPairs(NamedTuple):
    """Pairs of views, first all that are of one example."""

    x: Array  # [pairs, 2 dim], both side by side
    targets: Array  # [pairs] bool, of one example?
    where: Array  # [pairs] bool, are both present?


def relation_pairs(z: Array, *, where: Array | None = None) -> RelationPairs:
    """Every view beside every later one, of the same example and of another.

    [z_i ; z_j] and [z_i ; z_j rolled by s rows] for i < j: as many pairs of one kind as
    of the other. s is 1 for the first (i, j), grows by one and starts again below the
    number of rows. `losses.focal_binary` of a head's logits tells the kinds apart.

    Args:
      z: [view, batch, dim] float, two views or more of two examples or more.
      where: [batch] bool, False for absent rows; None if all are present. Rows are
        rolled with absent ones among them, and on a split batch among the shard's own.

    Raises:
      ValueError: fewer views or rows, or z is not of rank 3. TypeError: integers.

    Source: Patacchiola and Storkey, "Self-Supervised Relational Reasoning for
      Representation Learning", 2020, https://arxiv.org/abs/2006.05849, as in the
      authors' code.
    """
    who = "relation_pairs"
    checks.same_shape(who, rank=3, z=z)
    checks.floating(who, z=z)
    views, batch, _ = jnp.shape(z)
    if views < 2 or batch < 2:
        raise ValueError(
            f"{who}: expected two views and two rows or more; got z {jnp.shape(z)}."
        )
    where = checked_where(who, where, (batch,))
    z = jnp.where(where[None, :, None], jnp.asarray(z), 0)
    kinds = {True: [], False: []}
    for number, (i, j) in enumerate(itertools.combinations(range(views), 2)):
        for same in kinds:
            shift = 0 if same else number % (batch - 1) + 1
            both = jnp.concatenate([z[i], jnp.roll(z[j], shift, axis=0)], axis=1)
            kinds[same].append((both, where & jnp.roll(where, shift)))
    x, there = (jnp.concatenate(a) for a in zip(*kinds[True], *kinds[False]))
    return RelationPairs(x, jnp.arange(len(x)) < len(x) // 2, there)


def others(rows: Rows, columns: Rows) -> Array:
    """[n, m] bool, the present columns that belong to another example than the row."""
    return _counted(rows, columns) & (rows.index[:, None] != columns.index[None])


def same_label(rows: Rows, columns: Rows) -> Array:
    """[n, m] bool, the other present columns with the label of the row."""
    return others(rows, columns) & (rows.label[:, None] == columns.label[None])


def other_label(rows: Rows, columns: Rows) -> Array:
    """[n, m] bool, the present columns with another label than the row."""
    return _counted(rows, columns) & (rows.label[:, None] != columns.label[None])


def _counted(rows, columns):
    """[n or 1, m] bool, the columns that are present, of pairs that count."""
    present = columns.where[None]
    return present if rows.pair_where is None else present & rows.pair_where


def check(
    who: str,
    chunk_size: int | None,
    axis_name: str | None,
    ring: bool,
    pair_where: Array | None = None,
    memory: Any = None,
) -> None:
    """Refuses a chunk below 1, blocks of a mask, a ring without axis or with memory."""
    if chunk_size is not None:
        checks.count(who, chunk_size=chunk_size)
    if ring and axis_name is None:
        raise ValueError(f"{who}: expected ring with an axis_name; got axis_name None.")
    if pair_where is not None and (ring or chunk_size is not None):
        raise ValueError(f"{who}: expected pair_where without chunk_size or ring.")
    if memory is not None and ring:
        raise ValueError(f"{who}: expected memory without ring.")


def all_columns(rows: Rows, axis_name: str | None) -> Rows:
    """The rows of the whole batch, as columns, and after them those of memory."""
    columns = rows._replace(pair_where=None, memory=None)
    columns = gather_rows(columns, axis_name)
    if rows.memory is None:
        return columns
    return jax.tree.map(lambda *x: jnp.concatenate(x), columns, rows.memory)


def log_sum_exp(
    score: Score,
    rows: Rows,
    columns: Rows,
    params: Any = (),
    *,
    chunk_size: int | None = None,
    axis_name: str | None = None,
    ring: bool = False,
) -> Array:
    """[n] log sum_j exp(score_ij); pairs at -inf do not count, -inf if none does."""
    return _reduce(
        _LOG_SUM_EXP, score, rows, columns, params, chunk_size, axis_name, ring
    )


def log_sum_exp_both_ways(
    score: Score, rows: Rows, columns: Rows, params: Any = ()
) -> tuple[Array, Array]:
    """[n] `log_sum_exp` over the columns, [m] that over the present rows.

    For a batch that is whole: one product of matrices forward and two backward, where
    calls for either way take twice as many.
    """
    scores = score(rows, columns, _typed(params, rows))
    of_rows = jnp.where(rows.where[None], scores.T, -jnp.inf)
    sums = ((rows, scores), (columns, of_rows))
    return tuple(_at_once(_LOG_SUM_EXP, *both) for both in sums)


def total(
    score: Score,
    rows: Rows,
    columns: Rows,
    params: Any = (),
    *,
    chunk_size: int | None = None,
    axis_name: str | None = None,
    ring: bool = False,
) -> Array:
    """[n] sum_j score_ij; pairs at 0 do not count."""
    return _reduce(_TOTAL, score, rows, columns, params, chunk_size, axis_name, ring)


class _Reduction(NamedTuple):
    """A sum over columns that can be taken block by block."""

    start: Callable  # [n] zeros -> state
    add: Callable  # state, scores [n, m] -> state
    finish: Callable  # state -> [n]
    slope: Callable  # scores, [n, 1] results -> [n, m] d result_i / d score_ij


def _lowest(zeros):
    return zeros + jnp.finfo(zeros.dtype).min, zeros  # finite: -inf - -inf is NaN


def _add_exp(state, scores):
    largest, sum_exp = state
    larger = jnp.maximum(largest, lax.stop_gradient(jnp.max(scores, axis=1)))
    terms = jnp.sum(jnp.exp(scores - larger[:, None]), axis=1)
    return larger, sum_exp * jnp.exp(largest - larger) + terms


def _log(state):
    largest, sum_exp = state
    some = sum_exp != 0  # NaN stays NaN
    return jnp.where(some, largest + jnp.log(jnp.where(some, sum_exp, 1)), -jnp.inf)


def _softmax(scores, results):
    some = results != -jnp.inf
    return jnp.exp(jnp.where(some, jnp.minimum(scores - results, 0), -jnp.inf))


_LOG_SUM_EXP = _Reduction(_lowest, _add_exp, _log, _softmax)
_TOTAL = _Reduction(
    start=lambda zeros: zeros,
    add=lambda state, scores: state + jnp.sum(scores, axis=1),
    finish=lambda state: state,
    slope=lambda scores, results: jnp.ones_like(scores),
)


def _reduce(reduction, score, rows, columns, params, chunk_size, axis_name, ring):
    params, rows = _typed(params, rows), rows._replace(memory=None)
    if ring:
        columns = columns._replace(pair_where=None)
    else:
        columns = all_columns(columns, axis_name)
    if chunk_size is None and not ring:
        return _at_once(reduction, rows, score(rows, columns, params))
    arguments = _equally_varying((rows, columns, params))
    in_blocks = _blockwise(reduction, score, chunk_size, axis_name if ring else None)
    return in_blocks(*arguments)


def _typed(params, rows):
    """As arrays of the dtype of the rows."""
    return jax.tree.map(lambda p: jnp.asarray(p, _dtype(rows)), params)


def _at_once(reduction, rows, scores):
    """[n] of all scores [n, m] of the rows."""
    start = reduction.start(jnp.zeros_like(rows.index, _dtype(rows)))
    return reduction.finish(reduction.add(start, scores))


def _blockwise(reduction, score, chunk_size, axis_name):
    """rows, columns, params -> [n], with a gradient that computes scores again."""

    @jax.custom_vjp
    def reduce(rows, columns, params):
        return forward(rows, columns, params)[0]

    def forward(rows, columns, params):
        row_blocks, column_blocks = (_blocks(r, chunk_size) for r in (rows, columns))
        results = _results(
            reduction, score, row_blocks, column_blocks, params, axis_name
        )
        return _unblock(results, rows), (rows, columns, params, results)

    def backward(residuals, cotangent):
        rows, columns, params, results = residuals
        row_blocks, column_blocks = (_blocks(r, chunk_size) for r in (rows, columns))
        cotangent = _blocks(cotangent, chunk_size)
        slopes = partial(_slopes, reduction, score)
        d_rows, d_columns, d_params = _gradients(
            slopes, (row_blocks, results, cotangent), column_blocks, params, axis_name
        )
        return (
            _NO_GRADIENT._replace(x=_unblock(d_rows, rows)),
            _NO_GRADIENT._replace(x=_unblock(d_columns, columns)),
            d_params,
        )

    reduce.defvjp(forward, backward)
    return reduce


def _results(reduction, score, rows, columns, params, axis_name):
    """[blocks, chunk] of rows and columns in blocks."""

    def meet(state, columns):  # all rows, one device's columns
        def of_rows(_, block):
            rows, state = block

            def of_columns(state, columns):
                return reduction.add(state, score(rows, columns, params)), None

            return None, lax.scan(of_columns, state, columns)[0]

        return lax.scan(of_rows, None, (rows, state))[1], columns

    start = reduction.start(jnp.zeros_like(rows.index, _dtype(rows)))
    start, _ = _equally_varying((start, rows))
    state, _ = _round(meet, start, columns, axis_name)
    return reduction.finish(state)


def _gradients(slopes, rows, columns, params, axis_name):
    """By x of the rows, x of the columns, both in blocks, and by params.

    slopes: a block of `rows`, a block of columns, params -> the share of this block.
    """

    def meet(gradients, traveling):  # all rows, one device's columns
        d_rows, d_params = gradients
        columns, d_columns = traveling

        def of_rows(carry, block):
            d_columns, d_params = carry
            rows, d_rows = block

            def of_columns(carry, block):
                columns, d_columns = block
                shares = slopes(*rows, columns, params)
                sums = jax.tree.map(jnp.add, (*carry, d_columns), shares)
                return sums[:2], sums[2]

            (d_rows, d_params), d_columns = lax.scan(
                of_columns, (d_rows, d_params), (columns, d_columns)
            )
            return (d_columns, d_params), d_rows

        (d_columns, d_params), d_rows = lax.scan(
            of_rows, (d_columns, d_params), (rows, d_rows)
        )
        return (d_rows, d_params), (columns, d_columns)

    start = jax.tree.map(jnp.zeros_like, (rows[0].x, params))
    traveling = (columns, jax.tree.map(jnp.zeros_like, columns.x))
    start, traveling = _equally_varying((start, traveling))
    (d_rows, d_params), (_, d_columns) = _round(meet, start, traveling, axis_name)
    return d_rows, d_columns, d_params


def _slopes(reduction, score, rows, results, cotangent, columns, params):
    """Gradient by x of one block of rows, by params, by x of one block of columns."""

    def scores(x, params, y):
        return score(rows._replace(x=x), columns._replace(x=y), params)

    values, pull_back = jax.vjp(scores, rows.x, params, columns.x)
    return pull_back(reduction.slope(values, results[:, None]) * cotangent[:, None])


def _round(step, carry, traveling, axis_name):
    """step(carry, traveling) with what every device's neighbors send, one by one."""
    if axis_name is None:
        return step(carry, traveling)
    size = lax.psum(1, axis_name)  # an int
    neighbors = [(device, (device + 1) % size) for device in range(size)]

    def step_and_send(both, _):
        carry, traveling = step(*both)
        return (carry, lax.ppermute(traveling, axis_name, neighbors)), None

    return lax.scan(step_and_send, (carry, traveling), length=size)[0]


def _blocks(tree, chunk_size):
    """[n, ...] -> [blocks, chunk_size, ...], padded with zeros; one block for None."""

    def split(x):
        size = max(len(x), 1)
        size = size if chunk_size is None else min(chunk_size, size)
        padding = [(0, -len(x) % size)] + [(0, 0)] * (x.ndim - 1)
        return jnp.pad(x, padding).reshape(-1, size, *x.shape[1:])

    return jax.tree.map(split, tree)


def _unblock(tree, rows):
    """[blocks, chunk_size, ...] -> [n, ...], without the padding."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[: len(rows.where)], tree)


def _dtype(rows):
    return jnp.result_type(*jax.tree.leaves(rows.x))


def _equally_varying(tree):
    """Under shard_map every leaf varies over the axes that any of them varies over.

    So gradients and carries of loops have one kind, and the gradient of what is
    replicated is summed over the axis by the transpose of this cast.
    """

    leaves = jax.tree.leaves(tree)
    axes = frozenset().union(*(_varying_axes(x) for x in leaves))

    def cast(x):
        missing = tuple(axes - _varying_axes(x))
        if not missing:
            return x
        if hasattr(lax, "pcast"):
            return lax.pcast(x, missing, to="varying")
        return lax.pvary(x, missing)  # JAX 0.6 and 0.7

    return jax.tree.map(cast, tree)


def _varying_axes(x):
    """Names of the mapped axes over which x varies, as shard_map knows it.

    JAX 0.6 to 0.9 call it `vma`. Before there was no such thing: shard_map casts by
    itself, but the gradient must be taken inside of it.
    """
    kind = jax.typeof(x) if hasattr(jax, "typeof") else None
    if hasattr(kind, "manual_axis_type"):
        return kind.manual_axis_type.varying
    return getattr(kind, "vma", frozenset())
