"""A linear probe without a search: Gaussian classes of one diagonal covariance.

Source: Zheng et al., "Revisiting Discriminative vs. Generative Classifiers: Theory and
  Implications", 2023, https://arxiv.org/abs/2302.02334, and code.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_queries, finite_rows, num_present
from repr_jax.ops.class_statistics import class_means
from repr_jax.ops.covariance import variance
from repr_jax.ops.numerics import argmax
from repr_jax.ops.similarity import negative_squared_distance

FLOOR = 1e-9  # of the largest variance; the code adds 1e-9 itself


class NaiveBayes(NamedTuple):
    """What was fitted."""

    means: Array  # [num_classes, dim], 0 of a class without rows
    variance: Array  # [dim], within classes
    log_priors: Array  # [num_classes], -inf of a class without rows


def fit(
    x: Array,
    labels: Array,
    *,
    num_classes: int,
    where: Array | None = None,
    axis_name: str | None = None,
) -> NaiveBayes:
    """The mean of each class, its share, and sum_k share_k var_k of each dimension.

    Ahead of logistic regression with few rows; behind it with many where features of a
    class are correlated.

    Args:
      x: [batch, dim] float.
      labels: [batch] int in [0, num_classes).
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Raises:
      ValueError: shapes that do not fit, x not finite, a label out of range (traced,
        such a row is as good as absent).
      TypeError: integers in x, others in labels.
    """
    who = "naive_bayes.fit"
    x, where = finite_rows(who, where, x=x)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.within(who, num_classes, where=where, labels=labels)
    known = (labels >= 0) & (labels < num_classes)
    where &= known
    split = dict(where=where, axis_name=axis_name)
    counts, means = class_means(x, labels, num_classes=num_classes, **split)
    away = x - means[jnp.where(known, labels, 0)]
    within = variance(away, **split)
    shares = counts / jnp.maximum(num_present(where, axis_name), 1)
    largest = jnp.max(within)
    floor = FLOOR * jnp.where(largest > 0, largest, 1)
    return NaiveBayes(means, jnp.maximum(within, floor), jnp.log(shares))


def logits(fitted: NaiveBayes, x: Array) -> Array:
    """-sum_d (x - mean_k)^2 / (2 variance) + log share_k: [batch, dim] -> [batch, K].

    Linear in x but for a term that all classes share.
    """
    x = checked_queries("naive_bayes.logits", fitted.variance.shape, x=x)
    scale = jnp.sqrt(fitted.variance)[None]
    rows = x / scale, fitted.means / scale
    return negative_squared_distance.of_pairs(*rows) / 2 + fitted.log_priors[None]


def predict(fitted: NaiveBayes, x: Array) -> Array:
    """[batch, dim] -> [batch] int32; -1 in traced code for what is not finite."""
    return argmax(logits(fitted, x))
