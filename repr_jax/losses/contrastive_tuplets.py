"""Losses of metric learning in which a pair meets many negatives, or a boundary.

Arguments and errors are those of `contrastive_labels`, and without labels those of
`contrastive`.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.losses.contrastive import check_options, cross_entropy
from repr_jax.ops import checks, pairs
from repr_jax.ops import similarity as similarities
from repr_jax.ops.batch import checked_rows, gather_rows, masked_mean
from repr_jax.ops.mining import labeled
from repr_jax.ops.numerics import length
from repr_jax.ops.similarity import Similarity, cosine, negative_squared_distance


def nca(
    x: Array,
    labels: Array,
    *,
    similarity: Similarity = similarities.negative_squared_distance,
    temperature: float | Array = 1.0,
    chunk_size: int | None = None,
    ring: bool = False,
    pair_where: Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Neighborhood components: a random neighbor is to be of the class of the row.

    -mean_i log [ sum_p exp(s_ip / temperature) / sum_{j != i} exp(s_ij / temperature)
    ], s the similarity, p the other rows with the label of i. Rows without such p do
    not count. With one p each it is `sup_con` of that similarity.

    Source: Goldberger et al., "Neighbourhood Components Analysis", 2004,
      https://papers.nips.cc/paper/2566-neighbourhood-components-analysis, the form
      with a logarithm, of x as a network makes it.
    """
    check_options("nca", temperature, chunk_size, axis_name, ring, pair_where)
    rows = labeled("nca", x, labels, where, axis_name, similarity, pair_where)

    def of(kind):
        def score(rows, columns, temperature):
            logits = similarity.of_pairs(rows.x, columns.x) / temperature
            return jnp.where(kind(rows, columns), logits, -jnp.inf)

        return score

    same, other = (
        pairs.log_sum_exp(
            of(kind),
            rows,
            rows,
            temperature,
            chunk_size=chunk_size,
            axis_name=axis_name,
            ring=ring,
        )
        for kind in (pairs.same_label, pairs.other_label)
    )
    some = same != -jnp.inf
    terms = cross_entropy(jnp.where(some, same, 0), other)
    return masked_mean(terms, where=rows.where & some, axis_name=axis_name)


def lifted_structure(
    x: Array,
    labels: Array,
    *,
    margin: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Each pair of a class is nearer than the negatives of both, as a soft minimum.

    mean_ij max(0, d_ij + log [ sum_n exp(margin - d_in) + sum_m exp(margin - d_jm) ])^2
    / 2 over the pairs i != j of one label, n and m the rows with another; d the
    distance. Pairs without negatives do not count. Compares all pairs at once.

    Args:
      margin: >= 0. The paper writes alpha.

    Source: Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding",
      2016, the smooth upper bound, https://arxiv.org/abs/1511.06452.
    """
    who = "lifted_structure"
    checks.non_negative(who, margin=margin)
    rows = labeled(who, x, labels, where, axis_name, negative_squared_distance)
    columns = gather_rows(rows, axis_name)
    squares = -negative_squared_distance.of_pairs(rows.x, columns.x)
    apart = jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))
    far, some = _log_sum(margin - apart, pairs.other_label(rows, columns))
    both = jnp.logaddexp(far[:, None], gather_rows(far, axis_name)[None])
    terms = jax.nn.relu(both + apart) ** 2 / 2
    counted = rows.where[:, None] & pairs.same_label(rows, columns) & some[:, None]
    return masked_mean(terms.ravel(), where=counted.ravel(), axis_name=axis_name)


def angular(
    x: Array,
    labels: Array,
    *,
    angle: float | Array = math.pi / 4,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """The angle at the negative of each triangle with a pair is bounded from above.

    mean_ip log(1 + sum_n exp(4 t (x_i + x_p) . x_n - 2 (1 + t) x_i . x_p)) over the
    pairs i != p of one label, n the rows with another; t = tan^2 angle, x of unit
    length. Pairs without negatives do not count. Holds a number for every triple.

    Args:
      angle: in (0, pi / 2), radians. The paper writes alpha.

    Source: Wang et al., "Deep Metric Learning with Angular Loss", 2017,
      https://arxiv.org/abs/1708.01682, with all negatives of the batch.
    """
    checks.positive("angular", angle=angle)
    rows = labeled("angular", x, labels, where, axis_name, cosine)
    columns = gather_rows(rows, axis_name)
    tangent = jnp.tan(angle) ** 2
    own = cosine.of_pairs(rows.x, columns.x)  # [rows, all rows]
    every = cosine.of_pairs(columns.x, columns.x)
    logits = 4 * tangent * (own[:, None] + every[None])
    logits -= 2 * (1 + tangent) * own[:, :, None]  # [rows, positives, negatives]
    negative = pairs.other_label(rows, columns)
    far, some = _log_sum(logits, negative[:, None])
    counted = rows.where[:, None] & pairs.same_label(rows, columns) & some
    terms = jax.nn.softplus(far)
    return masked_mean(terms.ravel(), where=counted.ravel(), axis_name=axis_name)


def distance_margin(
    anchors: Array,
    positives: Array,
    negatives: Array,
    *,
    boundary: float | Array = 1.2,
    margin: float | Array = 0.2,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Positives lie within a boundary around their anchor, negatives beyond it.

    sum_i [ max(0, d(a_i, p_i) - boundary + margin) + max(0, boundary - d(a_i, n_i) +
    margin) ] over the number of terms that are above 0; d the distance.

    Args:
      anchors, positives, negatives: [batch, dim]; the paper's have unit length, and
        negatives are drawn by `ops.mining.distance_weighted`.
      boundary: a float, or [batch] of the anchors, learned. The paper writes beta.
      margin: >= 0. The paper writes alpha.

    Source: Wu et al., "Sampling Matters in Deep Embedding Learning", 2017,
      https://arxiv.org/abs/1706.07567, without the regularizer of the boundary.
    """
    who = "distance_margin"
    checks.non_negative(who, margin=margin)
    anchors, positives, negatives, where = checked_rows(
        who, where, anchors=anchors, positives=positives, negatives=negatives
    )
    near, far = length(anchors - positives), length(anchors - negatives)
    gaps = jnp.concatenate([near - boundary + margin, boundary - far + margin])
    counted = jnp.tile(where, 2) & ~(gaps <= 0)  # a NaN counts
    return masked_mean(gaps, where=counted, axis_name=axis_name)


def _log_sum(logits, where):
    """log sum exp over the marked entries of the last axis, 0 of none; is there one?"""
    some = jnp.any(where, axis=-1)
    kept = jnp.where(where | ~some[..., None], logits, -jnp.inf)
    return jnp.where(some, jax.nn.logsumexp(kept, axis=-1), 0), some
