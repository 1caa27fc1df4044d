"""Stored rows that losses take as arrays, and their updates, which get no gradient.

On split batches every device stores the same rows: those of all devices are gathered.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import (
    checked_rows,
    checked_where,
    gather_invariant,
    present,
    row_keys,
)
from repr_jax.ops.numerics import l2_normalize, pairwise_dot, to_float


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
    return _pushed(queue, Queue(present(to_float(rows), where), where), axis_name)


class Labeled(NamedTuple):
    """A queue whose rows have labels: the `memory` of losses of labels."""

    rows: Array  # [size, dim]
    labels: Array  # [size] int32
    where: Array  # [size] bool


def empty_labeled(size: int, dim: int) -> Labeled:
    """A labeled queue of `size` places without any row."""
    return Labeled(jnp.zeros((size, dim)), jnp.zeros(size, int), jnp.zeros(size, bool))


def push_labeled(
    queue: Labeled,
    rows: Array,
    labels: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Labeled:
    """`push` of rows, [batch, dim], with their labels, [batch] int of 32 bits.

    After the loss of the step, so that no row meets itself:

        loss = losses.sup_con(x, labels, memory=memory)
        memory = queue.push_labeled(memory, x, labels)

    Source: Wang et al., "Cross-Batch Memory for Embedding Learning", 2020,
      https://arxiv.org/abs/1912.06798.
    """
    where = checked_where("push_labeled", where, rows.shape[:1])
    checks.shape("push_labeled", where.shape, labels=labels)
    checks.integers("push_labeled", labels=labels)
    labels = present(jnp.asarray(labels).astype(queue.labels.dtype), where)
    new = Labeled(present(to_float(rows), where), labels, where)
    return _pushed(queue, new, axis_name)


def _pushed(queue, new, axis_name):
    """The queue with new present rows in front, both with a `where`."""
    queue, new = lax.stop_gradient((queue, new))
    new = gather_invariant(new, axis_name)
    order = jnp.argsort(~new.where, stable=True)  # present rows first
    batch, count = len(new.where), jnp.sum(new.where)
    place = jnp.arange(len(queue.where))
    source = jnp.where(place < count, place, batch + place - count)

    def pushed(old, new):
        return jnp.concatenate([new[order], old])[source]

    return jax.tree.map(pushed, queue, new)


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


class Mined(NamedTuple):
    """Rows of a bank to compare each row with."""

    positive: Array  # [batch] int32, one of the cluster of the row
    negative: Array  # [batch, num] int32, of other clusters, no two equal
    where: Array  # [batch, num] bool, False where the pool had too few of these


def semi_hard(
    key: Array,
    x: Array,
    bank: Array,
    labels: Array,
    index: Array,
    *,
    num_negatives: int,
    pool_size: int,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Mined:
    """Draws a positive of the row's cluster, negatives among the most similar others.

    Negatives are uniform, without replacement, among the `pool_size` rows of the bank
    of the largest cosine, less those of the row's own cluster. The positive is uniform
    in the cluster, and may be the row's own example.

    Args:
      x: [batch, dim] float, bank: [num_examples, dim] float, any scale.
      labels: [num_examples] int, the clusters of the bank.
      index: [batch] int in [0, num_examples), which example each row is.
      pool_size: from num_negatives to num_examples.

    Source: Xie et al., "Delving into Inter-Image Invariance for Unsupervised Visual
      Representations" (InterCLR), 2020, https://arxiv.org/abs/2008.11702. The authors'
      code draws with replacement, from 16384 of some 128000.
    """
    who = "semi_hard"
    x, where = checked_rows(who, where, x=x)
    bank, _ = checked_rows(who, None, bank=bank)
    checks.shape(who, (len(bank), x.shape[1]), bank=bank)
    checks.shape(who, (len(bank),), labels=labels)
    checks.shape(who, where.shape, index=index)
    checks.integers(who, labels=labels, index=index)
    checks.within(who, len(bank), where=where, index=index)
    checks.count(who, num_negatives=num_negatives)
    checks.count(who, minimum=num_negatives, pool_size=pool_size)
    checks.count(who, minimum=pool_size, num_examples=len(bank))
    bank, x = l2_normalize(bank), l2_normalize(x)
    alike, labels = lax.stop_gradient(pairwise_dot(x, bank)), jnp.asarray(labels)

    def of_row(key, alike, own):
        for_positive, for_negatives = jax.random.split(key)
        chance = jax.random.gumbel(for_positive, labels.shape)
        positive = jnp.argmax(jnp.where(labels == own, chance, -jnp.inf))
        _, pool = lax.top_k(alike, pool_size)
        chance = jax.random.gumbel(for_negatives, (pool_size,))
        chance = jnp.where(labels[pool] != own, chance, -jnp.inf)
        best, place = lax.top_k(chance, num_negatives)
        return Mined(positive.astype(jnp.int32), pool[place], best > -jnp.inf)

    own = labels[present(jnp.asarray(index), where)]
    mined = jax.vmap(of_row)(row_keys(key, where, axis_name), alike, own)
    return mined._replace(where=mined.where & where[:, None])
