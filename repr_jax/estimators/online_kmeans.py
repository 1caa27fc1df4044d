"""Online k-means: clusters of stored rows that change while a network is trained.

A bank has a row of length 1 for every example, and a cluster of each. `fit` starts it
with k-means; after a step of training `update` moves the batch's rows and gives each
the nearest cluster, by dot product; now and then `refresh` moves centroids to the means
of their rows, and divides large clusters in place of small ones. `fit_stream` does both
for a stream of batches. All devices have the whole bank.

Source: Zhan et al., "Online Deep Clustering for Unsupervised Representation Learning",
  2020, https://arxiv.org/abs/2006.10645; with it InterCLR of Xie et al., "Delving into
  Inter-Image Invariance for Unsupervised Visual Representations", 2020,
  https://arxiv.org/abs/2008.11702. The order of steps is that of the authors' code.
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.estimators import kmeans
from repr_jax.ops import checks, queue
from repr_jax.ops.batch import checked_where, gather_invariant, present
from repr_jax.ops.numerics import argmax, l2_normalize, pairwise_dot, to_float

SPLIT_STEPS = 20  # Lloyd steps at most, in which a cluster is divided in two


class OnlineKMeans(NamedTuple):
    """Clusters, and the stored rows that are in them."""

    centroids: Array  # [num_clusters, dim], means of rows of length 1
    x: Array  # [num_examples, dim], the bank: of length 1, zeros where absent
    labels: Array  # [num_examples] int32, the cluster of each row, -1 where absent


def fit(
    key: Array,
    x: Array,
    *,
    num_clusters: int,
    max_steps: int = 100,
    num_restarts: int = 1,
    where: Array | None = None,
) -> OnlineKMeans:
    """The clusters of `kmeans.fit` of the rows at length 1.

    Args:
      key: PRNG key, of the seeds.
      x: [num_examples, dim] float, any scale.
      num_clusters, max_steps, num_restarts: as of `kmeans.fit`, and errors.
      where: [num_examples] bool, False for examples that never come.
    """
    who = "online_kmeans.fit"
    checks.same_shape(who, rank=2, x=x)
    checks.floating(who, x=x)
    where = checked_where(who, where, x.shape[:1])
    checks.finite(who, where=where, x=x)
    where &= jnp.all(jnp.isfinite(x), axis=1)
    x = l2_normalize(present(to_float(x), where))
    options = dict(max_steps=max_steps, num_restarts=num_restarts, where=where)
    found = kmeans.fit(key, x, num_clusters=num_clusters, **options)
    labels = jnp.where(where, kmeans.assign(found, x), -1)
    return OnlineKMeans(found.centroids, x, labels)


def assign(clusters: OnlineKMeans, x: Array) -> Array:
    """[batch, dim] -> [batch] int32, the centroid of the largest dot product.

    ValueError for x that is not finite; in traced code such a row gets -1.
    """
    checks.finite("online_kmeans.assign", x=x)
    return argmax(pairwise_dot(l2_normalize(to_float(x)), clusters.centroids))


def update(
    clusters: OnlineKMeans,
    index: Array,
    rows: Array,
    *,
    decay: float | Array = 0.5,
    where: Array | None = None,
    axis_name: str | None = None,
) -> OnlineKMeans:
    """Moves the stored rows of a batch as `queue.update_bank`, and gives them clusters.

    Args:
      index: [batch] int in [0, num_examples), which example each row is, none twice.
      rows: [batch, dim] float, any scale.
      decay: in [0, 1], the weight of the stored row.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.
    """
    who = "online_kmeans.update"
    checks.same_shape(who, rank=2, rows=rows)
    checks.floating(who, rows=rows)
    checks.rows(who, len(rows), index=index)
    checks.integers(who, index=index)
    where = checked_where(who, where, rows.shape[:1])
    rows, index, where = gather_invariant((rows, jnp.asarray(index), where), axis_name)
    x = queue.update_bank(clusters.x, index, rows, decay=decay, where=where)
    found = assign(clusters, x[present(index, where)])
    index = jnp.where(where, index, len(x))  # out of bounds: dropped
    labels = clusters.labels.at[index].set(found, mode="drop")
    return clusters._replace(x=x, labels=labels)


def refresh(key: Array, clusters: OnlineKMeans, *, min_size: int = 1) -> OnlineKMeans:
    """Moves centroids to the means of their rows, and replaces small clusters.

    Rows of clusters of fewer than min_size rows go to the nearest other cluster, by dot
    product. Each of these then gets a part of the cluster that is the largest, which
    2-means divides. A centroid of no row stays where it is.

    Args:
      key: PRNG key, of the seeds of 2-means.
      min_size: >= 1, at most num_examples / num_clusters, rows of a cluster that stays.

    Raises:
      ValueError: min_size out of range.
    """
    who, num_clusters = "online_kmeans.refresh", len(clusters.centroids)
    checks.count(who, min_size=min_size)
    if min_size * num_clusters > len(clusters.x):
        raise ValueError(
            f"{who}: expected min_size at most {len(clusters.x)} / {num_clusters}, "
            f"rows by clusters; got {min_size}."
        )
    clusters = _with_means(clusters)
    small = _sizes(clusters) < min_size
    alike = pairwise_dot(clusters.x, clusters.centroids)
    nearest = argmax(jnp.where(small[None], -jnp.inf, alike))
    leaves = (clusters.labels >= 0) & small[clusters.labels] & ~jnp.all(small)
    clusters = clusters._replace(labels=jnp.where(leaves, nearest, clusters.labels))

    def replace(number, clusters):
        own_key = jax.random.fold_in(key, number)
        return lax.cond(
            small[number], lambda c: _divided(own_key, c, number), lambda c: c, clusters
        )

    return lax.fori_loop(0, num_clusters, replace, clusters)


def fit_stream(
    key: Array,
    clusters: OnlineKMeans,
    batches: Iterable,
    *,
    every: int = 10,
    decay: float = 0.5,
    min_size: int = 1,
) -> OnlineKMeans:
    """`update` by each batch, and `refresh` after each `every` of them.

    Args:
      key: PRNG key, of `refresh`.
      clusters: from `fit`, or returned from here.
      batches: an iterable of (index, rows), as of `update`; of one shape, or each
        compiles anew.
      every: >= 1, batches.
      decay, min_size: as of `update` and `refresh`.
    """
    checks.count("online_kmeans.fit_stream", every=every)
    move, renew = jax.jit(update), jax.jit(refresh, static_argnames="min_size")
    for number, (index, rows) in enumerate(batches, start=1):
        clusters = move(clusters, index, rows, decay=decay)
        if number % every == 0:
            own_key = jax.random.fold_in(key, number)
            clusters = renew(own_key, clusters, min_size=min_size)
    return clusters


def _sizes(clusters):
    """[num_clusters] int32, rows of each."""
    num_clusters = len(clusters.centroids)
    labels = jnp.where(clusters.labels < 0, num_clusters, clusters.labels)
    return jnp.bincount(labels, length=num_clusters + 1)[:-1]


def _with_means(clusters):
    """With centroids at the means of their rows; those of no row stay."""
    sizes, num_clusters = _sizes(clusters), len(clusters.centroids)
    labels = jnp.where(clusters.labels < 0, num_clusters, clusters.labels)
    sums = jax.ops.segment_sum(clusters.x, labels, num_clusters + 1)[:-1]
    means = sums / jnp.maximum(sizes, 1)[:, None]
    return clusters._replace(
        centroids=jnp.where(sizes[:, None] > 0, means, clusters.centroids)
    )


def _divided(key, clusters, number):
    """With a part of the largest cluster as cluster `number`, which has no row."""
    members = clusters.labels == jnp.argmax(_sizes(clusters))
    options = dict(num_clusters=2, max_steps=SPLIT_STEPS, where=members)
    halves = kmeans.fit(key, clusters.x, **options)
    leaves = members & (kmeans.assign(halves, clusters.x) == 1)
    labels = jnp.where(leaves, number, clusters.labels)
    return _with_means(clusters._replace(labels=labels))
