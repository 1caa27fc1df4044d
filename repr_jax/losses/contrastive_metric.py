"""Losses of metric learning: pairs and triplets of a batch, weighed by how hard.

Arguments and errors are those of `contrastive_labels`, and without labels those of
`contrastive`.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import (
    checked_rows,
    checked_where,
    masked_mean,
    num_present,
)
from repr_jax.ops.mining import labeled
from repr_jax.ops.numerics import l2_normalize, length, pairwise_dot, root, to_float
from repr_jax.ops.pairs import Rows
from repr_jax.ops.queue import Labeled
from repr_jax.ops.similarity import cosine, negative_squared_distance


def contrastive_margin(
    x: Array,
    labels: Array,
    *,
    margin: float | Array = 1.0,
    chunk_size: int | None = None,
    ring: bool = False,
    pair_where: Array | None = None,
    memory: Labeled | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Pairs of a class are drawn together, others pushed apart as far as a margin.

    mean_{i != j} [ d_ij^2 if of one label, else max(0, margin - d_ij)^2 ], d_ij = |x_i
    - x_j|. No unit of information.

    Args:
      margin: >= 0. The paper writes m.

    Source: Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an
      Invariant Mapping", 2006, eq. 4, http://yann.lecun.com/exdb/publis/pdf/
      hadsell-chopra-lecun-06.pdf. There each term is halved.
    """
    who = "contrastive_margin"
    checks.non_negative(who, margin=margin)
    pairs.check(who, chunk_size, axis_name, ring, pair_where, memory)
    rows = labeled(
        who, x, labels, where, axis_name, negative_squared_distance, pair_where, memory
    )

    def terms(rows, columns, margin):
        squares = -negative_squared_distance.of_pairs(rows.x, columns.x)
        pushes = jax.nn.relu(margin - root(squares)) ** 2
        pushes = jnp.where(pairs.other_label(rows, columns), pushes, 0)
        return jnp.where(pairs.same_label(rows, columns), squares, pushes)

    total = pairs.total(
        terms,
        rows,
        rows,
        margin,
        chunk_size=chunk_size,
        axis_name=axis_name,
        ring=ring,
    )
    others = num_present(rows.where, axis_name) - 1
    if pair_where is not None or memory is not None:
        columns = pairs.all_columns(rows, axis_name)
        others = jnp.sum(pairs.others(rows, columns), axis=1)
        others = masked_mean(others, where=rows.where, axis_name=axis_name)
    mean = masked_mean(total, where=rows.where, axis_name=axis_name)
    return mean / jnp.where(others > 0, others, 1)


def multi_similarity(
    x: Array,
    labels: Array,
    *,
    positive_sharpness: float | Array = 2.0,
    negative_sharpness: float | Array = 50.0,
    base: float | Array = 0.5,
    chunk_size: int | None = None,
    ring: bool = False,
    pair_where: Array | None = None,
    memory: Labeled | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Every row weighs its pairs by their own similarity and by that of its other ones.

    mean_i [ log(1 + sum_p exp(-a (s_ip - base))) / a + log(1 + sum_n exp(b (s_in -
    base))) / b ], s the cosine, p the other rows with the label of i, n those with
    another, a and b the two sharpnesses. A row without p or n adds 0 there.

    Args:
      positive_sharpness, negative_sharpness: > 0. The paper writes alpha and beta.
      base: a cosine, beyond which pairs count. The paper writes lambda, and takes 1.

    Source: Wang et al., "Multi-Similarity Loss with General Pair Weighting for Deep
      Metric Learning", 2019, eq. 15, https://arxiv.org/abs/1904.06627, over all pairs:
      the paper first mines some, `ops.mining.informative_pairs`. Defaults of
      pytorch-metric-learning.
    """
    who = "multi_similarity"
    sharpness = dict(
        positive_sharpness=positive_sharpness, negative_sharpness=negative_sharpness
    )
    checks.positive(who, **sharpness)
    pairs.check(who, chunk_size, axis_name, ring, pair_where, memory)
    rows = labeled(who, x, labels, where, axis_name, cosine, pair_where, memory)
    terms = 0.0
    for score, sharp in ((below, positive_sharpness), (above, negative_sharpness)):
        log_sum = pairs.log_sum_exp(
            score,
            rows,
            rows,
            (sharp, base),
            chunk_size=chunk_size,
            axis_name=axis_name,
            ring=ring,
        )
        terms += jax.nn.softplus(log_sum) / sharp
    return masked_mean(terms, where=rows.where, axis_name=axis_name)


def below(rows: Rows, columns: Rows, params: tuple) -> Array:
    """sharpness (base - cosine) of pairs of a class, -inf of others, as a score."""
    sharpness, base = params
    logits = sharpness * (base - cosine.of_pairs(rows.x, columns.x))
    return jnp.where(pairs.same_label(rows, columns), logits, -jnp.inf)


def above(rows: Rows, columns: Rows, params: tuple) -> Array:
    """sharpness (cosine - base) of pairs of two classes, -inf of others, as a score."""
    sharpness, base = params
    logits = sharpness * (cosine.of_pairs(rows.x, columns.x) - base)
    return jnp.where(pairs.other_label(rows, columns), logits, -jnp.inf)


def circle(
    x: Array,
    labels: Array,
    *,
    margin: float | Array = 0.4,
    scale: float | Array = 80.0,
    chunk_size: int | None = None,
    ring: bool = False,
    pair_where: Array | None = None,
    memory: Labeled | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Each similarity is moved the more, the farther it is from its optimum.

    mean_i log(1 + sum_n exp(scale w_n (s_in - margin)) sum_p exp(-scale w_p (s_ip - 1 +
    margin))), w_n = max(0, s_in + margin) and w_p = max(0, 1 + margin - s_ip), without
    gradient; s the cosine, p the other rows with the label of i, n those with another.
    Rows that lack p or n do not count.

    Args:
      margin: >= 0. The paper writes m; 0.25 for faces, 0.4 for retrieval.
      scale: > 0. The paper writes gamma; 256 for faces, 80 for retrieval.

    Source: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity
      Optimization", 2020, eqs. 4 to 6 and 8, https://arxiv.org/abs/2002.10857.
    """
    checks.non_negative("circle", margin=margin)
    checks.positive("circle", scale=scale)
    pairs.check("circle", chunk_size, axis_name, ring, pair_where, memory)
    rows = labeled("circle", x, labels, where, axis_name, cosine, pair_where, memory)

    def near(rows, columns, params):
        margin, scale = params
        s = cosine.of_pairs(rows.x, columns.x)
        weight = lax.stop_gradient(jax.nn.relu(1 + margin - s))
        logits = -scale * weight * (s - 1 + margin)
        return jnp.where(pairs.same_label(rows, columns), logits, -jnp.inf)

    def far(rows, columns, params):
        margin, scale = params
        s = cosine.of_pairs(rows.x, columns.x)
        weight = lax.stop_gradient(jax.nn.relu(s + margin))
        logits = scale * weight * (s - margin)
        return jnp.where(pairs.other_label(rows, columns), logits, -jnp.inf)

    positive, negative = (
        pairs.log_sum_exp(
            score,
            rows,
            rows,
            (margin, scale),
            chunk_size=chunk_size,
            axis_name=axis_name,
            ring=ring,
        )
        for score in (near, far)
    )
    counted = rows.where & (positive != -jnp.inf) & (negative != -jnp.inf)
    terms = jax.nn.softplus(positive + negative)
    return masked_mean(terms, where=counted, axis_name=axis_name)


def triplet_ratio(
    anchors: Array,
    positives: Array,
    negatives: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How much of a softmax of the two distances of a triplet is the positive's.

    2 mean_i sigmoid(|a_i - p_i| - |a_i - n_i|)^2, which is the squared distance of the
    softmax of the two to (0, 1). In [0, 2]; 0.5 if they are equally far.

    Args:
      anchors, positives, negatives: [batch, dim].

    Source: Hoffer and Ailon, "Deep Metric Learning Using Triplet Network", 2015,
      https://arxiv.org/abs/1412.6622. The authors' code averages the two
      equal squares, which is half of it.
    """
    anchors, positives, negatives, where = checked_rows(
        "triplet_ratio",
        where,
        anchors=anchors,
        positives=positives,
        negatives=negatives,
    )
    near, far = length(anchors - positives), length(anchors - negatives)
    terms = 2 * jax.nn.sigmoid(near - far) ** 2
    return masked_mean(terms, where=where, axis_name=axis_name)


def local_triplet(
    queries: Array,
    positives: Array,
    negatives: Array,
    attention: Array,
    *,
    margin: float | Array = 0.1,
    ratio: float = 0.9,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`triplet` of the local descriptors that a query and its positive have in common.

    mean_i sum_{(q, p) matched} max(0, |q - p|^2 - |q - n|^2 + margin), n the negative
    descriptor nearest to q, all of unit length; 0 of a triplet without a match.

    A match is of mutual nearest descriptors, of which no other query is nearer to p
    than |q - p| / ratio, and p has an attention among the higher half: at least the one
    of rank num // 2, from 0, in ascending order. Matches have no gradient.

    Args:
      queries, positives: [batch, num, dim] float, descriptors of two images of one
        class, at least two each, any scale.
      negatives: [batch, other num, dim] float, of an image, or of several.
      attention: [batch, num] float, of the positives; in the paper the L1 norm of the
        descriptor.
      margin: >= 0. ratio: in (0, 1].
      where: [batch] bool, False for absent triplets; None if all are present.

    Source: Zhu et al., "Coarse-to-Fine: Learning Compact Discriminative Representation
      for Single-Stage Image Retrieval", 2023, https://arxiv.org/abs/2308.04008, as in
      the authors' code, where it is weighted by 0.05.
    """
    who = "local_triplet"
    checks.non_negative(who, margin=margin)
    checks.fraction(who, ratio=ratio)
    queries, positives, where = checked_rows(
        who, where, rank=3, queries=queries, positives=positives
    )
    batch, num, dim = queries.shape
    checks.count(who, minimum=2, descriptors=num)
    checks.floating(who, negatives=negatives, attention=attention)
    checks.shape(who, (batch, num), attention=attention)
    checks.shape(who, (batch, *jnp.shape(negatives)[1:2], dim), negatives=negatives)
    checked_where(who, where, (batch,))

    def of_triplet(queries, positives, negatives, attention):
        q, p, n = (l2_normalize(x) for x in (queries, positives, negatives))
        matched, nearest = _matches(q, p, attention, ratio)
        q = q[nearest]  # [num, dim], of each positive
        n = n[jnp.argmax(lax.stop_gradient(pairwise_dot(q, n)), axis=1)]
        gap = jnp.sum((q - p) ** 2, axis=1) - jnp.sum((q - n) ** 2, axis=1)
        unknown = jnp.isnan(gap) | jnp.isnan(attention)
        terms = jnp.where(matched, jax.nn.relu(gap + margin), 0)
        return jnp.sum(jnp.where(unknown, jnp.nan, terms))

    absent = (jnp.where(where[:, None], to_float(attention), 0),)
    negatives = jnp.where(where[:, None, None], to_float(negatives), 0)
    terms = jax.vmap(of_triplet)(queries, positives, negatives, *absent)
    return masked_mean(terms, where=where, axis_name=axis_name)


def _matches(queries, positives, attention, ratio):
    """[num] bool, is the positive matched; [num] int, its nearest query."""
    closeness = lax.stop_gradient(pairwise_dot(positives, queries))
    best, nearest = lax.top_k(closeness, 2)
    first, second = jnp.moveaxis(jnp.sqrt(jnp.maximum(2 - 2 * best, 0)), 1, 0)
    back = jnp.argmax(closeness, axis=0)[nearest[:, 0]]
    num = len(attention)
    high = attention >= jnp.sort(attention)[num // 2]
    mutual = back == jnp.arange(num)
    return mutual & (first <= ratio * second) & high, nearest[:, 0]
