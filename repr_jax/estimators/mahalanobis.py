"""Distance to the nearest class mean, in units of the covariance within classes."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_queries, checked_rows
from repr_jax.ops.class_statistics import statistics
from repr_jax.ops.covariance import check_ridge, cross_covariance


class Mahalanobis(NamedTuple):
    """What was fitted. A covariance is factor factor^T."""

    counts: Array  # [num_classes]; a class without rows does not compete
    means: Array  # [num_classes, dim]
    factor: Array  # [dim, dim], lower, of the covariance within classes
    background_mean: Array  # [dim], of all rows
    background_factor: Array  # [dim, dim], of the covariance of all rows


def fit(
    x: Array,
    labels: Array,
    *,
    num_classes: int,
    ridge: float = 0.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Mahalanobis:
    """Class means and one covariance for all, and mean and covariance of all rows.

    Both covariances are divided by the number of rows, and `ridge` times their mean
    variance is added to their diagonals.

    Args:
      x: [batch, dim] float.
      labels: [batch] int in [0, num_classes).
      ridge: >= 0; without one there must be more rows than dimensions and classes.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Raises:
      ValueError: shapes do not fit; x is not finite, a label out of range, or a
        covariance not positive definite (where traced, the fit is NaN).
      TypeError: integers in x; labels that are not; a `where` that is not bool.

    Source: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution
      Samples and Adversarial Attacks", 2018, eqs. 1 and 2,
      https://arxiv.org/abs/1807.03888.
    """
    who = "mahalanobis.fit"
    checks.count(who, num_classes=num_classes)
    checks.non_negative(who, ridge=ridge)
    x, where = checked_rows(who, where, x=x)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.finite(who, where=where, x=x)
    checks.within(who, num_classes, where=where, labels=labels)
    found = _fit(x, jnp.asarray(labels), where, ridge, num_classes, axis_name)
    check_ridge(who, ridge, found.factor, found.background_factor)
    return found


def score(fitted: Mahalanobis, x: Array) -> Array:
    """min_k (x_i - means_k)^T covariance^-1 (x_i - means_k): [batch, dim] -> [batch].

    Squared, higher for what is more anomalous. An invertible linear map of all rows,
    fitted ones too, changes nothing, without a ridge.

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite.
    """
    x = _whitened("mahalanobis.score", fitted, x, fitted.factor)
    origin = fitted.background_mean[None]
    means = _solve(fitted.factor, fitted.means - origin)

    def distance(of_class):
        mean, count = of_class
        away = jnp.sum((x - mean[None]) ** 2, axis=1)
        return jnp.where(count > 0, away, jnp.inf)

    return jnp.min(lax.map(distance, (means, fitted.counts)), axis=0)


def relative_score(fitted: Mahalanobis, x: Array) -> Array:
    """`score` less the same distance to the mean of all rows, in units of their
    covariance: what is far from everything alike is not counted twice.

    Source: Ren et al., "A Simple Fix to Mahalanobis Distance for Improving Near-OOD
      Detection", 2021, https://arxiv.org/abs/2106.09022.
    """
    away = _whitened("mahalanobis.relative_score", fitted, x, fitted.background_factor)
    return score(fitted, x) - jnp.sum(away**2, axis=1)


@functools.partial(jax.jit, static_argnums=(4, 5))
def _fit(x, labels, where, ridge, num_classes, axis_name):
    options = dict(where=where, axis_name=axis_name)
    counts, means, within = statistics(x, labels, num_classes=num_classes, **options)
    total = jnp.maximum(jnp.sum(counts), 1)
    center = jnp.sum(counts[:, None] * means, axis=0) / total
    spread = cross_covariance(x, x, **options)
    factors = [_factor(c, ridge) for c in (within / total, spread)]
    return Mahalanobis(counts, means, factors[0], center, factors[1])


def _factor(covariance, ridge):
    dim = len(covariance)
    added = ridge * jnp.trace(covariance) / dim
    return jnp.linalg.cholesky(covariance + added * jnp.eye(dim, dtype=added.dtype))


def _solve(factor, rows):
    return jax.scipy.linalg.solve_triangular(factor, rows.T, lower=True).T


def _whitened(who, fitted, x, factor):
    x = checked_queries(who, fitted.background_mean.shape, x=x)
    return _solve(factor, x - fitted.background_mean[None])
