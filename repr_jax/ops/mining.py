"""Miners: which other rows of a batch each row is compared with.

Common to all:
  x: [batch, dim] float; labels: [batch] int, equal for rows of one class.
  similarity: one of `ops.similarity`; of `distance_weighted` it is the cosine.
  where: [batch] bool, False for absent rows; None if all are present.
  axis_name: the mapped axis the batch is split over; None if it is whole.
Each returns `Triplets`, without gradient, that any loss of triplets takes, or a mask of
pairs that losses of labels take as pair_where:

    found = mining.hardest(x, labels)
    losses.triplet(x, x[found.positive], x[found.negative], where=found.where)
    losses.circle(x, labels, pair_where=mining.informative_pairs(x, labels))

and raises ValueError for shapes that do not fit; TypeError for rows of integers, or
labels that are none. All pairs are compared at once.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, pairs
from repr_jax.ops import similarity as similarities
from repr_jax.ops.batch import checked_rows, gather_rows, row_keys
from repr_jax.ops.numerics import class_ids
from repr_jax.ops.pairs import Rows
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
    rows = labeled("easy_positive", x, labels, where, axis_name, similarity)
    alike, same, other = _compared(rows, gather_rows(rows, axis_name), similarity)
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
    rows = labeled(who, x, labels, where, axis_name, similarity)
    alike, same, other = _compared(rows, gather_rows(rows, axis_name), similarity)
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
    rows = labeled(who, x, labels, where, axis_name, cosine)
    columns = gather_rows(rows, axis_name)
    alike, same, other = _compared(rows, columns, cosine)
    distance = jnp.sqrt(jnp.maximum(2 - 2 * alike, 0))
    kept = jnp.clip(distance, least, most)
    dim = rows.x.shape[1]
    log_q = (dim - 2) * jnp.log(kept) + (dim - 3) / 2 * jnp.log1p(-(kept**2) / 4)
    keys = row_keys(key, rows.where, axis_name)

    def draw(key):
        both = jax.random.split(key)
        return jax.vmap(lambda k: jax.random.gumbel(k, (len(columns.where),)))(both)

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
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[batch, all rows] bool: pairs that are harder than the hardest of the other kind.

    A positive counts if it is less similar than the most similar negative of the row
    plus the margin, a negative if it is more so than the least similar positive less
    the margin. A row without one kind has none of the other.

    Source: Wang et al., "Multi-Similarity Loss with General Pair Weighting for Deep
      Metric Learning", 2019, the mining, https://arxiv.org/abs/1904.06627.
    """
    who = "informative_pairs"
    rows = labeled(who, x, labels, where, axis_name, similarity)
    alike, same, other = _compared(rows, gather_rows(rows, axis_name), similarity)
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
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[batch, all rows] bool: positives less similar than a bound, negatives more so.

    Each kind has a bound of its own.
    """
    rows = labeled("margin_pairs", x, labels, where, axis_name, similarity)
    alike, same, other = _compared(rows, gather_rows(rows, axis_name), similarity)
    kept = same & ~(alike >= positive_bound)  # a NaN counts
    return kept | other & ~(alike <= negative_bound)


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
) -> Rows:
    """The arguments, checked and prepared, every row an example of its own."""
    x, where = checked_rows(who, where, x=x)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    index = pairs.row_index(where, axis_name)
    if pair_where is not None:
        shards = 1 if axis_name is None else lax.psum(1, axis_name)
        checks.shape(who, (len(x), shards * len(x)), pair_where=pair_where)
        checks.boolean(who, pair_where=pair_where)
    return Rows(similarity.prepare(x), where, index, class_ids(labels), pair_where)


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
