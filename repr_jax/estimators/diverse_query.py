"""Which rows of contaminated data to ask labels for, and what the answers say: SOEL.

Source: Li et al., "Deep Anomaly Detection under Labeling Budget Constraints", 2023,
  https://arxiv.org/abs/2302.07832, with details of the authors' code.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import (
    by_block,
    checked_where,
    finite_rows,
    most_present,
    row_keys,
)
from repr_jax.ops.kernel_density import log_gaussian
from repr_jax.ops.numerics import to_float
from repr_jax.ops.similarity import negative_squared_distance


class DiverseQuery(NamedTuple):
    """What to ask."""

    rows: Array  # [num_queries] int32, different, in the order they were drawn
    x: Array  # [num_queries, dim], those rows


def fit(
    key: Array,
    x: Array,
    *,
    num_queries: int,
    temperature: float = 0.01,
    where: Array | None = None,
) -> DiverseQuery:
    """Rows that are far from one another, drawn one after the other.

    Distances d are scaled to [0, 1]. The first is the row of least mean exp(d /
    temperature); each further one is drawn in proportion to the least exp(d /
    temperature) to those drawn so far. In logarithms, since exp(1 / 0.01) overflows.

    Args:
      key: PRNG key.
      x: [batch, dim] float.
      num_queries: from 1 to the present rows.
      temperature: > 0; published 0.01 for tables, 0.1 for images. Large is uniform.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes or numbers that are not as above; x is not finite (traced, such
        a row is as good as absent).
      TypeError: integers.
    """
    who = "diverse_query.fit"
    checks.count(who, num_queries=num_queries)
    checks.positive(who, temperature=temperature)
    x, where = finite_rows(who, where, x=x)
    count = most_present(where)
    if num_queries > count:
        raise ValueError(
            f"{who}: expected num_queries up to {count} rows; got {num_queries}."
        )
    return _fit(key, x, where, temperature, num_queries)


def contamination(
    scores: Array, queried: Array, labels: Array, *, where: Array | None = None
) -> Array:
    """The share of anomalies among the rows that were not asked for.

    mean_q y p(s_q) / q(s_q) estimates it of all rows from the answers y, p the density
    of all scores and q that of those asked for, Gaussian kernels of a bandwidth of
    (max - min) / num_queries; less the anomalies found, in [0, 1]. From 20 answers its
    standard error is about 0.07.

    Args:
      scores: [batch] float, of any anomaly score.
      queried: [num_queries] int, rows.
      labels: [num_queries] int in {0, 1}, or bool; 1 is an anomaly.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes that do not fit; scores that are not finite; a queried row that
        is none. TypeError: integer scores, or queried rows that are not whole numbers.
    """
    who = "contamination"
    checks.same_shape(who, rank=1, queried=queried, labels=labels)
    checks.same_shape(who, rank=1, scores=scores)
    checks.floating(who, scores=scores)
    checks.integers(who, queried=queried)
    where = checked_where(who, where, jnp.shape(scores))
    checks.finite(who, where=where, scores=scores)
    checks.within(who, len(scores), queried=queried)
    queried, labels = jnp.asarray(queried), jnp.asarray(labels)
    return _contamination(to_float(scores), queried, labels, where)


@jax.jit
def _contamination(scores, queried, labels, where):
    labels = labels.astype(jnp.float32)
    spread = jnp.max(jnp.where(where, scores, -jnp.inf))
    spread = spread - jnp.min(jnp.where(where, scores, jnp.inf))
    bandwidth = jnp.where(spread > 0, spread, 1) / len(queried)
    asked = scores[queried]
    weights = log_gaussian(scores, asked, bandwidth=bandwidth, where=where)
    weights = jnp.exp(weights - log_gaussian(asked, asked, bandwidth=bandwidth))
    count = jnp.sum(where)
    left = jnp.mean(labels * weights) * count - jnp.sum(labels)
    return jnp.clip(left / jnp.maximum(count - len(queried), 1), 0, 1)


@functools.partial(jax.jit, static_argnums=4)
def _fit(key, x, where, temperature, num_queries):
    first, largest = _central(x, where, temperature)
    scale = jnp.where(largest > 0, largest, 1) * temperature
    keys = row_keys(key, where)

    def logits_to(row):
        return jnp.sqrt(jnp.sum((x - x[row][None]) ** 2, axis=1)) / scale

    def draw(i, state):
        rows, least, free = state
        noise = jax.vmap(lambda k: jax.random.gumbel(jax.random.fold_in(k, i)))(keys)
        row = jnp.argmax(jnp.where(free, least + noise, -jnp.inf))
        least = jnp.minimum(least, logits_to(row))
        return rows.at[i].set(row), least, free.at[row].set(False)

    rows = jnp.zeros(num_queries, jnp.int32).at[0].set(first)
    state = rows, logits_to(first), where.at[first].set(False)
    rows = lax.fori_loop(1, num_queries, draw, state)[0]
    return DiverseQuery(rows, x[rows])


def _central(x, where, temperature):
    """The row of least mean exp(d / temperature), and the largest distance."""

    def distances(some):
        return jnp.sqrt(-negative_squared_distance.of_pairs(some, x))

    def farthest(some):
        return jnp.max(jnp.where(where[None], distances(some), 0), axis=1)

    largest = jnp.max(jnp.where(where, by_block(farthest, x), 0))
    scale = jnp.where(largest > 0, largest, 1) * temperature

    def log_mean(some):
        logs = jnp.where(where[None], distances(some) / scale, -jnp.inf)
        return jax.nn.logsumexp(logs, axis=1)

    means = by_block(log_mean, x)
    return jnp.argmin(jnp.where(where, means, jnp.inf)).astype(jnp.int32), largest
