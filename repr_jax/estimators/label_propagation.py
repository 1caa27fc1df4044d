"""Classes of rows without labels, by a graph that joins them to rows with labels.

Labels are [batch] int in [0, num_classes), negative for rows that have none.

Source: Zhou et al., "Learning with Local and Global Consistency", 2004, in its closed
  form, https://papers.nips.cc/paper/2506-learning-with-local-and-global-consistency.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import (
    by_block,
    checked_queries,
    checked_where,
    finite_rows,
)
from repr_jax.ops.numerics import argmax, one_hot, to_float
from repr_jax.ops.similarity import negative_squared_distance


class LabelPropagation(NamedTuple):
    """The rows, and what reached them."""

    x: Array  # [batch, dim]
    where: Array  # [batch] bool, which are present
    shares: Array  # [batch, num_classes], rows sum to 1
    gamma: Array  # [], of the kernel


def fit(
    x: Array,
    labels: Array,
    *,
    num_classes: int,
    gamma: float = 1.0,
    alpha: float = 0.99,
    where: Array | None = None,
) -> LabelPropagation:
    """`propagate` over the graph of all pairs of rows, weighted by a Gaussian kernel.

    weights_ij = exp(-gamma |x_i - x_j|^2), 0 for i = j.

    Args:
      x: [batch, dim] float.
      labels: [batch] int, negative for rows without one.
      num_classes: of the labels.
      gamma: > 0, 1 / (2 width^2).
      alpha: in [0, 1), as of `propagate`.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes that do not fit; x not finite (where traced, such a row is
        absent); a label or a number out of range.
      TypeError: integers in x, others in labels.
    """
    who = "label_propagation.fit"
    x, where = finite_rows(who, where, x=x)
    checks.positive(who, gamma=gamma)
    labels = _checked_labels(who, labels, num_classes, alpha, where)
    gamma = jnp.asarray(gamma, x.dtype)
    shares = _fit(x, labels, gamma, alpha, where, num_classes)
    return LabelPropagation(x, where, shares, gamma)


def propagate(
    weights: Array,
    labels: Array,
    *,
    num_classes: int,
    alpha: float = 0.99,
    where: Array | None = None,
) -> Array:
    """Shares of the classes at every node, each label being spread along the edges.

    F = (1 - alpha) (I - alpha S)^-1 Y, S = D^-1/2 W D^-1/2, each row over its sum; W
    the weights, D their row sums, Y the one-hot labels, 0 where there is none.

    Solved directly, in time batch^3. A node that no label reaches has equal shares.

    Args:
      weights: [batch, batch] float >= 0, symmetric, 0 for nodes without an edge; of
        nearest neighbors, say, by `ops.neighbors.nearest`. The diagonal is ignored.
      labels, num_classes, where: as of `fit`.
      alpha: in [0, 1), how much comes from neighbors rather than from a node's label.

    Returns:
      [batch, num_classes], in [0, 1]; rows sum to 1.

    Raises:
      ValueError: shapes that do not fit; weights not finite or a number out of range.
      TypeError: integers in weights, others in labels.
    """
    who = "label_propagation.propagate"
    checks.same_shape(who, rank=2, weights=weights)
    checks.floating(who, weights=weights)
    checks.shape(who, (len(weights), len(weights)), weights=weights)
    where = checked_where(who, where, jnp.shape(weights)[:1])
    weights = _between(to_float(weights), where)
    checks.finite(who, weights=weights)
    labels = _checked_labels(who, labels, num_classes, alpha, where)
    return _propagate(weights, labels, alpha, num_classes)


def shares(fitted: LabelPropagation, x: Array) -> Array:
    """Of new rows, the means of the fitted shares: [batch, dim] -> [batch, classes].

    Weighted by the kernel between the new row and each fitted one, which leaves the
    fitted shares as they are.

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite.

    Source: Bengio, Delalleau and Le Roux, "Label Propagation and Quadratic Criterion",
      2006, the induction formula, from memory of it.
    """
    x = checked_queries("label_propagation.shares", fitted.x.shape[1:], x=x)
    return _shares(fitted, x)


def predict(fitted: LabelPropagation, x: Array) -> Array:
    """[batch, dim] -> [batch] int32, the largest share; traced, -1 if not finite."""
    x = checked_queries("label_propagation.predict", fitted.x.shape[1:], x=x)
    return argmax(_shares(fitted, x))


def _checked_labels(who, labels, num_classes, alpha, where):
    """int32; -1 for rows without a label."""
    checks.count(who, num_classes=num_classes)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.fraction(who, alpha=alpha)
    checks.positive(who, **{"1 - alpha": 1 - alpha})
    labels = jnp.where(where, jnp.asarray(labels), -1)
    checks.within(who, num_classes, where=labels >= 0, labels=labels)
    return labels


def _between(weights, where):
    """Without edges to absent nodes and of a node to itself."""
    counted = where[:, None] & where[None] & ~jnp.eye(len(where), dtype=bool)
    return jnp.where(counted, weights, 0)


@functools.partial(jax.jit, static_argnums=5)
def _fit(x, labels, gamma, alpha, where, num_classes):
    weights = jnp.exp(gamma * negative_squared_distance.of_pairs(x, x))
    return _propagate(_between(weights, where), labels, alpha, num_classes)


@functools.partial(jax.jit, static_argnums=3)
def _propagate(weights, labels, alpha, num_classes):
    degrees = jnp.sum(weights, axis=1)
    scale = jnp.where(degrees > 0, lax.rsqrt(jnp.where(degrees > 0, degrees, 1)), 0)
    away = alpha * scale[:, None] * weights * scale[None]
    matrix = jnp.eye(len(weights), dtype=weights.dtype) - away
    known = one_hot(labels, num_classes, dtype=weights.dtype)
    factor = jax.scipy.linalg.cho_factor(matrix)
    found = jnp.maximum(jax.scipy.linalg.cho_solve(factor, known), 0)
    total = jnp.sum(found, axis=1, keepdims=True)
    return jnp.where(total > 0, found / jnp.where(total > 0, total, 1), 1 / num_classes)


@jax.jit
def _shares(fitted, x):
    def of_block(some):
        logits = fitted.gamma * negative_squared_distance.of_pairs(some, fitted.x)
        logits = jnp.where(fitted.where[None], logits, jnp.finfo(logits.dtype).min)
        weights = jax.nn.softmax(logits, axis=1)
        return jnp.matmul(weights, fitted.shares, precision=lax.Precision.HIGHEST)

    return by_block(of_block, x)
