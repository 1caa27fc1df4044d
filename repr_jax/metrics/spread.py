"""How evenly rows are spread over their dimensions, and whether they form clumps.

`effective_rank` and `rankme` ask a similar question. Absent rows are as good as
deleted. Compare numbers only at equal rows per dimension: the eigenvalues of few rows
differ by chance, so that even rows of a sphere seem uneven. NaN where no row differs
from another.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, checked_where, gather_rows, num_present
from repr_jax.ops.covariance import scaled
from repr_jax.ops.numerics import l2_normalize, pairwise_dot
from repr_jax.ops.spanning_tree import edge_lengths


def eigenvalue_enrichment(
    x: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """How much sooner the first components hold the variance than if all held alike.

    2 / d sum_k ( sum_{j <= k} l_j / sum_j l_j - k / d ), l the eigenvalues of the
    covariance, descending: the area between the two curves, as Gini's coefficient has.

    Shifting, scaling or rotating x changes nothing.

    Args:
      x: [batch, dim] float; d is dim.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in [0, (d - 1) / d]: 0 is spread evenly, (d - 1) / d along one
      line; NaN if x does not vary.

    Raises:
      ValueError: x is not [batch, dim], or not finite. TypeError: integers.

    Source: Marbut, McKinney-Bock and Wheeler, "Reliable Measures of Spread in High
      Dimensional Latent Spaces", 2023 ("eigenvalue early enrichment"),
      https://arxiv.org/abs/2212.08172. The factor 2 / d is our reading.
    """
    values, _, _ = _components("eigenvalue_enrichment", x, where, axis_name)
    dim = x.shape[1]
    shares = jnp.cumsum(values**2) / jnp.sum(values**2)
    shares = jnp.pad(shares, (0, dim - len(shares)), constant_values=1.0)
    even = jnp.arange(1, dim + 1, dtype=values.dtype) / dim
    value = 2 * jnp.mean(shares - even)
    return jnp.where(jnp.sum(values) > 0, value, jnp.nan)


def vasicek_ratio_mse(
    x: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """How far the principal components are from normal ones of unit variance.

    mean_k ( 1 - exp(h_k) / sqrt(2 pi e) )^2, h_k the entropy of the k-th component, all
    scaled together to a total variance of d, by Vasicek's estimate from spacings of m =
    floor(sqrt(n) + 1/2) order statistics, ends clamped.

    Shifting, scaling or rotating x changes nothing. Equal values have an entropy of
    minus infinity: of rounded or discrete x it says little.

    Arguments and errors are those of `eigenvalue_enrichment`.

    Returns:
      float32 scalar >= 0: 0 is a round Gaussian, 1 where each component takes few
      values, 2 - 2 / sqrt(d) on one line; NaN if x does not vary.

    Source: Marbut et al. 2023, as `eigenvalue_enrichment`; the scaling and the window,
      scipy's, are our reading. Vasicek, "A Test for Normality Based on Sample Entropy",
      1976, https://doi.org/10.1111/j.2517-6161.1976.tb01566.x (from memory).
    """
    _, scores, where = _components("vasicek_ratio_mse", x, where, axis_name)
    count, dim = jnp.sum(where), x.shape[1]
    total = jnp.sum(scores**2) / jnp.maximum(count, 1)
    scores = scores * jnp.sqrt(dim / jnp.where(total > 0, total, 1))
    ordered = jnp.sort(jnp.where(where[:, None], scores, jnp.inf), axis=0)
    window = jnp.floor(jnp.sqrt(count.astype(scores.dtype)) + 0.5).astype(jnp.int32)
    places, last = jnp.arange(len(scores)), jnp.maximum(count - 1, 0)
    above = ordered[jnp.minimum(places + window, last)]
    below = ordered[jnp.clip(places - window, 0, last)]
    logs = jnp.log((above - below) * count / (2 * jnp.maximum(window, 1)))
    logs = jnp.where(_first(count, len(scores))[:, None], logs, 0)
    entropy = jnp.sum(logs, axis=0) / jnp.maximum(count, 1)
    ratios = jnp.exp(entropy) / np.sqrt(2 * np.pi * np.e)
    missing = dim - len(ratios)  # components without variance, of fewer rows than dim
    value = (jnp.sum((1 - ratios) ** 2) + missing) / dim
    return jnp.where(total > 0, value, jnp.nan)


def average_cosine(
    x: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """Mean cosine of two different rows, a common but unreliable measure of spread.

    Arguments and errors are those of `eigenvalue_enrichment`; in [-1 / (n - 1), 1], 1
    if all rows have one direction. A shift away from 0 changes it, unlike the spread.
    """
    x, where = checked_rows("average_cosine", where, x=x)
    checks.finite("average_cosine", where=where, x=x)
    x, where = gather_rows((l2_normalize(x), where), axis_name)
    count = jnp.sum(where)
    pairs = jnp.sum(jnp.sum(x, axis=0) ** 2) - jnp.sum(x**2)
    value = pairs / jnp.maximum(count * (count - 1.0), 1)
    return jnp.where(count > 1, value, jnp.nan)


def partition_ratio(
    x: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """I(V) = min_c Z(c) / max_c Z(c), Z(c) = sum_i exp(x_i . c), a baseline too.

    c are the eigenvectors of X^T X with both signs; with one sign the answer would
    depend on how a library turns them. Computed in logarithms.

    Arguments and errors are those of `eigenvalue_enrichment`; in (0, 1], 1 is evenly
    spread; it falls with any scale of x.

    Source: Mu and Viswanath, "All-but-the-Top: Simple and Effective Postprocessing for
      Word Representations", 2018, section 2.2, https://arxiv.org/abs/1702.01417.
    """
    x, where = checked_rows("partition_ratio", where, x=x)
    checks.finite("partition_ratio", where=where, x=x)
    x, where = gather_rows((x, where), axis_name)
    _, _, vectors = jnp.linalg.svd(x, full_matrices=x.shape[0] < x.shape[1])
    products = pairwise_dot(x, vectors)
    both = jnp.concatenate([products, -products], axis=1)
    log_z = jax.nn.logsumexp(jnp.where(where[:, None], both, -jnp.inf), axis=0)
    return jnp.where(jnp.any(where), jnp.exp(jnp.min(log_z) - jnp.max(log_z)), jnp.nan)


def persistence_score(x: Array, *, where: Array | None = None) -> Array:
    """Mean edge of the minimum spanning tree over its largest: low for separate clumps.

    The edges are the times at which components merge in 0-dimensional persistent
    homology. Shifting, scaling or rotating x changes nothing. Two tight clusters far
    apart have about 1 / (rows - 1); but so has one outlier.

    Args:
      x: [rows, dim] float; rows of unit length helped the authors.
      where: [rows] bool, False for absent rows; None if all are present.

    Returns:
      float32 scalar in [0, 1]; NaN for one row, or if all rows are equal.

    Raises:
      ValueError: x is not [rows, dim], or not finite. TypeError: integers.

    Source: Gourgoulias et al., "Estimating Class Separability of Text Embeddings with
      Persistent Homology", 2024, https://arxiv.org/abs/2305.15016. The mean as the
      statistic of the normalized times is our reading.
    """
    edges, count = _edges("persistence_score", x, where)
    return jnp.sum(edges, where=_first(count, len(edges))) / count


def persistence_median(x: Array, *, where: Array | None = None) -> Array:
    """`persistence_score` with the median edge, which one outlier moves less."""
    edges, count = _edges("persistence_median", x, where)
    if not len(edges):
        return jnp.asarray(jnp.nan, edges.dtype)
    middle = (edges[jnp.maximum(count - 1, 0) // 2] + edges[count // 2]) / 2
    return jnp.where(count > 0, middle, jnp.nan)


def _components(who, x, where, axis_name):
    """Singular values [r], scores [rows, r] of centered rows of scale 1, where."""
    x, where = checked_rows(who, where, x=x)
    checks.finite(who, where=where, x=x)
    x, where = gather_rows((x, where), axis_name)
    x, _ = scaled(x, where=where)
    u, values, _ = jnp.linalg.svd(x, full_matrices=False)
    rank = num_present(where, None) - 1  # the others are rounding
    values = jnp.where(jnp.arange(len(values)) < rank, values, 0)
    return values, u * values[None], where


def _edges(who, x, where):
    """Ascending edges over the largest; how many count."""
    checks.same_shape(who, rank=2, x=x)
    edges = edge_lengths(x, where=where)
    where = checked_where(who, where, jnp.shape(x)[:1])
    count = jnp.maximum(jnp.sum(where) - 1, 0)
    there = _first(count, len(edges))
    largest = jnp.max(edges, initial=0.0, where=there)
    return jnp.where(there, edges / largest, jnp.inf), count


def _first(count, size):
    """[size] bool, True for the first `count`."""
    return jnp.arange(size) < count
