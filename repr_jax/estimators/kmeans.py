"""k-means: as many centroids as clusters, each the mean of the rows nearest to it."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import (
    centered,
    checked_where,
    gather_invariant,
    masked_mean,
    present,
    row_keys,
)
from repr_jax.ops.numerics import argmax, pairwise_dot, to_float
from repr_jax.ops.similarity import negative_squared_distance


class KMeans(NamedTuple):
    """What was fitted, of the restart of least inertia."""

    centroids: Array  # [num_clusters, dim]
    inertia: Array  # [], mean squared distance to the nearest centroid
    num_steps: Array  # [] int32, Lloyd steps until no row moved


def fit(
    key: Array,
    x: Array,
    *,
    num_clusters: int,
    max_steps: int = 100,
    num_restarts: int = 1,
    where: Array | None = None,
    axis_name: str | None = None,
) -> KMeans:
    """Lloyd's algorithm from k-means++ seeds.

    inertia = mean_i min_k |x_i - centroids_k|^2. Seeds are rows, the first one drawn
    uniformly. For each further one 2 + log(num_clusters) rows are drawn, in proportion
    to their squared distance to the nearest seed so far, and that one is kept which
    leaves the least inertia. A step then moves each centroid to the mean of its rows;
    the centroid of no row stays.

    Args:
      key: PRNG key, of the seeds.
      x: [batch, dim] float.
      num_clusters: from 1 to batch.
      max_steps: a restart ends after so many Lloyd steps at the latest.
      num_restarts: how often all is done, one after the other; the best is returned.
      where: [batch] bool, False for absent rows; None if all are present. Then at
        least num_clusters rows should be present, or centroids coincide.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Raises:
      ValueError: x is not [batch, dim], or not finite (traced: such rows are absent);
        more clusters than rows; numbers below 1.
      TypeError: integers in x; a `where` that is not bool.

    Source: Lloyd, "Least squares quantization in PCM", 1982; Arthur and Vassilvitskii,
      "k-means++: The Advantages of Careful Seeding", 2007 (both from memory). Several
      candidates for a seed, and their number, are scikit-learn's; they are drawn
      without replacement here.
    """
    who = "kmeans.fit"
    checks.same_shape(who, rank=2, x=x)
    checks.floating(who, x=x)
    checks.count(who, num_clusters=num_clusters, max_steps=max_steps)
    checks.count(who, num_restarts=num_restarts)
    if axis_name is None and num_clusters > len(x):
        raise ValueError(
            f"{who}: expected at most as many clusters as rows, {len(x)}; got "
            f"num_clusters {num_clusters}."
        )
    where = checked_where(who, where, x.shape[:1])
    checks.finite(who, where=where, x=x)
    return _fit(key, x, where, num_clusters, max_steps, num_restarts, axis_name)


def assign(kmeans: KMeans, x: Array) -> Array:
    """[batch, dim] -> [batch] int32, the nearest centroid; the first of equals.

    ValueError for x that is not finite; in traced code such a row gets -1.
    """
    checks.finite("kmeans.assign", x=x)
    return _nearest(to_float(x), kmeans.centroids)


def logits(kmeans: KMeans, x: Array, *, temperature: float | Array) -> Array:
    """-|x_i - centroids_k|^2 / temperature: [batch, dim] -> [batch, num_clusters].

    Their softmax is the posterior of a mixture of Gaussians of equal weights and of
    variance temperature / 2 in every direction; that variance fits the rows best at
    temperature = 2 inertia / dim.

    Args:
      temperature: > 0, in squared units of x.

    Raises:
      ValueError: a temperature that is not above 0; x that is not finite.
    """
    checks.finite("kmeans.logits", x=x)
    checks.positive("kmeans.logits", temperature=temperature)
    x = to_float(x)
    return negative_squared_distance.of_pairs(x, kmeans.centroids) / temperature


@jax.jit
def _nearest(x, centroids):
    return argmax(negative_squared_distance.of_pairs(x, centroids))


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _fit(key, x, where, num_clusters, max_steps, num_restarts, axis_name):
    where &= jnp.all(jnp.isfinite(x), axis=-1)
    x, center = centered(to_float(x), where=where, axis_name=axis_name)

    def restart(key):
        keys = row_keys(key, where, axis_name)
        seeds = _seeds(keys, x, where, num_clusters, axis_name)
        return _lloyd(x, where, seeds, max_steps, axis_name)

    fits = lax.map(restart, jax.random.split(key, num_restarts))
    best = jax.tree.map(lambda a: a[jnp.argmin(fits.inertia)], fits)
    return best._replace(centroids=best.centroids + center[None])


def _total(values, axis_name):
    """The sum over the rows of the whole batch."""
    total = jnp.sum(values, axis=0)
    return total if axis_name is None else lax.psum(total, axis_name)


def _seeds(keys, x, where, num_clusters, axis_name):
    """[num_clusters, dim] rows, by k-means++; keys: [batch]."""

    def draw(step, weights, number):
        """Rows drawn without replacement: the largest of log weight + Gumbel noise."""
        noise = jax.vmap(lambda key: jax.random.gumbel(jax.random.fold_in(key, step)))
        tiny = jnp.finfo(x.dtype).tiny  # rows that are seeds already, if none is left
        scores = jnp.log(jnp.maximum(weights, tiny)) + noise(keys).astype(x.dtype)
        scores = jnp.where(where, scores, -jnp.inf)
        top, rows = lax.top_k(scores, min(number, len(scores)))
        top, rows = gather_invariant((top, x[rows]), axis_name)
        top, order = lax.top_k(top, min(number, len(top)))
        return top, rows[order]

    def distances(rows):
        return -negative_squared_distance.of_pairs(x, rows)  # [batch, rows]

    def add(nearest, step):
        top, candidates = draw(step, nearest, 2 + int(math.log(num_clusters)))
        after = jnp.minimum(nearest[:, None], distances(candidates))
        inertia = _total(present(after, where), axis_name)
        best = jnp.argmin(jnp.where(top > -jnp.inf, inertia, jnp.inf))
        return after[:, best], candidates[best]

    _, first = draw(0, jnp.ones_like(x[:, 0]), 1)
    steps = jnp.arange(1, num_clusters)
    _, others = lax.scan(add, distances(first)[:, 0], steps)
    return jnp.concatenate([first, others])


def _lloyd(x, where, centroids, max_steps, axis_name):
    """Means of the rows nearest to each centroid, until no row moves."""
    num_clusters = len(centroids)

    def step(carry):
        centroids, assigned, _, count = carry
        members = jax.nn.one_hot(assigned, num_clusters, dtype=x.dtype)
        members = present(members, where)
        sums = pairwise_dot(members.T, x.T)
        sizes = _total(members, axis_name)
        sums = sums if axis_name is None else lax.psum(sums, axis_name)
        means = sums / jnp.maximum(sizes, 1)[:, None]
        centroids = jnp.where(sizes[:, None] > 0, means, centroids)
        nearest = _nearest(x, centroids)
        moved = _total(where & (nearest != assigned), axis_name)
        return centroids, nearest, moved, count + 1

    def unfinished(carry):
        return (carry[2] > 0) & (carry[3] < max_steps)

    start = (centroids, _nearest(x, centroids), jnp.int32(1), jnp.int32(0))
    centroids, assigned, _, count = lax.while_loop(unfinished, step, start)
    apart = -negative_squared_distance.of_rows(x, centroids[assigned])
    inertia = masked_mean(apart, where=where, axis_name=axis_name)
    return KMeans(centroids, inertia, count)
