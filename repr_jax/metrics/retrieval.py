"""How well rows find their partners. `where` marks present rows."""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks, neighbors, similarity
from repr_jax.ops.batch import checked_where, gather_rows, masked_mean, present
from repr_jax.ops.numerics import to_float
from repr_jax.ops.pairs import row_index


def ranks(
    queries: Array,
    keys: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How many other keys are at least as cosine-similar to a query as its own key.

    rank_i = sum_{j != i} [ s_ij >= s_ii ]: a tie counts against the query, so keys that
    are all equal find nothing. In traced code NaN is less similar than anything.

    Args:
      queries: [batch, dim] float, any scale.
      keys: [batch, dim] float; row i is the partner of query i.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      [batch] int32, 0 is best; 0 for absent rows.

    Raises:
      ValueError: the two differ in shape or are not [batch, dim], or not finite.
      TypeError: integers; a `where` that is not bool.
    """
    checks.same_shape("ranks", rank=2, queries=queries, keys=keys)
    checks.floating("ranks", queries=queries, keys=keys)
    where = checked_where("ranks", where, queries.shape[:1])
    checks.finite("ranks", where=where, queries=queries, keys=keys)
    queries, keys = (
        similarity.cosine.prepare(present(to_float(x), where)) for x in (queries, keys)
    )
    index = row_index(where, axis_name)
    keys, there, key_index = gather_rows((keys, where, index), axis_name)
    scores = similarity.cosine.of_pairs(queries, keys)  # [batch, whole batch]
    own = jnp.take_along_axis(scores, index[:, None], axis=1)
    other = there[None] & (index[:, None] != key_index[None])
    closer = other & ((scores >= own) | jnp.isnan(own))
    return present(jnp.sum(closer, axis=1, dtype=jnp.int32), where)


def recall_at_k(
    queries: Array,
    keys: Array,
    *,
    k: int,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Fraction of queries whose own key is among their k most cosine-similar keys.

    Args:
      queries, keys, where, axis_name: as of `ranks`, which says what ties do.
      k: >= 1.

    Returns:
      float32 scalar in [0, 1], 1 is best; random keys give k / (present rows).

    Raises:
      ValueError, TypeError: as `ranks`, or k is not a whole number above 0.
    """
    checks.count("recall_at_k", k=k)
    where = checked_where("recall_at_k", where, queries.shape[:1])
    found = ranks(queries, keys, where=where, axis_name=axis_name) < k
    return masked_mean(found.astype(jnp.float32), where=where, axis_name=axis_name)


def mean_average_precision(
    scores: Array, relevant: Array, *, where: Array | None = None
) -> Array:
    """Mean over queries of the mean precision at the ranks of relevant candidates.

    Candidates are ranked by falling score, equal ones by their place.

    Args:
      scores: [queries, candidates] float, higher is more alike: cosines, or Hamming
        distances with a minus.
      relevant: [queries, candidates] bool, such as: of one label.
      where: [queries, candidates] bool, False for no candidate, such as the query
        itself; None if all are.

    Returns:
      float32 scalar in [0, 1], 1 is best. Queries without a relevant candidate do not
      count; 0 if there are no others.

    Raises:
      ValueError: shapes differ, or are not of rank 2; scores are not finite.
      TypeError: integer scores; masks that are not bool.
    """
    hits, precision, count = _ranked("mean_average_precision", scores, relevant, where)
    return _over_queries(hits * precision, count)


def map_at_r(scores: Array, relevant: Array, *, where: Array | None = None) -> Array:
    """`mean_average_precision` of the first R ranks alone, R relevant candidates.

    sum of the precisions at the relevant ones of the first R ranks over R; arguments,
    range and errors as there.

    Source: Musgrave, Belongie and Lim, "A Metric Learning Reality Check", 2020,
      section 3.2, https://arxiv.org/abs/2003.08505.
    """
    hits, precision, count = _ranked("map_at_r", scores, relevant, where)
    first = jnp.arange(hits.shape[1])[None] < count[:, None]
    return _over_queries(jnp.where(first, hits * precision, 0), count)


def r_precision(scores: Array, relevant: Array, *, where: Array | None = None) -> Array:
    """Share of the first R ranks that are relevant, R the number of relevant ones.

    Arguments, range and errors as `mean_average_precision`.
    """
    hits, _, count = _ranked("r_precision", scores, relevant, where)
    first = jnp.arange(hits.shape[1])[None] < count[:, None]
    return _over_queries(jnp.where(first, hits, 0), count)


def tar_at_far(positives: Array, negatives: Array, *, rate: float) -> Array:
    """Share of matching pairs accepted where a share `rate` of the others is.

    The threshold is the floor(rate n)-th, from 0, largest of the n scores of negatives,
    above which a positive is accepted.

    Args:
      positives, negatives: [pairs] float scores, each at least one.
      rate: in [0, 1].

    Returns:
      float32 scalar in [0, 1], 1 is best, `rate` about chance.

    Raises:
      ValueError: not of rank 1, empty, or not finite; rate out of range.
      TypeError: integers.
    """
    who = "tar_at_far"
    for name, x in (("positives", positives), ("negatives", negatives)):
        checks.same_shape(who, rank=1, **{name: x})
        checks.floating(who, **{name: x})
        checks.count(who, **{f"number of {name}": len(x)})
        checks.finite(who, **{name: x})
    checks.fraction(who, rate=rate)
    place = int(rate * len(negatives) + 1e-9)
    largest = jnp.append(-jnp.sort(-to_float(negatives)), -jnp.inf)
    return jnp.mean(to_float(positives) > largest[place], dtype=jnp.float32)


def average_compatibility(matrix: Array) -> Array:
    """Share of updates, over pairs of models, whose queries suit the older gallery.

    mean_{i > j} [ M_ij > M_jj ], M_ij how well queries by model i find what model j
    stored: 1 if each update may leave the gallery as it is. Equality does not count.

    Args:
      matrix: [models, models] float, such as `recall_at_k`s, in the order of updates;
        what is above the diagonal is not used.

    Returns:
      float32 scalar in [0, 1], 1 is best; 0 of a single model.

    Raises:
      ValueError: not square, or not finite. TypeError: integers.

    Source: Biondi et al., "CoReS: Compatible Representations via Stationarity", 2023,
      https://arxiv.org/abs/2111.07632.
    """
    who = "average_compatibility"
    checks.floating(who, matrix=matrix)
    checks.shape(who, (*jnp.shape(matrix)[:1],) * 2, matrix=matrix)
    checks.finite(who, matrix=matrix)
    matrix = to_float(matrix)
    wins = (matrix > jnp.diagonal(matrix)[None]).astype(matrix.dtype)
    later = jnp.tril(jnp.ones(matrix.shape, bool), -1)
    return masked_mean(wins.ravel(), where=later.ravel())


def hubness(x: Array, *, num_neighbors: int = 10) -> Array:
    """Skewness of how often each row is among the nearest neighbors of others.

    By cosine, a row not being its own neighbor. High if a few rows, the hubs, are near
    to many.

    Args:
      x: [rows, dim] float, any scale. num_neighbors: from 1 to rows - 1.

    Returns:
      float32 scalar, about 0 without hubs, and 0 if all rows are chosen as often.

    Raises:
      ValueError, TypeError: as `ops.neighbors.nearest`.

    Source: Radovanovic, Nanopoulos and Ivanovic, "Hubs in Space: Popular Nearest
      Neighbors in High-Dimensional Data", 2010, eq. 1,
      https://www.jmlr.org/papers/v11/radovanovic10a.html.
    """
    nearest = neighbors.nearest(x, num_neighbors=num_neighbors)
    counts = jnp.bincount(nearest.ravel(), length=len(nearest))
    away = counts - jnp.mean(counts, dtype=jnp.float32)
    variance = jnp.mean(away**2)
    skewness = jnp.mean(away**3) / jnp.where(variance > 0, variance, 1) ** 1.5
    return jnp.where(variance > 0, skewness, 0)


def _ranked(who, scores, relevant, where):
    """By rank of each query: relevant, 1 or 0, and precision; number of relevant."""
    checks.same_shape(who, rank=2, scores=scores, relevant=relevant)
    checks.floating(who, scores=scores)
    checks.boolean(who, relevant=relevant)
    where = checked_where(who, where, jnp.shape(scores))
    scores = present(to_float(scores), where)
    checks.finite(who, scores=scores)
    relevant = jnp.asarray(relevant) & where
    order = jnp.lexsort((-scores, ~where), axis=1)
    hits = jnp.take_along_axis(relevant, order, axis=1).astype(scores.dtype)
    ranks = jnp.arange(1, hits.shape[1] + 1)
    return hits, jnp.cumsum(hits, axis=1) / ranks[None], jnp.sum(relevant, axis=1)


def _over_queries(values, count):
    """Mean over queries of a count above 0 of the sum over ranks over the count."""
    shares = jnp.sum(values, axis=1) / jnp.maximum(count, 1)
    return masked_mean(shares, where=count > 0)
