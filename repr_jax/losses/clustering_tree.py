"""Losses that make a tree over clusters, of embeddings and arrays describing the tree.

`hyphc` has no tree yet: where its leaves lie in the Poincare ball implies one. The
others are DeepECT's, and their tree is of fixed capacity:
  parents: [node] int, a tree in the form of `trees.growing`.
  centers: [node, dim] float; those of leaves are learned, the others not read. A row
    belongs to the leaf of the nearest center, and to all nodes above.
  weights: [node] > 0, how many rows each node has had, see `updated_weights`.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where, masked_mean, present
from repr_jax.ops.numerics import argmax, l2_normalize, pairwise_dot, to_float
from repr_jax.ops.poincare import lca_distance
from repr_jax.trees import growing

SCALES = (1e-2, 1 - 1e-3)  # between which the radius of leaves is held
TINY = 1e-12  # under roots, whose gradient at zero would be infinite


def hyphc(
    first: Array,
    second: Array,
    third: Array,
    similarities: Array,
    *,
    scale: float | Array = 0.9,
    temperature: float | Array = 0.01,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Dasgupta's cost of the tree that triplets of leaves imply, made continuous.

    mean_i sum_p similarity_ip (1 - share_ip), where p runs over the three pairs of a
    triplet, share = softmax_p(distance_ip / temperature), and distance is that of the
    origin to the geodesic between the leaves of the pair, whose nearest point stands
    for their lowest common ancestor. Leaf x lies at scale x / |x|. As the temperature
    falls the deepest pair has share 1; over all triplets of L leaves, C(L, 3) times the
    value plus 2 sum_{i<j} similarity_ij is then Dasgupta's cost of the tree.

    Args:
      first, second, third: [triplet, dim] float, the directions of three leaves.
      similarities: [triplet, 3] float, of first and second, first and third, second
        and third.
      scale: in (0, 1), the radius of all leaves; held within [0.01, 0.999].
      temperature: > 0; 0.01 is the default of the authors' code. The paper writes tau.
      where: [triplet] bool, False for absent ones; None if all are present.
      axis_name: the mapped axis the triplets are split over; None if they are whole.

    Returns:
      float32 scalar, of the unit of the similarities.

    Raises:
      ValueError: shapes that do not fit together; scale or temperature not above 0.
      TypeError: integers; a `where` that is not bool.

    Source: Chami et al., "From Trees to Continuous Embeddings and Back: Hyperbolic
      Hierarchical Clustering", 2020, https://arxiv.org/abs/2010.00402 (equations from
      memory), and the authors' code for the common radius and the mean over triplets.
      The cost by triplets: Wang and Wang, "An improved cost function for hierarchical
      cluster trees", 2018 (from memory).
    """
    checks.same_shape("hyphc", rank=2, first=first, second=second, third=third)
    checks.shape("hyphc", (len(first), 3), similarities=similarities)
    leaves = dict(first=first, second=second, third=third)
    checks.floating("hyphc", **leaves, similarities=similarities)
    checks.positive("hyphc", scale=scale, temperature=temperature)
    where = checked_where("hyphc", where, first.shape[:1])
    scale = jnp.clip(to_float(scale), *SCALES)
    a, b, c = (
        scale * l2_normalize(present(to_float(x), where)) for x in leaves.values()
    )
    similarities = present(to_float(similarities), where)
    depths = jnp.stack([lca_distance(*p) for p in ((a, b), (a, c), (b, c))], axis=-1)
    shares = jax.nn.softmax(depths / temperature, axis=-1)  # [triplet, 3]
    cost = jnp.sum(similarities * (1 - shares), axis=-1)
    return masked_mean(cost, where=where, axis_name=axis_name)


def deep_ect(
    x: Array,
    decoded: Array,
    embeddings: Array,
    centers: Array,
    weights: Array,
    parents: Array,
    *,
    clustering_weight: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Reconstruction error of an autoencoder, and its embeddings pulled into a tree.

    mean_i mean_e (decoded_ie - x_ie)^2
      + clustering_weight (node_center + data_compression)

    Args:
      x, decoded: [batch, ...] float, inputs and their reconstructions.
      embeddings: [batch, dim] float, what was decoded.
      centers, weights, parents: the tree, see the module's docstring.
      clustering_weight: >= 0; 1 is the published sum.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar.

    Raises:
      ValueError: shapes that do not fit together; a negative weight.
      TypeError: integer inputs; a `where` that is not bool.

    Source: Mautz, Plant and Boehm, "Deep Embedded Cluster Tree", 2019. The paper was
      not consulted: the terms, and the mean over the elements of an input, are those of
      ClustPy, an implementation by others.
    """
    checks.same_shape("deep_ect", x=x, decoded=decoded)
    checks.rows("deep_ect", len(embeddings), x=x)
    checks.floating("deep_ect", x=x, decoded=decoded)
    checks.non_negative("deep_ect", clustering_weight=clustering_weight)
    options = dict(where=where, axis_name=axis_name)
    where = checked_where("deep_ect", where, embeddings.shape[:1])
    error = (present(to_float(a), where) for a in (x, decoded))
    error = jnp.square(jnp.subtract(*error)).reshape(len(x), -1)
    reconstruction = masked_mean(
        jnp.mean(error, axis=1), where=where, axis_name=axis_name
    )
    clustering = node_center(embeddings, centers, parents, **options)
    clustering += data_compression(embeddings, centers, weights, parents, **options)
    return reconstruction + clustering_weight * clustering


def node_center(
    embeddings: Array,
    centers: Array,
    parents: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Distance of the centers of leaves to the means of their rows, which stay.

    sum_l |center_l - mean_{i in l} embedding_i| / number of leaves, over the leaves
    that have rows. The means get no gradient: this moves centers alone.

    Args:
      embeddings: [batch, dim] float.
      centers, parents: the tree, see the module's docstring.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar.

    Raises:
      ValueError: shapes that do not fit together. TypeError: integer embeddings or
        centers; a `where` that is not bool.

    Source: as `deep_ect`.
    """
    who = "node_center"
    embeddings, centers, where = _clustered(who, embeddings, centers, parents, where)
    is_leaf = growing.leaves(parents)
    member = _members(embeddings, centers, parents, where)
    totals = (pairwise_dot(member.T, embeddings.T), jnp.sum(member, axis=0))
    if axis_name is not None:
        totals = lax.psum(totals, axis_name)
    total, count = lax.stop_gradient(totals)
    mean = total / jnp.maximum(count, 1)[:, None]
    some = is_leaf & (count > 0)
    step = present(centers - mean, some)
    distance = jnp.sqrt(jnp.sum(step * step, axis=-1) + TINY)
    return jnp.sum(present(distance, some)) / jnp.sum(is_leaf)


def data_compression(
    embeddings: Array,
    centers: Array,
    weights: Array,
    parents: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Distance of rows to their nodes, along the line to the sibling: they move.

    sum_c sum_{i in c} |(center_c - embedding_i) . u_c| / (2 splits rows), over all
    nodes c that have a sibling, u_c being the unit vector from one center to the other;
    the center of a node that is no leaf is from `split_centers`. Centers get no
    gradient. In directions that do not tell siblings apart nothing is compressed.

    Args:
      embeddings: [batch, dim] float.
      centers, weights, parents: the tree, see the module's docstring.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar; 0 of a tree without splits.

    Raises:
      ValueError: shapes that do not fit together. TypeError: integer embeddings or
        centers; a `where` that is not bool.

    Source: as `deep_ect`.
    """
    who = "data_compression"
    embeddings, centers, where = _clustered(who, embeddings, centers, parents, where)
    checks.shape(who, jnp.shape(parents), weights=weights)
    member = _members(embeddings, centers, parents, where)
    inside = pairwise_dot(member, growing.below(parents).astype(member.dtype))
    centers = split_centers(lax.stop_gradient(centers), weights, parents)
    sibling = growing.siblings(parents)
    paired = sibling != jnp.arange(len(centers))
    direction = l2_normalize(present(centers - centers[sibling], paired))
    offset = jnp.sum(centers * direction, axis=-1)[None, :]
    along = offset - pairwise_dot(embeddings, direction)  # [batch, node]
    by_row = jnp.sum(inside * jnp.abs(along), axis=-1)
    splits = jnp.sum(growing.num_children(parents) == 2)
    mean = masked_mean(by_row, where=where, axis_name=axis_name)
    return mean / (2 * jnp.maximum(splits, 1))


def assign(embeddings: Array, centers: Array, parents: Array) -> Array:
    """[batch, dim] -> [batch] int32, the node of the leaf of the nearest center.

    -1 for a row that is not finite.
    """
    is_leaf = growing.leaves(parents)
    centers = present(to_float(centers), is_leaf)
    apart = jnp.sum(centers * centers, axis=-1)[None] / 2
    apart = apart - pairwise_dot(to_float(embeddings), centers)
    return argmax(jnp.where(is_leaf[None, :], -apart, jnp.nan))


def split_centers(centers: Array, weights: Array, parents: Array) -> Array:
    """[node, dim]: centers of leaves, and above them means of children by weight."""
    centers, parents = to_float(centers), jnp.asarray(parents)
    weights = to_float(weights)[:, None]
    is_leaf = growing.leaves(parents)
    num = len(centers)

    def add(i, carry):
        node = num - 1 - i  # children first
        out, total, share = carry
        mean = total[node] / jnp.maximum(share[node], TINY)
        out = out.at[node].set(jnp.where(is_leaf[node], out[node], mean))
        counted = jnp.where(parents[node] >= 0, weights[node], 0)
        above = jnp.maximum(parents[node], 0)
        total = total.at[above].add(counted * out[node])
        return out, total, share.at[above].add(counted)

    start = (centers, jnp.zeros_like(centers), jnp.zeros_like(centers[:, :1]))
    return lax.fori_loop(0, num, add, start)[0]


def updated_weights(
    embeddings: Array,
    centers: Array,
    weights: Array,
    parents: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[node]: weights / 2 + rows of the batch in each node / 2; unused nodes get 0.

    Arguments, errors and source as for `data_compression`.
    """
    who = "updated_weights"
    embeddings, centers, where = _clustered(who, embeddings, centers, parents, where)
    member = _members(embeddings, centers, parents, where)
    rows = jnp.sum(member, axis=0)
    if axis_name is not None:
        rows = lax.psum(rows, axis_name)
    inside = pairwise_dot(growing.below(parents).astype(rows.dtype), rows[None])[:, 0]
    return present((to_float(weights) + inside) / 2, growing.used(parents))


def _clustered(who, embeddings, centers, parents, where):
    """Embeddings with zeros in absent rows, and centers, both checked and in float."""
    checks.same_shape(who, rank=2, embeddings=embeddings)
    dim = jnp.shape(embeddings)[1]
    checks.shape(who, (jnp.shape(parents)[0], dim), centers=centers)
    checks.floating(who, embeddings=embeddings, centers=centers)
    where = checked_where(who, where, embeddings.shape[:1])
    return present(to_float(embeddings), where), to_float(centers), where


def _members(embeddings, centers, parents, where):
    """[batch, node] float: 1 at the leaf of each present row."""
    nearest = assign(*lax.stop_gradient((embeddings, centers)), parents)
    member = jax.nn.one_hot(nearest, len(centers), dtype=embeddings.dtype)
    return present(member, where)
