"""Outliers in unlabeled data by the direction in which their gradients agree."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where, present
from repr_jax.ops.numerics import pairwise_dot, to_float


class GradientSeparation(NamedTuple):
    """What was fitted."""

    reference_mean: Array  # [dim], mean gradient of inliers
    direction: Array  # [dim], of length 1 and free sign


def fit(
    gradients: Array, reference_mean: Array, *, where: Array | None = None
) -> GradientSeparation:
    """The top right singular vector of gradients less the mean gradient of inliers.

    Rows whose `score` is above that of most inliers, 95 % say, are taken for outliers
    that a detector is then trained on.

    Args:
      gradients: [batch, dim] float, of unlabeled ("wild") rows at their predicted
        labels, such as `ops.linear_gradients.of_predicted_class`.
      reference_mean: [dim] float, mean gradient of inliers at their true labels, of
        `ops.linear_gradients.of_cross_entropy`.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes do not fit together; not finite (where traced, the fit is NaN).
      TypeError: integers; a `where` that is not bool.

    Source: Du et al., "How Does Unlabeled Data Provably Help Out-of-Distribution
      Detection?", 2024, https://arxiv.org/abs/2402.03502. Their code
      differs from it, and from this: gradients of the predicted class's weights alone,
      less that class's mean, one vector a class, and a magnitude that is not squared.
    """
    who = "gradient_separation.fit"
    checks.same_shape(who, rank=2, gradients=gradients)
    checks.floating(who, gradients=gradients, reference_mean=reference_mean)
    checks.shape(who, jnp.shape(gradients)[1:], reference_mean=reference_mean)
    where = checked_where(who, where, jnp.shape(gradients)[:1])
    checks.finite(who, where=where, gradients=gradients)
    checks.finite(who, reference_mean=reference_mean)
    mean = to_float(reference_mean)
    away = present(to_float(gradients) - mean[None], where)
    direction = jnp.linalg.svd(away, full_matrices=False)[2][0]
    return GradientSeparation(mean, direction)


def score(fitted: GradientSeparation, gradients: Array) -> Array:
    """((gradients_i - reference_mean) . direction)^2: [batch, dim] -> [batch].

    Raises:
      ValueError: gradients are not [batch, dim] of the fit, or not finite.
    """
    who = "gradient_separation.score"
    shape = (*jnp.shape(gradients)[:1], len(fitted.direction))
    checks.shape(who, shape, gradients=gradients)
    checks.floating(who, gradients=gradients)
    checks.finite(who, gradients=gradients)
    away = to_float(gradients) - fitted.reference_mean[None]
    return pairwise_dot(away, fitted.direction[None])[:, 0] ** 2
