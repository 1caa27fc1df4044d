"""Losses of metric learning in which a pair meets many negatives, or a boundary.

Arguments and errors are those of `contrastive_labels`, and without labels those of
`contrastive`.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.losses.contrastive import check_options, cross_entropy
from repr_jax.ops import checks, margins, pairs
from repr_jax.ops import similarity as similarities
from repr_jax.ops.batch import checked_rows, gather_rows, masked_mean
from repr_jax.ops.mining import labeled
from repr_jax.ops.numerics import length
from repr_jax.ops.queue import Labeled
from repr_jax.ops.similarity import Similarity, cosine, negative_distance


def nca(
    x: Array,
    labels: Array,
    *,
    similarity: Similarity = similarities.negative_squared_distance,
    temperature: float | Array = 1.0,
    chunk_size: int | None = None,
    ring: bool = False,
    pair_where: Array | None = None,
    memory: Labeled | None = None,
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
    check_options("nca", temperature, chunk_size, axis_name, ring, pair_where, memory)
    rows = labeled("nca", x, labels, where, axis_name, similarity, pair_where, memory)

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
    rows = labeled(who, x, labels, where, axis_name, negative_distance)
    s, same, other = _of_pairs(rows, axis_name, negative_distance)
    far, some = _log_sum(margin + s, other)
    both = jnp.logaddexp(far[:, None], gather_rows(far, axis_name)[None])
    terms = jax.nn.relu(both - s) ** 2 / 2
    counted = same & some[:, None]
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


def generalized_lifted(
    x: Array,
    labels: Array,
    *,
    similarity: Similarity = negative_distance,
    margin: float | Array = 1.0,
    chunk_size: int | None = None,
    ring: bool = False,
    pair_where: Array | None = None,
    memory: Labeled | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """The soft maximum of the distances of a class is below the soft minimum of others.

    mean_i max(0, log sum_p exp(d_ip) + log sum_n exp(margin - d_in)), p the other rows
    with the label of i, n those with another; d = -similarity. Rows that lack p or n do
    not count.

    Args:
      margin: >= 0.

    Source: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person
      Re-Identification", 2017, the generalization of the lifted embedding loss,
      https://arxiv.org/abs/1703.07737.
    """
    who = "generalized_lifted"
    checks.non_negative(who, margin=margin)
    pairs.check(who, chunk_size, axis_name, ring, pair_where, memory)
    rows = labeled(who, x, labels, where, axis_name, similarity, pair_where, memory)

    def apart(rows, columns, _):
        logits = -similarity.of_pairs(rows.x, columns.x)
        return jnp.where(pairs.same_label(rows, columns), logits, -jnp.inf)

    def close(rows, columns, margin):
        logits = margin + similarity.of_pairs(rows.x, columns.x)
        return jnp.where(pairs.other_label(rows, columns), logits, -jnp.inf)

    options = dict(chunk_size=chunk_size, axis_name=axis_name, ring=ring)
    widest, nearest = (
        pairs.log_sum_exp(score, rows, rows, margin, **options)
        for score in (apart, close)
    )
    counted = rows.where & (widest != -jnp.inf) & (nearest != -jnp.inf)
    terms = jax.nn.relu(widest + nearest)
    return masked_mean(terms, where=counted, axis_name=axis_name)


def tuplet_margin(
    x: Array,
    labels: Array,
    *,
    margin: float | Array = 0.1,
    scale: float | Array = 64.0,
    pair_where: Array | None = None,
    memory: Labeled | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Softmax of each pair of a class among the negatives of the row, with some slack.

    mean_ip log(1 + sum_n exp(scale (cos a_in - cos(a_ip - margin)))) over the pairs i
    != p of one label, n the rows with another; a the angle. Pairs without negatives do
    not count. The paper adds `intra_pair_variance`. Compares all pairs at once.

    Args:
      margin: >= 0, radians, by which a positive may be farther: easy and wrong pairs
        weigh less. The paper writes beta, 5.73 degrees.
      scale: > 0. The paper writes s.

    Source: Yu and Tao, "Deep Metric Learning with Tuplet Margin Loss", 2019,
      http://openaccess.thecvf.com/content_ICCV_2019/html/
      Yu_Deep_Metric_Learning_With_Tuplet_Margin_Loss_ICCV_2019_paper.html. There
      one negative of each other class.
    """
    checks.non_negative("tuplet_margin", margin=margin)
    checks.positive("tuplet_margin", scale=scale)
    rows = labeled(
        "tuplet_margin", x, labels, where, axis_name, cosine, pair_where, memory
    )
    cosines, same, other = _of_pairs(rows, axis_name, cosine)
    far, some = _log_sum(scale * cosines, other)
    terms = jax.nn.softplus(far[:, None] - scale * margins.turned(cosines, -margin))
    counted = same & some[:, None]
    return masked_mean(terms.ravel(), where=counted.ravel(), axis_name=axis_name)


def intra_pair_variance(
    x: Array,
    labels: Array,
    *,
    positive_slack: float | Array = 0.01,
    negative_slack: float | Array = 0.01,
    pair_where: Array | None = None,
    memory: Labeled | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Similarities of pairs of a kind are near to their mean, or better than it.

    mean_ip max(0, (1 - positive_slack) m_p - s_ip)^2 + mean_in max(0, s_in - (1 +
    negative_slack) m_n)^2 over the pairs of one label, and those of two; s the cosine,
    m_p and m_n its means over either kind, with gradient. Compares all pairs at once.

    Args:
      positive_slack, negative_slack: >= 0. The paper writes epsilon.

    Source: Yu and Tao 2019 (as `tuplet_margin`), intra-pair variance.
    """
    who = "intra_pair_variance"
    slack = dict(positive_slack=positive_slack, negative_slack=negative_slack)
    checks.non_negative(who, **slack)
    rows = labeled(who, x, labels, where, axis_name, cosine, pair_where, memory)
    s, same, other = _of_pairs(rows, axis_name, cosine)

    def mean(values, kind):
        return masked_mean(values, where=kind, axis_name=axis_name)

    low = jax.nn.relu((1 - positive_slack) * mean(s, same) - s)
    high = jax.nn.relu(s - (1 + negative_slack) * mean(s, other))
    return mean(low**2, same) + mean(high**2, other)


def pair_hinge(
    x: Array,
    labels: Array,
    *,
    similarity: Similarity = cosine,
    positive_bound: float | Array = 0.9,
    negative_bound: float | Array = 0.5,
    positive_weight: float | Array = 1.0,
    negative_weight: float | Array = 1.0,
    pair_where: Array | None = None,
    memory: Labeled | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Positives are more similar than a bound, negatives less so than another one.

    positive_weight mean_ip max(0, positive_bound - s_ip) + negative_weight mean_in
    max(0, s_in - negative_bound), each mean over the pairs of its kind that are above
    0. The bounds are one threshold for all classes. Compares all pairs at once.

    Args:
      positive_bound, negative_bound: similarities.
      positive_weight, negative_weight: >= 0.

    Source: Zhang et al., "Threshold-Consistent Margin Loss for Open-World Deep Metric
      Learning", 2024, https://arxiv.org/abs/2307.04047, added there to another loss.
      With `ops.similarity.signal_to_noise` and the bounds 0 and -1 it is the
      contrastive loss of Yuan et al. 2019, named there.
    """
    who = "pair_hinge"
    weights = dict(positive_weight=positive_weight, negative_weight=negative_weight)
    checks.non_negative(who, **weights)
    rows = labeled(who, x, labels, where, axis_name, similarity, pair_where, memory)
    s, same, other = _of_pairs(rows, axis_name, similarity)

    def mean(gaps, kind):
        counted = kind & ~(gaps <= 0)  # a NaN counts
        return masked_mean(gaps, where=counted, axis_name=axis_name)

    near, far = mean(positive_bound - s, same), mean(s - negative_bound, other)
    return positive_weight * near + negative_weight * far


def _of_pairs(rows, axis_name, similarity):
    """[rows, columns] similarities; are the two present and of one label, of two?"""
    columns = pairs.all_columns(rows, axis_name)
    kinds = pairs.same_label(rows, columns), pairs.other_label(rows, columns)
    s = similarity.of_pairs(rows.x, columns.x)
    return s, *(rows.where[:, None] & kind for kind in kinds)


def _log_sum(logits, where):
    """log sum exp over the marked entries of the last axis, 0 of none; is there one?"""
    some = jnp.any(where, axis=-1)
    kept = jnp.where(where | ~some[..., None], logits, -jnp.inf)
    return jnp.where(some, jax.nn.logsumexp(kept, axis=-1), 0), some
