"""Losses that make a tree over clusters, of embeddings and arrays describing the tree.

`hyphc` has no tree yet: where its leaves lie in the Poincare ball implies one.
"""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import all_rows, masked_mean, present
from repr_jax.ops.numerics import l2_normalize, to_float
from repr_jax.ops.poincare import lca_distance

SCALES = (1e-2, 1 - 1e-3)  # between which the radius of leaves is held


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
    where = _where("hyphc", first, where)
    scale = jnp.clip(to_float(scale), *SCALES)
    a, b, c = (
        scale * l2_normalize(present(to_float(x), where)) for x in leaves.values()
    )
    similarities = present(to_float(similarities), where)
    depths = jnp.stack([lca_distance(*p) for p in ((a, b), (a, c), (b, c))], axis=-1)
    shares = jax.nn.softmax(depths / temperature, axis=-1)  # [triplet, 3]
    cost = jnp.sum(similarities * (1 - shares), axis=-1)
    return masked_mean(cost, where=where, axis_name=axis_name)


def _where(who, x, where):
    """Which rows are present, checked."""
    where = all_rows(x) if where is None else where
    checks.shape(who, x.shape[:1], where=where)
    checks.boolean(who, where=where)
    return where
