"""Outliers in unlabeled data by the direction in which their gradients agree."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_queries, checked_rows, present
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
    gradients, where = checked_rows(who, where, gradients=gradients)
    checks.floating(who, reference_mean=reference_mean)
    checks.shape(who, gradients.shape[1:], reference_mean=reference_mean)
    checks.finite(who, where=where, gradients=gradients)
    checks.finite(who, reference_mean=reference_mean)
    mean = to_float(reference_mean)
    away = present(gradients - mean[None], where)
    direction = jnp.linalg.svd(away, full_matrices=False)[2][0]
    return GradientSeparation(mean, direction)


def score(fitted: GradientSeparation, gradients: Array) -> Array:
    """((gradients_i - reference_mean) . direction)^2: [batch, dim] -> [batch].

    Raises:
      ValueError: gradients are not [batch, dim] of the fit, or not finite.
    """
    who, shape = "gradient_separation.score", fitted.direction.shape
    gradients = checked_queries(who, shape, gradients=gradients)
    away = gradients - fitted.reference_mean[None]
    return pairwise_dot(away, fitted.direction[None])[:, 0] ** 2
