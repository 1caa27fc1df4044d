"""Contrastive losses whose negatives are stored: a queue of keys or a bank of examples.

Storage comes in as an array, equal on all devices, and gets no gradient; `ops.queue`
updates it. Other arguments and errors are those of `contrastive`; TypeError also for
an index that is not of integers.
"""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.contrastive import (
    check_options,
    cross_entropy,
    info_nce,
    negative_logits,
)
from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import checked_rows, masked_mean, present
from repr_jax.ops.numerics import argmax
from repr_jax.ops.pairs import Rows
from repr_jax.ops.similarity import cosine


def moco(
    queries: Array,
    keys: Array,
    queue: Array,
    *,
    temperature: float | Array = 0.07,
    chunk_size: int | None = None,
    queue_where: Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of finding each query's own key among it and a queue of old keys.

    mean_i [ log (exp(p_i) + sum_k exp(s(queries_i, queue_k) / temperature)) - p_i ],
    p_i = s(queries_i, keys_i) / temperature, s the cosine. Keys and queue get no
    gradient. log(1 + size of the queue) if all rows are equal.

    Args:
      queries, keys: [batch, dim], of the online and of the target network.
      queue: [size, dim], such as `ops.queue.Queue.rows`.
      queue_where: [size] bool, False for empty places; None if all are filled.

    Source: He et al., "Momentum Contrast for Unsupervised Visual Representation
      Learning", 2020, eq. 1, https://arxiv.org/abs/1911.05722.
    """
    check_options("moco", temperature, chunk_size, axis_name)
    queries, keys, where = checked_rows("moco", where, queries=queries, keys=keys)
    queue, queue_where = checked_rows("moco", queue_where, queue=queue)
    checks.shape("moco", (len(queue), queries.shape[1]), queue=queue)
    queries, keys, queue = (cosine.prepare(x) for x in (queries, keys, queue))
    keys, queue = lax.stop_gradient((keys, queue))
    log_negatives = pairs.log_sum_exp(
        negative_logits(cosine),
        Rows(queries, where, pairs.row_index(where)),
        Rows(
            queue, queue_where, -1 - pairs.row_index(queue_where)
        ),  # of no example here
        temperature,
        chunk_size=chunk_size,
    )
    positives = cosine.of_rows(queries, keys) / temperature
    terms = cross_entropy(positives, log_negatives)
    return masked_mean(terms, where=where, axis_name=axis_name)


def nnclr(
    predictions: Array,
    targets: Array,
    queue: Array,
    *,
    temperature: float | Array = 0.1,
    chunk_size: int | None = None,
    ring: bool = False,
    queue_where: Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`info_nce` of predictions with the stored row nearest to the other view.

    info_nce(neighbors, predictions), neighbors_i the row of the queue of the largest
    cosine to targets_i, without gradient. The paper takes both directions of views.

    Args:
      predictions: [batch, dim], of the predictor on one view.
      targets: [batch, dim], projections of the other view, without gradient; the queue
        takes them afterwards.
      queue: [size, dim], such as `ops.queue.Queue.rows`, equal on all devices.
      queue_where: [size] bool, False for empty places; None if all are filled. While
        all are empty the loss is log(batch).

    Source: Dwibedi et al., "With a Little Help from My Friends: Nearest-Neighbor
      Contrastive Learning of Visual Representations", 2021, section 3,
      https://arxiv.org/abs/2104.14548.
    """
    check_options("nnclr", temperature, chunk_size, axis_name, ring)
    predictions, targets, where = checked_rows(
        "nnclr", where, predictions=predictions, targets=targets
    )
    queue, queue_where = checked_rows("nnclr", queue_where, queue=queue)
    checks.shape("nnclr", (len(queue), targets.shape[1]), queue=queue)
    targets, queue = lax.stop_gradient((targets, queue))
    alike = cosine.of_pairs(cosine.prepare(targets), cosine.prepare(queue))
    nearest = argmax(jnp.where(queue_where[None], alike, -2))
    unknown = jnp.any(jnp.isnan(targets), axis=1, keepdims=True)
    neighbors = jnp.where(unknown, jnp.nan, queue[nearest])
    return info_nce(
        neighbors,
        predictions,
        temperature=temperature,
        chunk_size=chunk_size,
        ring=ring,
        where=where,
        axis_name=axis_name,
    )


def instance_discrimination(
    x: Array,
    bank: Array,
    index: Array,
    *,
    temperature: float | Array = 0.07,
    chunk_size: int | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of telling which example a row is, each being a class of its own.

    mean_i [ log sum_j exp(s(bank_j, x_i) / temperature) - s(bank_index_i, x_i) /
    temperature ], s the cosine; log(num_examples) if all rows are equal.

    Args:
      x: [batch, dim].
      bank: [num_examples, dim], a stored row of every example, without gradient.
      index: [batch] int in [0, num_examples), which example each row is.

    Source: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
      Discrimination", 2018, eq. 2 and 3, https://arxiv.org/abs/1805.01978. There noise
      contrastive estimation approximates the sum; chunk_size affords it whole.
    """
    who = "instance_discrimination"
    check_options(who, temperature, chunk_size, axis_name)
    x, where = checked_rows(who, where, x=x)
    bank, all_present = checked_rows(who, None, bank=bank)
    checks.shape(who, (len(bank), x.shape[1]), bank=bank)
    checks.shape(who, where.shape, index=index)
    checks.integers(who, index=index)
    checks.within(who, len(bank), where=where, index=index)
    x, bank = cosine.prepare(x), lax.stop_gradient(cosine.prepare(bank))
    index = present(jnp.asarray(index), where)
    log_negatives = pairs.log_sum_exp(
        negative_logits(cosine),
        Rows(x, where, index),
        Rows(bank, all_present, pairs.row_index(all_present)),
        temperature,
        chunk_size=chunk_size,
    )
    positives = cosine.of_rows(x, bank[index]) / temperature
    terms = cross_entropy(positives, log_negatives)
    return masked_mean(terms, where=where, axis_name=axis_name)
