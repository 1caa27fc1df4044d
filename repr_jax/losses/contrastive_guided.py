"""Contrastive losses that doubt their negatives, or weigh queries by how hard they are.

Arguments and errors are those of `contrastive`.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.contrastive import check_options, cross_entropy, negative_logits
from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import checked_rows, masked_mean, present
from repr_jax.ops.numerics import to_float
from repr_jax.ops.pairs import Rows
from repr_jax.ops.similarity import cosine


def gist(
    queries: Array,
    keys: Array,
    guide_queries: Array,
    guide_keys: Array,
    *,
    negatives: Array | None = None,
    guide_negatives: Array | None = None,
    temperature: float | Array = 0.01,
    margin: float | Array = 0.0,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`info_nce` less the negatives that a guide finds more similar than the positive.

    mean_i log(1 + sum_c exp((s_c - s(q_i, k_i)) / temperature)) over the candidates c:
    the pairs (q_i, k_j), (q_i, q_j) and (k_i, k_j) of j != i, and (q_i, n_j) of all j;
    s the cosine. Left out are those whose guide similarity, of the same pair, is above
    that of the guide's (q_i, k_i) by more than -margin.

    Args:
      queries, keys: [batch, dim]; row i of both is a pair.
      guide_queries, guide_keys: [batch, guide dim] float, any scale, of the same inputs
        by a frozen model; without gradient.
      negatives, guide_negatives: [batch, dim] and [batch, guide dim], a hard negative
        of each pair, a candidate of all; None for none.
      margin: an absolute cosine; the larger, the more negatives are left out.

    Source: Solatorio, "GISTEmbed: Guided In-sample Selection of Training Negatives for
      Text Embedding Fine-tuning", 2024, https://arxiv.org/abs/2402.16829;
      margin as in sentence-transformers. A row is never its own negative here; the
      codes rely on the guide for that, and fail where its query and key are equal.
    """
    who = "gist"
    check_options(who, temperature, chunk_size, axis_name, ring)
    queries, keys, where = checked_rows(who, where, queries=queries, keys=keys)
    guide = dict(guide_queries=guide_queries, guide_keys=guide_keys)
    checks.rows(who, len(queries), **guide)
    guide = lax.stop_gradient(checked_rows(who, where, **guide)[:2])
    q, k, guide_q, guide_k = (cosine.prepare(x) for x in (queries, keys, *guide))
    threshold = cosine.of_rows(guide_q, guide_k) - margin
    index = pairs.row_index(where, axis_name)
    asking, answers = (q, guide_q), (k, guide_k)
    blocks = [(asking, answers, index), (asking, asking, index)]
    blocks.append((answers, answers, index))
    if negatives is not None:
        hard = _hard_negatives(who, queries, guide_q, where, negatives, guide_negatives)
        blocks.append((asking, hard, -1 - index))  # of no pair
    positives = cosine.of_rows(q, k) / temperature
    log_negatives = [
        pairs.log_sum_exp(
            _guided_logits,
            Rows((*rows, threshold), where, index),
            Rows(columns, where, column_index),
            temperature,
            chunk_size=chunk_size,
            axis_name=axis_name,
            ring=ring,
        )
        for rows, columns, column_index in blocks
    ]
    more_alike = jnp.stack(log_negatives) - positives[None]
    candidates = jnp.pad(more_alike, [(1, 0), (0, 0)])  # the positive, 0, above
    terms = jax.nn.logsumexp(candidates, axis=0)
    return masked_mean(terms, where=where, axis_name=axis_name)


def _guided_logits(rows, columns, temperature):
    """-inf within a pair, and where the guide's similarity is above the threshold."""
    x, guide, threshold = rows.x
    logits = cosine.of_pairs(x, columns.x[0]) / temperature
    excess = cosine.of_pairs(guide, columns.x[1]) - threshold[:, None]
    logits = jnp.where(jnp.isnan(excess), excess, logits)
    kept = pairs.others(rows, columns) & ~(excess > 0)
    return jnp.where(kept, logits, -jnp.inf)


def _hard_negatives(who, queries, guide, where, negatives, guide_negatives):
    """Both checked and prepared."""
    if guide_negatives is None:
        raise ValueError(f"{who}: expected guide_negatives with negatives; got None.")
    negatives, _ = checked_rows(who, where, negatives=negatives)
    guide_negatives, _ = checked_rows(who, where, guide_negatives=guide_negatives)
    checks.shape(who, queries.shape, negatives=negatives)
    checks.shape(who, guide.shape, guide_negatives=guide_negatives)
    guide_negatives = lax.stop_gradient(cosine.prepare(guide_negatives))
    return cosine.prepare(negatives), guide_negatives


def focal_info_nce(
    queries: Array,
    keys: Array,
    negatives: Array | None = None,
    *,
    gamma: float | Array = 0.5,
    temperature: float | Array = 0.01,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`info_nce` with hard negatives, in which queries that find their key weigh less.

    -mean_i (1 - p_i)^gamma log p_i, p_i the probability of the key of query i among all
    keys and the hard negatives of all rows, by cosine / temperature. The weight has no
    gradient. gamma = 0 without negatives is `info_nce`.

    Args:
      queries, keys: [batch, dim].
      negatives: [batch, num, dim] float, at least one of each row, such as those of
        `ops.mixing`; candidates of every query. None for none.
      gamma: >= 0.

    Source: Zhao et al., "KaLM-Embedding-V2: Superior Training Techniques and Data
      Inspire A Versatile Embedding Model", 2025, https://arxiv.org/abs/2506.20923. The
      weight has the form of the focal loss, and its gamma is our choice.
    """
    who = "focal_info_nce"
    check_options(who, temperature, chunk_size, axis_name, ring)
    checks.non_negative(who, gamma=gamma)
    queries, keys, where = checked_rows(who, where, queries=queries, keys=keys)
    q, k = cosine.prepare(queries), cosine.prepare(keys)
    index = pairs.row_index(where, axis_name)
    columns = Rows(k, where, index)
    if negatives is not None:
        batch, dim = queries.shape
        checks.floating(who, negatives=negatives)
        checks.shape(who, (batch, *jnp.shape(negatives)[1:2], dim), negatives=negatives)
        num = jnp.shape(negatives)[1]
        hard = present(to_float(negatives), where).reshape(-1, dim)
        columns = Rows(
            jnp.concatenate([k, cosine.prepare(hard)]),
            jnp.concatenate([where, jnp.repeat(where, num)]),
            jnp.concatenate([index, jnp.repeat(-1 - index, num)]),  # of no pair
        )
    log_negatives = pairs.log_sum_exp(
        negative_logits(cosine),
        Rows(q, where, index),
        columns,
        temperature,
        chunk_size=chunk_size,
        axis_name=axis_name,
        ring=ring,
    )
    terms = cross_entropy(cosine.of_rows(q, k) / temperature, log_negatives)
    weights = lax.stop_gradient(-jnp.expm1(-terms)) ** gamma
    return masked_mean(weights * terms, where=where, axis_name=axis_name)
