"""How well rows find their partners. `where` marks present rows."""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks, similarity
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
