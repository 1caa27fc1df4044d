"""Contrastive losses with labels, which say which rows belong together.

x is [rows, dim] float, every view of every example a row of its own, or of every pair
of rows a number; labels [rows] int, equal for rows that belong together; pair_where
[rows, columns] bool, False for pairs that do not count, such as
`ops.mining.informative_pairs`, without chunk_size and ring; memory `ops.queue.Labeled`
rows of earlier batches, without gradient and without ring, equal on all devices.
Columns, with which rows are compared, are all rows of the batch and then those of
memory. Other arguments and errors are those of `contrastive`; TypeError also for labels
that are not integers.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from repr_jax.losses.contrastive import check_options, cross_entropy, negative_logits
from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import checked_rows, gather_rows, masked_mean
from repr_jax.ops.class_statistics import class_means
from repr_jax.ops.mining import labeled
from repr_jax.ops.numerics import class_ids, length, one_hot, pairwise_dot
from repr_jax.ops.pairs import Rows
from repr_jax.ops.queue import Labeled
from repr_jax.ops.similarity import cosine


def sup_con(
    x: Array,
    labels: Array,
    *,
    temperature: float | Array = 0.1,
    chunk_size: int | None = None,
    ring: bool = False,
    pair_where: Array | None = None,
    memory: Labeled | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of finding the rows of one's class, averaged outside of the log.

    mean_i [ log sum_{j != i} exp(s_ij / temperature) - mean_p s_ip / temperature ], s
    the cosine and p the other rows with the label of i. A row without such p does not
    count. With two views and a label per example it is `nt_xent`.

    Source: Khosla et al., "Supervised Contrastive Learning", 2020, eq. 2,
      https://arxiv.org/abs/2004.11362; their code also multiplies by temperature.
    """
    check_options(
        "sup_con", temperature, chunk_size, axis_name, ring, pair_where, memory
    )
    rows = labeled("sup_con", x, labels, where, axis_name, cosine, pair_where, memory)

    def logits(rows, columns, temperature):
        values = cosine.of_pairs(rows.x, columns.x) / temperature
        return jnp.where(pairs.same_label(rows, columns), values, 0)

    def ones(rows, columns, _):
        return pairs.same_label(rows, columns).astype(rows.x.dtype)

    log_z, total, count = (
        reduce(
            score,
            rows,
            rows,
            temperature,
            chunk_size=chunk_size,
            axis_name=axis_name,
            ring=ring,
        )
        for reduce, score in (
            (pairs.log_sum_exp, negative_logits(cosine)),  # over all j != i
            (pairs.total, logits),
            (pairs.total, ones),
        )
    )
    terms = log_z - total / jnp.maximum(lax.stop_gradient(count), 1)
    return masked_mean(terms, where=rows.where & (count > 0), axis_name=axis_name)


def flow_con(
    log_probs: Array,
    labels: Array,
    *,
    sharpness: float | Array = 1.5,
    temperature: float | Array = 0.1,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Draws the densities that rows of one class ascribe to one another together.

    mean_i mean_p [ log sum_{j != i} exp S_ij - S_ip ], S_ij = exp(sharpness (l_ij -
    max_j l_ij)) / temperature, l = log_probs and p the other rows with the label of i.
    The largest is over all j, i too.

    A row without such p does not count. The negative log-likelihood of the flow,
    -mean_i (l_ii + log |det|), is added outside, times 0.07 in the paper's code.

    Args:
      log_probs: [batch, all rows] float: of row i under the Gaussian that the flow's
        prior predicts of row j. On a split batch the columns are those of all devices.
        The paper's code has them in bits per dimension, which 1.5 is meant for.
      labels: [batch] int.
      sharpness: > 0. The paper writes tau, of l_ij + l_ii; what belongs to the row
        alone cancels.
      temperature: > 0.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats.

    Raises:
      ValueError: log_probs is not [batch, all rows], or labels not [batch].
      TypeError: integers in log_probs; labels that are none.

    Source: Aathreya and Canavan, "FlowCon: Out-of-Distribution Detection using
      Flow-Based Contrastive Learning", 2024, https://arxiv.org/abs/2407.03489. Their
      code adds 1e-5 to the exponential, and counts a row without p as 0.
    """
    who = "flow_con"
    log_probs, where = checked_rows(who, where, log_probs=log_probs)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.positive(who, sharpness=sharpness, temperature=temperature)
    index = pairs.row_index(where, axis_name)
    rows = Rows(log_probs, where, index, class_ids(labels))
    columns = gather_rows(rows._replace(x=where), axis_name)
    checks.shape(who, (len(index), len(columns.index)), log_probs=log_probs)
    highest = jnp.max(log_probs, axis=1, where=columns.where[None], initial=-jnp.inf)
    highest = jnp.where(jnp.isneginf(highest), 0, highest)
    away = jnp.where(columns.where[None], log_probs - highest[:, None], 0)
    scores = jnp.exp(sharpness * away) / temperature
    others, same = pairs.others(rows, columns), pairs.same_label(rows, columns)
    log_z = jax.nn.logsumexp(jnp.where(others, scores, -jnp.inf), axis=1)
    count = jnp.sum(same, axis=1)
    near = jnp.sum(jnp.where(same, scores, 0), axis=1) / jnp.maximum(count, 1)
    counted = where & (count > 0)
    terms = jnp.where(counted, log_z, 0) - near
    return masked_mean(terms, where=counted, axis_name=axis_name)


def gated_pairs(
    queries: Array,
    keys: Array,
    gates: Array,
    labels: Array,
    partners: Array,
    *,
    temperature: float | Array = 0.1,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Rows of two different classes attract in the dimensions that a gate leaves open.

    sum_i sum_{p: y_p = y'_i} [ log(exp l_ip + sum_n exp l_in) - l_ip ] over the number
    of such pairs (i, p), l_ij = sum_d gates_id^2 q_id k_jd / temperature of unit rows q
    and k, y the labels and y' the partners, n the rows of neither class.

    Gated rows are not brought to unit length again. Rows i without p do not count.

    Args:
      queries, keys: [batch, dim] float, any scale, two views.
      gates: [batch, dim] float in [0, 1], of the pair of classes (y_i, y'_i), learned.
      labels, partners: [batch] int; in the paper the partners are the labels of the
        batch, permuted, so that pairs of classes are arbitrary.

    Source: Wu et al., "Rethinking Positive Pairs in Contrastive Learning" (SimLAP, at
      first Hydra), 2024, https://arxiv.org/abs/2410.18200, as in the authors' code. A
      penalty that makes gates binary, of a later version, is not here: add it outside.
    """
    who = "gated_pairs"
    check_options(who, temperature, chunk_size, axis_name, ring)
    queries, keys, gates, where = checked_rows(
        who, where, queries=queries, keys=keys, gates=gates
    )
    checks.shape(who, where.shape, labels=labels, partners=partners)
    checks.integers(who, labels=labels, partners=partners)
    traced = isinstance(labels, Array) or isinstance(partners, Array)
    stack = jnp.stack if traced else np.stack
    label = class_ids(stack([labels, partners], axis=1))  # [batch, 2]
    index = pairs.row_index(where, axis_name)
    queries = gates**2 * cosine.prepare(queries)
    rows = Rows(queries, where, index, label)
    columns = Rows(cosine.prepare(keys), where, index, label)
    options = dict(chunk_size=chunk_size, axis_name=axis_name, ring=ring)
    log_negatives = pairs.log_sum_exp(
        _gated_negatives, rows, columns, temperature, **options
    )
    asking = rows._replace(x=(queries, log_negatives))
    total = pairs.total(_gated_positives, asking, columns, temperature, **options)
    count = lax.stop_gradient(pairs.total(_partners, rows, columns, **options))
    total, count = (
        masked_mean(values, where=where, axis_name=axis_name)
        for values in (total, count)
    )
    return total / jnp.where(count > 0, count, 1)


def _matches(rows, columns):
    """[n, m, 2] bool, present columns of the row's class, and of its partner's."""
    alike = rows.label[:, None] == columns.label[None, :, :1]
    return alike & columns.where[None, :, None]


def _gated_negatives(rows, columns, temperature):
    neither = columns.where[None] & ~jnp.any(_matches(rows, columns), axis=2)
    logits = pairwise_dot(rows.x, columns.x) / temperature
    return jnp.where(neither, logits, -jnp.inf)


def _gated_positives(rows, columns, temperature):
    x, log_negatives = rows.x
    logits = pairwise_dot(x, columns.x) / temperature
    terms = cross_entropy(logits, log_negatives[:, None])
    return jnp.where(_matches(rows, columns)[..., 1], terms, 0)


def _partners(rows, columns, _):
    return _matches(rows, columns)[..., 1].astype(columns.x.dtype)


def discriminative(
    x: Array,
    labels: Array,
    *,
    num_classes: int,
    pull_margin: float = 0.5,
    push_margin: float = 1.5,
    push_weight: float | Array = 1.0,
    length_weight: float | Array = 0.001,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Pulls the rows of a class to their mean, and pushes the means apart.

    mean_c mean_{i of c} max(0, |x_i - m_c| - pull_margin)^2 + push_weight mean_{a != b}
    max(0, 2 push_margin - |m_a - m_b|)^2 + length_weight mean_c |m_c|, m the means.

    Rows are the pixels of one image, classes its instances, for segmentation by
    clustering. Euclidean distances, not cosines; classes without rows do not count.

    Args:
      num_classes: > 0; labels outside of [0, num_classes) are of no class.
      pull_margin, push_margin: >= 0.
      push_weight, length_weight: >= 0; that of the pull is 1.

    Source: De Brabandere, Neven and Van Gool, "Semantic Instance Segmentation with a
      Discriminative Loss Function", 2017, eqs. 1 to 4, https://arxiv.org/abs/1708.02551
      (margins from memory of it). U3HS (Gasperini et al., 2023) embeds objects so;
      its own weights are not public.
    """
    who = "discriminative"
    checks.count(who, num_classes=num_classes)
    checks.non_negative(who, pull_margin=pull_margin, push_margin=push_margin)
    checks.non_negative(who, push_weight=push_weight, length_weight=length_weight)
    x, where = checked_rows(who, where, x=x)
    options = dict(where=where, axis_name=axis_name)
    counts, means = class_means(x, labels, num_classes=num_classes, **options)
    there = counts > 0
    members = one_hot(labels, num_classes, dtype=x.dtype)
    apart = length(x - pairwise_dot(members, means.T))
    pulls = members * jax.nn.relu(apart - pull_margin)[:, None] ** 2
    num_rows = masked_mean(members, **options)  # over the batch, as the next line's
    pull = masked_mean(pulls, **options) / jnp.where(there, num_rows, 1)
    pairs_there = there[:, None] & there[None] & ~jnp.eye(num_classes, dtype=bool)
    between = length(means[:, None] - means[None])
    pushes = jax.nn.relu(2 * push_margin - between) ** 2
    push = masked_mean(pushes.ravel(), where=pairs_there.ravel())
    lengths = masked_mean(length(means), where=there)
    pull = masked_mean(pull, where=there)
    return pull + push_weight * push + length_weight * lengths
