"""Counts, means and covariances of features by class, over the whole batch.

x is [batch, dim]; classes are labels, [batch] int in [0, num_classes), of which others
belong to no class, or soft, [batch, num_classes] weights. An empty class has count 0
and zeros in all else, which is no statistic of it: users leave it out by its count.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import centered, checked_rows, present
from repr_jax.ops.numerics import one_hot, pairwise_dot, to_float


class Statistics(NamedTuple):
    """Of each class, and tied, of all."""

    counts: Array  # [num_classes], sums of the weights
    means: Array  # [num_classes, dim]
    within: Array  # [dim, dim], sum_i w_ic (x_i - mean_c) (x_i - mean_c)^T over all c


def statistics(
    x: Array,
    labels: Array,
    *,
    num_classes: int,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Statistics:
    """Counts, means and the scatter within classes; over counts.sum() it is the tied
    covariance, biased.

    ValueError for shapes that do not fit; TypeError for integers in x.
    """
    x, weights, center = _checked(
        "statistics", x, labels, num_classes, where, axis_name
    )
    counts, means = _means(x, weights, axis_name)
    away = x - pairwise_dot(weights, means.T)
    if jnp.ndim(labels) == 1:
        away = present(away, jnp.sum(weights, axis=1) > 0)
        within = _total(pairwise_dot(away.T, away.T), axis_name)
    else:  # no one mean belongs to a row
        within = jnp.sum(_scatters(x, weights, means, axis_name), axis=0)
    means = present(means + center[None], counts > 0)
    return Statistics(counts, means, within)


def class_means(
    x: Array,
    labels: Array,
    *,
    num_classes: int,
    where: Array | None = None,
    axis_name: str | None = None,
) -> tuple[Array, Array]:
    """[num_classes] counts, [num_classes, dim] means; errors as `statistics`."""
    x, weights, center = _checked(
        "class_means", x, labels, num_classes, where, axis_name
    )
    counts, means = _means(x, weights, axis_name)
    return counts, present(means + center[None], counts > 0)


def class_covariances(
    x: Array,
    labels: Array,
    *,
    num_classes: int,
    unbiased: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[num_classes, dim, dim], one for each class; errors as `statistics`.

    unbiased: over count - 1 in place of count; zeros for a class of one row or less.
    """
    x, weights, _ = _checked(
        "class_covariances", x, labels, num_classes, where, axis_name
    )
    counts, means = _means(x, weights, axis_name)
    over = counts - unbiased
    scatters = _scatters(x, weights, means, axis_name)
    shares = scatters / jnp.where(over > 0, over, 1)[:, None, None]
    return present(shares, over > 0)


def _checked(who, x, labels, num_classes, where, axis_name):
    """Centered rows, 0 where absent; [batch, num_classes] weights; the center."""
    checks.count(who, num_classes=num_classes)
    x, where = checked_rows(who, where, x=x)
    if jnp.ndim(labels) == 1:
        checks.shape(who, where.shape, labels=labels)
        checks.integers(who, labels=labels)
        weights = one_hot(labels, num_classes, dtype=x.dtype)
    else:
        checks.shape(who, (len(x), num_classes), labels=labels)
        checks.floating(who, labels=labels)
        weights = to_float(labels)
    x, center = centered(x, where=where, axis_name=axis_name)
    return x, present(weights, where), center


def _means(x, weights, axis_name):
    counts = _total(jnp.sum(weights, axis=0), axis_name)
    sums = _total(pairwise_dot(weights.T, x.T), axis_name)
    return counts, sums / jnp.where(counts > 0, counts, 1)[:, None]


def _scatters(x, weights, means, axis_name):
    """[num_classes, dim, dim], one class after the other."""

    def scatter(of_class):
        weights, mean = of_class
        away = x - mean[None]
        return pairwise_dot(away.T, (weights[:, None] * away).T)

    return _total(lax.map(scatter, (weights.T, means)), axis_name)


def _total(values, axis_name):
    return values if axis_name is None else lax.psum(values, axis_name)
