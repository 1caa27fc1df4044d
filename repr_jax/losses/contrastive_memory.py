"""Contrastive losses whose negatives are stored: a queue of keys or a bank of examples.

Storage comes in as an array, equal on all devices, and gets no gradient; `ops.queue`
updates it. Other arguments and errors are those of `contrastive`; TypeError also for
an index that is not of integers.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.contrastive import (
    check_options,
    cross_entropy,
    info_nce,
    negative_logits,
)
from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import (
    checked_rows,
    checked_where,
    gather_rows,
    masked_mean,
    present,
)
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
    The neighbors are sought with all cosines of batch and queue at once.

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
    x, bank, index, where = _stored(who, x, bank, index, where)
    all_present = jnp.ones(len(bank), bool)
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


def instance_nce(
    x: Array,
    bank: Array,
    index: Array,
    noise_index: Array,
    *,
    normalizer: float | Array,
    temperature: float | Array = 0.07,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`instance_discrimination` as binary questions: is it the row's own or noise?

    mean_i [ softplus(-l_i,index) + sum_j softplus(l_i,noise_j) ], l_ik = s(x_i, bank_k)
    / temperature - log normalizer - log(m / n) the log odds of example k against m
    draws of noise, uniform over the n examples; s the cosine.

    Args:
      x: [batch, dim].
      bank: [num_examples, dim], a stored row of every example, without gradient.
      index: [batch] int in [0, num_examples), which example each row is.
      noise_index: [batch, m] int in [0, num_examples), drawn uniformly; it may hit the
        example itself. The paper takes m = 4096.
      normalizer: > 0, what `contrastive_memory.instance_normalizer` estimates on the
        first batch, kept from then on. The paper writes Z.

    Source: Wu et al. 2018 (as `instance_discrimination`), eqs. 4 to 7. Their proximal
      regularization, |x - bank_index|^2 of unit rows, is `byol`(x, bank[index]); their
      code has the moving average of the bank in its place.
    """
    who = "instance_nce"
    checks.positive(who, normalizer=normalizer, temperature=temperature)
    positives, noise, where = _stored_cosines(
        who, x, bank, index, noise_index, where, "noise_index"
    )
    log_ratio = jnp.log(noise.shape[1] / len(bank)) + jnp.log(normalizer)
    own, others = (s / temperature - log_ratio for s in (positives, noise))
    terms = jax.nn.softplus(-own) + jnp.sum(jax.nn.softplus(others), axis=1)
    return masked_mean(terms, where=where, axis_name=axis_name)


def instance_normalizer(
    x: Array,
    bank: Array,
    index: Array,
    noise_index: Array,
    *,
    temperature: float | Array = 0.07,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[] num_examples times the mean of exp(cosine / temperature) of all candidates.

    These are of every row its own example and its noise; arguments and errors as of
    `instance_nce`. As in the authors' code. No gradient.
    """
    who = "instance_normalizer"
    checks.positive(who, temperature=temperature)
    positives, noise, where = _stored_cosines(
        who, x, bank, index, noise_index, where, "noise_index"
    )
    cosines = jnp.concatenate([positives[:, None], noise], axis=1)
    by_row = jnp.mean(jnp.exp(lax.stop_gradient(cosines) / temperature), axis=1)
    return len(bank) * masked_mean(by_row, where=where, axis_name=axis_name)


def inter_instance(
    x: Array,
    bank: Array,
    positive_index: Array,
    negative_index: Array,
    *,
    margin: float | Array = -0.5,
    temperature: float | Array = 0.1,
    negative_where: Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of finding another row of one's cluster among those of others.

    mean_i log(1 + sum_j exp((s(x_i, bank_nj) - s(x_i, bank_p) + margin) /
    temperature)), s the cosine, p the positive and n_j the negatives of row i. Below 0
    the margin helps the positive.

    Args:
      x: [batch, dim].
      bank: [num_examples, dim], a stored row of every example, without gradient.
      positive_index: [batch], negative_index: [batch, num] int in [0, num_examples),
        such as those of `ops.queue.semi_hard`.
      negative_where: [batch, num] bool, False for what is no negative; None if all are.

    Source: Xie et al., "Delving into Inter-Image Invariance for Unsupervised Visual
      Representations" (InterCLR), 2020, https://arxiv.org/abs/2008.11702, as in the
      authors' code, which adds a quarter of it to three quarters of `moco`.
    """
    who = "inter_instance"
    checks.positive(who, temperature=temperature)
    positives, negatives, where = _stored_cosines(
        who, x, bank, positive_index, negative_index, where, "negative_index"
    )
    negative_where = checked_where(who, negative_where, negatives.shape)
    positives = (positives - margin) / temperature
    negatives = jnp.where(negative_where, negatives / temperature, -jnp.inf)
    more_alike = negatives - positives[:, None]
    candidates = jnp.pad(more_alike, [(0, 0), (1, 0)])  # the positive, 0, first
    terms = jax.nn.logsumexp(candidates, axis=1)
    return masked_mean(terms, where=where, axis_name=axis_name)


def relational_js(
    view_a: Array,
    view_b: Array,
    anchors: Array,
    *,
    temperature: float | Array = 0.1,
    target_temperature: float | Array = 0.1,
    anchors_where: Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Two views are alike other rows in the same way: both are drawn to their mean.

    mean_i (KL(q_i, p_ai) + KL(q_i, p_bi)) / 2, p_v = softmax(s(v, anchors) /
    temperature) over the anchors and q = (t_a + t_b) / 2 of t_v = softmax(s(v, anchors)
    / target_temperature), s the cosine. All have a gradient, q too. In nats, at least
    0. The shares of all anchors are held at once, since q is made of both views'.

    Args:
      view_a, view_b: [batch, dim].
      anchors: [anchors, dim] float, any scale, other rows to be like; on a split batch
        those of all devices, and with a gradient.
      anchors_where: [anchors] bool, False for absent ones; None if all are present.
      target_temperature: > 0. The paper writes tau'; its code has 0.1 for both.

    Source: Han et al., "FedX: Unsupervised Federated Learning with Cross Knowledge
      Distillation", 2022, https://arxiv.org/abs/2207.09158, as in the authors' code.
    """
    who = "relational_js"
    checks.positive(who, temperature=temperature, target_temperature=target_temperature)
    view_a, view_b, where = checked_rows(who, where, view_a=view_a, view_b=view_b)
    anchors, anchors_where = checked_rows(who, anchors_where, anchors=anchors)
    checks.shape(who, (len(anchors), view_a.shape[1]), anchors=anchors)
    anchors = gather_rows((cosine.prepare(anchors), anchors_where), axis_name)

    def log_shares(view, temperature):
        logits = cosine.of_pairs(cosine.prepare(view), anchors[0]) / temperature
        logits = jnp.where(anchors[1][None], logits, jnp.finfo(logits.dtype).min / 2)
        return jax.nn.log_softmax(logits, axis=1)

    log_q = [log_shares(view, target_temperature) for view in (view_a, view_b)]
    log_q = jnp.logaddexp(*log_q) - jnp.log(2.0)
    terms = 0.0
    for view in (view_a, view_b):
        gap = log_q - log_shares(view, temperature)
        terms += jnp.sum(jnp.where(anchors[1][None], jnp.exp(log_q) * gap, 0), axis=1)
    return masked_mean(terms / 2, where=where, axis_name=axis_name)


def _stored_cosines(who, x, bank, index, other_index, where, name):
    """[batch] cosines with the rows of `index`, [batch, num] with others; `where`."""
    x, bank, index, where = _stored(who, x, bank, index, where)
    checks.shape(who, (len(x), *jnp.shape(other_index)[1:2]), **{name: other_index})
    checks.integers(who, **{name: other_index})
    checks.within(who, len(bank), where=where, **{name: other_index})
    others = present(jnp.asarray(other_index), where)
    own = cosine.of_rows(x, bank[index])
    products = jnp.einsum("bd,bmd->bm", x, bank[others], precision="highest")
    return own, products, where


def _stored(who, x, bank, index, where):
    """Unit rows, unit bank without gradient, index with 0 where absent; `where`."""
    x, where = checked_rows(who, where, x=x)
    bank, _ = checked_rows(who, None, bank=bank)
    checks.shape(who, (len(bank), x.shape[1]), bank=bank)
    checks.shape(who, where.shape, index=index)
    checks.integers(who, index=index)
    checks.within(who, len(bank), where=where, index=index)
    x, bank = cosine.prepare(x), lax.stop_gradient(cosine.prepare(bank))
    return x, bank, present(jnp.asarray(index), where), where
