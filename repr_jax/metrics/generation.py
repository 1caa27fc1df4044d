"""How good and how various generated samples are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from repr_jax.ops import checks
from repr_jax.ops.batch import by_block
from repr_jax.ops.numerics import to_float
from repr_jax.ops.similarity import negative_squared_distance


def near_a_mode(samples: Array, centers: Array, *, radius: float) -> Array:
    """[num_modes] int32: the samples within `radius` of each center, their nearest one.

    Their sum over the number of samples is the share of samples of high quality, and
    the number of entries above 0 the modes that are covered.

    Args:
      samples: [batch, dim] float.
      centers: [num_modes, dim] float, of a mixture that is known.
      radius: > 0; three standard deviations of a component, by custom.

    Raises:
      ValueError: the two are not matrices of one width.

    Source: Srivastava et al., "VEEGAN: Reducing Mode Collapse in GANs using Implicit
      Variational Learning", 2017, section 5.1, https://arxiv.org/abs/1705.07761.
    """
    checks.floating("near_a_mode", samples=samples, centers=centers)
    checks.positive("near_a_mode", radius=radius)
    samples, centers = to_float(samples), to_float(centers)
    if samples.ndim != 2 or centers.ndim != 2 or samples.shape[1] != centers.shape[1]:
        raise ValueError(
            f"near_a_mode: expected [batch, dim] and [num_modes, dim]; got "
            f"{samples.shape} and {centers.shape}."
        )
    squares = jnp.sum((samples[:, None] - centers[None]) ** 2, axis=-1)
    nearest = jnp.argmin(squares, axis=1)
    near = jnp.min(squares, axis=1) <= radius**2
    return jnp.bincount(
        jnp.where(near, nearest, len(centers)), length=len(centers) + 1
    )[:-1].astype(jnp.int32)


def frechet_of_gaussians(
    mean: ArrayLike, covariance: ArrayLike, mean_b: ArrayLike, covariance_b: ArrayLike
) -> float:
    """Squared Frechet (2-Wasserstein) distance of N(mean, covariance) and another.

    |mean - mean_b|^2 + tr(covariance + covariance_b - 2 (covariance covariance_b)^1/2),
    on the host in float64, by eigenvalues of symmetric matrices alone.

    Args:
      mean, mean_b: [dim] floats.
      covariance, covariance_b: [dim, dim], symmetric without negative eigenvalues; they
        may be singular.

    Returns:
      >= 0, 0 for the same two; in squared units of the features.

    Raises:
      ValueError: shapes are not as above, or a value is not finite.

    Source: Dowson and Landau, "The Frechet Distance between Multivariate Normal
      Distributions", 1982 (from memory).
    """
    who = "frechet_of_gaussians"
    mean, covariance, mean_b, covariance_b = arrays = [
        np.asarray(x, np.float64) for x in (mean, covariance, mean_b, covariance_b)
    ]
    checks.same_shape(who, rank=1, mean=mean, mean_b=mean_b)
    square = (len(mean), len(mean))
    checks.shape(who, square, covariance=covariance, covariance_b=covariance_b)
    for name, x in zip(("mean", "covariance", "mean_b", "covariance_b"), arrays):
        checks.finite(who, **{name: x})
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    between = np.linalg.eigvalsh(root @ covariance_b @ root)
    cross = np.sum(np.sqrt(np.maximum(between, 0)))
    spread = np.trace(covariance) + np.trace(covariance_b) - 2 * cross
    return float(max(np.sum((mean - mean_b) ** 2) + spread, 0))


def frechet_distance(real: ArrayLike, made: ArrayLike) -> float:
    """`frechet_of_gaussians` with the means and covariances of two sets of features.

    Called FID if the features are those of a certain Inception network, and else not.
    It is biased upwards by small sets: compare at equal numbers of rows.

    Args:
      real, made: [rows, dim] floats, of two rows or more each.

    Raises:
      ValueError: the two are not matrices of one width and two rows, or not finite.

    Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a
      Local Nash Equilibrium", 2017, eq. 6, https://arxiv.org/abs/1706.08500.
    """
    moments = []
    for x in _two_sets("frechet_distance", real, made, least=2):
        moments += [np.mean(x, axis=0), np.atleast_2d(np.cov(x, rowvar=False))]
    return frechet_of_gaussians(*moments)


def prd(
    real: ArrayLike, made: ArrayLike, *, num_angles: int = 1001
) -> tuple[np.ndarray, np.ndarray]:
    """The precision-recall curve of two discrete distributions.

    precision(s) = sum_k min(s real_k, made_k), recall(s) = precision(s) / s, for slopes
    s that are tangents of equally spaced angles: how much of what is made is real, and
    of what is real is made, at every trade-off.

    Args:
      real, made: [bins] counts, or probabilities: of clusters of the union of both.
      num_angles: > 2, points of the curve.

    Returns:
      precision, recall: [num_angles] float64 in [0, 1]. The mean of both over all
      angles is at most 1/2 + log(2) / pi = 0.7206, for equal distributions.

    Raises:
      ValueError: not two [bins] of one length, or nothing but zeros in one.

    Source: Sajjadi et al., "Assessing Generative Models via Precision and Recall",
      2018, algorithm 1, https://arxiv.org/abs/1806.00035.
    """
    checks.count("prd", minimum=3, num_angles=num_angles)
    real, made = np.asarray(real, np.float64), np.asarray(made, np.float64)
    checks.same_shape("prd", rank=1, real=real, made=made)
    if not (real.sum() > 0 and made.sum() > 0 and min(real.min(), made.min()) >= 0):
        raise ValueError("prd: expected counts of one row or more in real and made.")
    real, made = real / real.sum(), made / made.sum()
    edge = 1e-10  # the authors' distance from 0 and a right angle
    slopes = np.tan(np.linspace(edge, np.pi / 2 - edge, num_angles))[:, None]
    precision = np.sum(np.minimum(slopes * real, made), axis=1)
    recall = precision / slopes[:, 0]
    return np.clip(precision, 0, 1), np.clip(recall, 0, 1)


def largest_f(precision: ArrayLike, recall: ArrayLike, *, beta: float) -> float:
    """The largest F_beta = (1 + beta^2) p r / (beta^2 p + r) of a curve, in [0, 1].

    beta: > 0; by custom 8 for recall and 1/8 for precision, as in `prd`'s source.
    """
    checks.positive("largest_f", beta=beta)
    precision, recall = np.asarray(precision), np.asarray(recall)
    checks.same_shape("largest_f", rank=1, precision=precision, recall=recall)
    below = beta**2 * precision + recall
    score = (1 + beta**2) * precision * recall / np.where(below > 0, below, 1)
    return float(np.max(score))


def neighbor_precision_recall(
    real: ArrayLike, made: ArrayLike, *, num_neighbors: int = 3
) -> tuple[float, float]:
    """Shares of each set that lie in the other's balls around its own rows.

    The ball of a row reaches to the row of its own set that is number `num_neighbors`
    in distance. precision: of what is made, near something real; recall: of what is
    real, near something made.

    Args:
      real, made: [rows, dim] floats.
      num_neighbors: from 1 to rows - 1 of both.

    Returns:
      (precision, recall), in [0, 1]; 1 for equal sets, and less than 1 even for two
      samples of one distribution.

    Raises:
      ValueError: the two are not matrices of one width, or not finite; too few rows.

    Source: Kynkaanniemi et al., "Improved Precision and Recall Metric for Assessing
      Generative Models", 2019, eqs. 1 and 2, https://arxiv.org/abs/1904.06991.
    """
    who = "neighbor_precision_recall"
    checks.count(who, num_neighbors=num_neighbors)
    sets = _two_sets(who, real, made, least=num_neighbors + 1)
    center = np.mean(sets[0], axis=0)  # float32 distances round less near 0
    real, made = (jnp.asarray(x - center, jnp.float32) for x in sets)
    inside = _in_balls(real, made, num_neighbors), _in_balls(made, real, num_neighbors)
    return tuple(float(jnp.mean(share.astype(jnp.float32))) for share in inside)


@functools.partial(jax.jit, static_argnums=2)
def _in_balls(centers, x, num_neighbors):
    """[rows] bool: which rows of x are in the ball of any row of centers."""

    def radii(rows):
        squares = -negative_squared_distance.of_pairs(rows, centers)
        for _ in range(num_neighbors):  # takes the row itself away first; faster than
            nearest = jnp.argmin(squares, axis=1)[:, None]  # top_k on a CPU
            places = jnp.arange(len(centers))[None]
            squares = jnp.where(places == nearest, jnp.inf, squares)
        return jnp.min(squares, axis=1)

    reach = by_block(radii, centers)

    def inside(rows):
        squares = -negative_squared_distance.of_pairs(rows, centers)
        return jnp.any(squares <= reach[None], axis=1)

    return by_block(inside, x)


def _two_sets(who, real, made, *, least):
    """Both in float64, checked."""
    checks.floating(who, real=real, made=made)
    real, made = np.asarray(real, np.float64), np.asarray(made, np.float64)
    if real.ndim != 2 or made.ndim != 2 or real.shape[1] != made.shape[1]:
        raise ValueError(
            f"{who}: expected two of [rows, dim]; got {real.shape} and {made.shape}."
        )
    if min(len(real), len(made)) < least:
        raise ValueError(
            f"{who}: expected {least} rows or more; got {len(real)} and {len(made)}."
        )
    checks.finite(who, real=real)
    checks.finite(who, made=made)
    return real, made
