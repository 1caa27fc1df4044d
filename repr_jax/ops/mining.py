"""Miners: which other rows of a batch each row is compared with.

Common to all:
  x: [batch, dim] float; labels: [batch] int, equal for rows of one class.
  similarity: one of `ops.similarity`; of `distance_weighted` it is the cosine.
  memory: `ops.queue.Labeled` rows of earlier batches; of masks of pairs alone, whose
    columns are all rows of the batch and then those of memory.
  where: [batch] bool, False for absent rows; None if all are present.
  axis_name: the mapped axis the batch is split over; None if it is whole.
Each returns `Triplets`, without gradient, that any loss of triplets takes, or a mask of
pairs that losses of labels take as pair_where, or of triplets for `losses.triplet_all`:

    found = mining.hardest(x, labels)
    losses.triplet(x, x[found.positive], x[found.negative], where=found.where)
    losses.circle(x, labels, pair_where=mining.informative_pairs(x, labels))
    losses.triplet_all(x, labels, triplet_where=mining.margin_triplets(x, labels))

and raises ValueError for shapes that do not fit; TypeError for rows of integers, or
labels that are none. All pairs are compared at once.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, pairs
from repr_jax.ops import similarity as similarities
from repr_jax.ops.batch import checked_rows, gather_rows, row_keys
from repr_jax.ops.numerics import class_ids
from repr_jax.ops.pairs import Rows
from repr_jax.ops.queue import Labeled
from repr_jax.ops.similarity import Similarity, cosine


class Triplets(NamedTuple):
    """Of each row, two rows of the whole batch."""

    positive: Array  # [batch] int32
    negative: Array  # [batch] int32
    where: Array  # [batch] bool, has the row both?


def hardest(
    x: Array,
    labels: Array,
    *,
    similarity: Similarity = similarities.negative_squared_distance,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Triplets:
    """The least similar row of the class, the most similar one of another.

    Source: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person
      Re-Identification", 2017, "batch hard", https://arxiv.org/abs/1703.07737.
    """
    rows = labeled("hardest", x, labels, where, axis_name, similarity)
    return hardest_of(rows, gather_rows(rows, axis_name), similarity)


def easy_positive(
    x: Array,
    labels: Array,
    *,
    similarity: Similarity = similarities.negative_squared_distance,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Triplets:
    """The most similar row of the class, the most similar one of another.

    Source: Xuan, Stylianou and Pless, "Improved Embeddings with Easy Positive Triplet
      Mining", 2020, with hard negatives, https://arxiv.org/abs/1904.04370.
    """
    who = "easy_positive"
    rows, alike, same, other = _pairs(who, x, labels, where, axis_name, similarity)
    return _found(rows, _only(same, alike), _only(other, alike))


def easy_positive_semi_hard(
    x: Array,
    labels: Array,
    *,
    similarity: Similarity = similarities.negative_squared_distance,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Triplets:
    """`easy_positive`, its negative less similar than the positive.

    The most similar of these rows; where there is none the row does not count.

    Source: Xuan et al. 2020 (as `easy_positive`), with semi-hard negatives.
    """
    who = "easy_positive_semi_hard"
    rows, alike, same, other = _pairs(who, x, labels, where, axis_name, similarity)
    near = _only(same, alike)
    beyond = other & (alike < jnp.max(near, axis=1, keepdims=True))
    return _found(rows, near, _only(beyond, alike))


def distance_weighted(
    key: Array,
    x: Array,
    labels: Array,
    *,
    least: float = 0.5,
    most: float = 1.4,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Triplets:
    """Draws a row of the class, and a negative at any distance about as often.

    The positive is uniform; the negative has the weight 1 / q(max(d, least)) of its
    distance d < most on the unit sphere, where random rows of so many dimensions have
    the density q(d) = d^(dim - 2) (1 - d^2 / 4)^((dim - 3) / 2).

    Args:
      key: a PRNG key. least: > 0, most: in (least, 2), distances.

    Source: Wu et al., "Sampling Matters in Deep Embedding Learning", 2017,
      https://arxiv.org/abs/1706.07567. Numbers are those of the authors' code.
    """
    who = "distance_weighted"
    checks.positive(who, least=least, **{"most - least": most - least})
    checks.positive(who, **{"2 - most": 2 - most})
    rows, alike, same, other = _pairs(who, x, labels, where, axis_name, cosine)
    distance = jnp.sqrt(jnp.maximum(2 - 2 * alike, 0))
    kept = jnp.clip(distance, least, most)
    dim = rows.x.shape[1]
    log_q = (dim - 2) * jnp.log(kept) + (dim - 3) / 2 * jnp.log1p(-(kept**2) / 4)
    keys = row_keys(key, rows.where, axis_name)

    def draw(key):
        both = jax.random.split(key)
        return jax.vmap(lambda k: jax.random.gumbel(k, (alike.shape[1],)))(both)

    chance = jax.vmap(draw)(keys)  # [batch, 2, all rows]
    positive = _only(same, chance[:, 0])
    return _found(
        rows, positive, _only(other & (distance < most), chance[:, 1] - log_q)
    )


def informative_pairs(
    x: Array,
    labels: Array,
    *,
    margin: float | Array = 0.1,
    similarity: Similarity = cosine,
    memory: Labeled | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[batch, columns] bool: pairs that are harder than the hardest of the other kind.

    A positive counts if it is less similar than the most similar negative of the row
    plus the margin, a negative if it is more so than the least similar positive less
    the margin. A row without one kind has none of the other.

    Source: Wang et al., "Multi-Similarity Loss with General Pair Weighting for Deep
      Metric Learning", 2019, the mining, https://arxiv.org/abs/1904.06627.
    """
    who = "informative_pairs"
    _, alike, same, other = _pairs(who, x, labels, where, axis_name, similarity, memory)
    nearest = jnp.max(_only(other, alike), axis=1, keepdims=True)
    farthest = -jnp.max(_only(same, -alike), axis=1, keepdims=True)
    kept = same & ~(alike - margin >= nearest)  # a NaN counts
    return kept | other & ~(alike + margin <= farthest)


def margin_pairs(
    x: Array,
    labels: Array,
    *,
    positive_bound: float | Array,
    negative_bound: float | Array,
    similarity: Similarity = cosine,
    memory: Labeled | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[batch, columns] bool: positives less similar than a bound, negatives more so.

    Each kind has a bound of its own.
    """
    _, alike, same, other = _pairs(
        "margin_pairs", x, labels, where, axis_name, similarity, memory
    )
    kept = same & ~(alike >= positive_bound)  # a NaN counts
    return kept | other & ~(alike <= negative_bound)


def hardest_pairs(
    x: Array,
    labels: Array,
    *,
    fraction: float | Array = 0.5,
    similarity: Similarity = cosine,
    memory: Labeled | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[batch, columns] bool: the hardest share of all positives, and of all negatives.

    The least similar positives and the most similar negatives of the whole batch, as
    many as the fraction of their kind, rounded up; pairs as hard as the last one count.

    Args:
      fraction: in [0, 1].

    Source: Yuan, Yang and Zhang, "Hard-Aware Deeply Cascaded Embedding", 2017,
      https://arxiv.org/abs/1611.05720, where deeper networks take smaller shares.
    """
    who = "hardest_pairs"
    checks.fraction(who, fraction=fraction)
    rows, alike, same, other = _pairs(
        who, x, labels, where, axis_name, similarity, memory
    )

    def hardest(kind, scores):
        every = gather_rows(_only(rows.where[:, None] & kind, scores), axis_name)
        count = jnp.sum(every != -jnp.inf)
        num = jnp.ceil((1 - 1e-6) * fraction * count).astype(int)  # less its rounding
        last = jnp.sort(every.ravel(), descending=True)[jnp.maximum(num - 1, 0)]
        return kind & (num > 0) & ~(scores < last)  # a NaN counts

    return hardest(same, -alike) | hardest(other, alike)


def uniform_pairs(
    key: Array,
    x: Array,
    labels: Array,
    *,
    num_bins: int = 100,
    num_pairs: int = 10,
    similarity: Similarity = similarities.negative_distance,
    memory: Labeled | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[batch, columns] bool: drawn so that pairs of any similarity are about as many.

    The range of all positives is cut into num_bins of one width, and so is that of all
    negatives. Of each bin num_pairs are drawn, or all that it has.

    Args:
      key: a PRNG key. num_bins, num_pairs: >= 1.

    Source: the UniformHistogramMiner of pytorch-metric-learning, with its numbers; it
      draws with replacement, and its distance is of rows of unit length.
    """
    who = "uniform_pairs"
    checks.count(who, num_bins=num_bins, num_pairs=num_pairs)
    rows, alike, same, other = _pairs(
        who, x, labels, where, axis_name, similarity, memory
    )
    keys = row_keys(key, rows.where, axis_name)
    chance = jax.vmap(lambda k: jax.random.uniform(k, alike.shape[1:]))(keys)

    def drawn(kind):
        kind &= rows.where[:, None]
        scores, chances, kinds = gather_rows((alike, chance, kind), axis_name)
        known = kinds & ~jnp.isnan(scores)
        least = jnp.min(jnp.where(known, scores, jnp.inf))
        width = (jnp.max(jnp.where(known, scores, -jnp.inf)) - least) / num_bins

        def bins(scores, kind):
            place = jnp.floor((scores - least) / jnp.where(width > 0, width, 1))
            return jnp.where(kind, jnp.clip(place, 0, num_bins - 1), num_bins)

        place, chances = bins(scores, known).ravel(), chances.ravel()
        order = jnp.lexsort((-chances, place))
        names = jnp.arange(num_bins + 1, dtype=place.dtype)
        ends = jnp.searchsorted(place[order], names, side="right")
        starts = jnp.pad(ends[:-1], (1, 0))
        bound = chances[order][jnp.minimum(starts + num_pairs, ends) - 1]  # the last
        bound = bound[jnp.nan_to_num(bins(alike, kind)).astype(int)]
        return kind & ~((chance < bound) & ~jnp.isnan(alike))  # a NaN counts

    return drawn(same) | drawn(other)


def margin_triplets(
    x: Array,
    labels: Array,
    *,
    least: float | Array = -jnp.inf,
    most: float | Array = 0.2,
    similarity: Similarity = similarities.negative_squared_distance,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[batch, all rows, all rows] bool: triplets whose gap is in (least, most].

    The gap is how much the row is more similar to the positive than to the negative:
    most = 0.2 has all that violate this margin, most = 0 the hard ones, least = 0 and
    most = 0.2 the semi-hard ones, least = 0.2 and most = inf the easy ones.

    Source: Schroff, Kalenichenko and Philbin, "FaceNet: A Unified Embedding for Face
      Recognition and Clustering", 2015, section 3.2, https://arxiv.org/abs/1503.03832.
    """
    rows = labeled("margin_triplets", x, labels, where, axis_name, similarity)
    columns = gather_rows(rows, axis_name)
    alike, *_ = _compared(rows, columns, similarity)
    gap = alike[:, :, None] - alike[:, None]
    return triplets_of(rows, columns) & ~(gap <= least) & ~(gap > most)  # NaN counts


def angular_triplets(
    x: Array,
    labels: Array,
    *,
    angle: float | Array = math.pi / 9,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[batch, all rows, all rows] bool: triplets of a wide angle at the negative.

    atan(|a - p| / (2 |n - (a + p) / 2|)) > angle, of rows of unit length: the negative
    is near to the middle of the two.

    Args:
      angle: in (0, pi / 2), radians.

    Source: Wang et al., "Deep Metric Learning with Angular Loss", 2017, the angle of
      eq. 4, https://arxiv.org/abs/1708.01682. As a miner with this default it is of
      pytorch-metric-learning.
    """
    checks.positive("angular_triplets", angle=angle)
    rows = labeled("angular_triplets", x, labels, where, axis_name, cosine)
    columns = gather_rows(rows, axis_name)
    alike, *_ = _compared(rows, columns, cosine)
    every = lax.stop_gradient(cosine.of_pairs(columns.x, columns.x))
    apart = 2 - 2 * alike  # |a - p|^2, and |n - (a + p) / 2|^2:
    aside = (3 + alike[:, :, None]) / 2 - alike[:, None] - every[None]
    narrow = apart[:, :, None] <= 4 * jnp.tan(angle) ** 2 * aside
    return triplets_of(rows, columns) & ~narrow


def triplets_of(rows: Rows, columns: Rows) -> Array:
    """[n, m, m] bool: is the first a positive of the row, the second a negative?"""
    same, other = pairs.same_label(rows, columns), pairs.other_label(rows, columns)
    return rows.where[:, None, None] & same[:, :, None] & other[:, None]


def hardest_of(rows: Rows, columns: Rows, similarity: Similarity) -> Triplets:
    """`hardest` of rows that are labeled and prepared, among columns."""
    alike, same, other = _compared(rows, columns, similarity)
    return _found(rows, _only(same, -alike), _only(other, alike))


def labeled(
    who: str,
    x: Array,
    labels: Array,
    where: Array | None,
    axis_name: str | None,
    similarity: Similarity,
    pair_where: Array | None = None,
    memory: Labeled | None = None,
) -> Rows:
    """The arguments, checked and prepared, every row an example of its own."""
    x, where = checked_rows(who, where, x=x)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    index = pairs.row_index(where, axis_name)
    if pair_where is not None:
        shards = 1 if axis_name is None else lax.psum(1, axis_name)
        columns = shards * len(x) + (0 if memory is None else len(memory.where))
        checks.shape(who, (len(x), columns), pair_where=pair_where)
        checks.boolean(who, pair_where=pair_where)
    if memory is not None:
        memory = _remembered(who, memory, x.shape[1], similarity)
    label = class_ids(labels)
    return Rows(similarity.prepare(x), where, index, label, pair_where, memory)


def _remembered(who, memory, dim, similarity):
    """`Rows` of a memory, of no example of the batch, without gradient."""
    x, where = checked_rows(who, memory.where, memory=memory.rows)
    checks.shape(who, (len(where), dim), memory=x)
    checks.shape(who, where.shape, **{"labels of memory": memory.labels})
    checks.integers(who, **{"labels of memory": memory.labels})
    x = similarity.prepare(lax.stop_gradient(x))
    return Rows(x, where, -1 - pairs.row_index(where), class_ids(memory.labels))


def _pairs(who, x, labels, where, axis_name, similarity, memory=None):
    """`labeled` rows, and `_compared` of them with the whole batch, then memory."""
    rows = labeled(who, x, labels, where, axis_name, similarity, memory=memory)
    return rows, *_compared(rows, pairs.all_columns(rows, axis_name), similarity)


def _compared(rows, columns, similarity):
    """[batch, all rows] similarities; are the two of one label, of two?"""
    alike = lax.stop_gradient(similarity.of_pairs(rows.x, columns.x))
    return alike, pairs.same_label(rows, columns), pairs.other_label(rows, columns)


def _only(mask, scores):
    return jnp.where(mask, scores, -jnp.inf)


def _found(rows, positive, negative):
    """`Triplets` of the largest score of either, -inf being no candidate."""
    some = [jnp.any(scores != -jnp.inf, axis=1) for scores in (positive, negative)]
    places = (jnp.argmax(x, axis=1).astype(jnp.int32) for x in (positive, negative))
    return Triplets(*places, rows.where & some[0] & some[1])
