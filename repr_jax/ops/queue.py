"""Stored rows that losses take as arrays, and their updates, which get no gradient.

On split batches every device stores the same rows: those of all devices are gathered.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where, gather_invariant, present
from repr_jax.ops.numerics import l2_normalize, to_float


class Queue(NamedTuple):
    """The newest rows that were pushed, the newest batch first."""

    rows: Array  # [size, dim]
    where: Array  # [size] bool, False for places that nothing was pushed to yet


def empty(size: int, dim: int) -> Queue:
    """A queue of `size` places without any row."""
    return Queue(jnp.zeros((size, dim)), jnp.zeros(size, bool))


def push(
    queue: Queue,
    rows: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Queue:
    """Puts the present rows, [batch, dim], in front and drops the oldest beyond size.

    Source: He et al., "Momentum Contrast for Unsupervised Visual Representation
      Learning", 2020, section 3.2, https://arxiv.org/abs/1911.05722.
    """
    where = checked_where("push", where, rows.shape[:1])
    queue, rows = lax.stop_gradient((queue, present(to_float(rows), where)))
    rows, where = gather_invariant((rows, where), axis_name)
    order = jnp.argsort(~where, stable=True)  # present rows first
    batch, count = where.shape[0], jnp.sum(where)
    place = jnp.arange(queue.where.shape[0])
    source = jnp.where(place < count, place, batch + place - count)
    pool = Queue(
        jnp.concatenate([rows[order], queue.rows]),
        jnp.concatenate([where[order], queue.where]),
    )
    return Queue(pool.rows[source], pool.where[source])


class Buffered(NamedTuple):
    """A queue, and the rows of the step at hand, which it takes when that is over.

    Losses of all parts of a batch see the same queue, which moves once a step.
    """

    queue: Queue
    waiting: Queue


def buffered(size: int, batch_size: int, dim: int) -> Buffered:
    """An empty queue for batches of so many rows at most."""
    return Buffered(empty(size, dim), empty(batch_size, dim))


def wait(
    state: Buffered,
    rows: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Buffered:
    """`push` to the rows that wait."""
    waiting = push(state.waiting, rows, where=where, axis_name=axis_name)
    return state._replace(waiting=waiting)


def release(state: Buffered) -> Buffered:
    """The queue with what waited, and nothing that waits."""
    rows, where = state.waiting
    queue = push(state.queue, rows, where=where)
    return Buffered(queue, Queue(jnp.zeros_like(rows), jnp.zeros_like(where)))


def update_bank(
    bank: Array,
    index: Array,
    rows: Array,
    *,
    decay: float | Array = 0.5,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Moves the bank's rows of these examples towards their new ones; unit length.

    bank[index] = normalize(decay * bank[index] + (1 - decay) * normalize(rows)).

    Args:
      bank: [num_examples, dim].
      index: [batch] int in [0, num_examples), the examples, each at most once.
      rows: [batch, dim].
      decay: in [0, 1].

    Source: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
      Discrimination", 2018, https://arxiv.org/abs/1805.01978, as in their code.
    """
    where = checked_where("update_bank", where, rows.shape[:1])
    checks.within("update_bank", len(bank), where=where, index=index)
    bank, index = lax.stop_gradient(jnp.asarray(bank)), jnp.asarray(index)
    rows = lax.stop_gradient(l2_normalize(present(to_float(rows), where)))
    rows, index, where = gather_invariant((rows, index, where), axis_name)
    moved = l2_normalize(decay * bank[present(index, where)] + (1 - decay) * rows)
    nowhere = bank.shape[0]  # out of bounds: dropped
    return bank.at[jnp.where(where, index, nowhere)].set(moved, mode="drop")
