"""Wrong labels and outliers from how rows relate, by their features and predictions.

    k_ij = (max(0, cos(x_i, x_j)) p_i . p_j)^power, 0 where the base is below 0.03

Rows of one kind are near in both features x and class probabilities p of a network,
even of one that has memorized every label.

Source: Kim et al., "Neural Relation Graph: A Unified Framework for Identifying Label
  Noise and Outlier Data", 2023, https://arxiv.org/abs/2301.12321, and code, whose
  numbers are the defaults.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import by_block, checked_queries, finite_rows, present
from repr_jax.ops.numerics import class_ids, l2_normalize, pairwise_dot

CUT = 0.03  # below it rows are not related


class RelationGraph(NamedTuple):
    """The rows that are related."""

    x: Array  # [batch, dim], of unit length
    probabilities: Array  # [batch, num_classes]
    where: Array  # [batch] bool, which are present


class LabelScores(NamedTuple):
    """How well the labels of rows agree with those of related rows."""

    scores: Array  # [batch], lower for what is more probably wrong; 0 if absent
    flagged: Array  # [batch] bool, taken for wrong when the scores were refined


def fit(x: Array, probabilities: Array, *, where: Array | None = None) -> RelationGraph:
    """Stores the rows.

    Args:
      x: [batch, dim] float, features, of any scale.
      probabilities: [batch, num_classes] float in [0, 1], what the network predicts.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes that do not fit; not finite (where traced, such a row is
        absent) or out of range. TypeError: integers; a `where` that is not bool.
    """
    who = "relation_graph.fit"
    checks.same_shape(who, rank=2, x=x)
    checks.rows(who, len(x), probabilities=probabilities)
    p, where = finite_rows(who, where, probabilities=probabilities)
    x, where = finite_rows(who, where, x=x)
    checks.probabilities(who, where=where, probabilities=p)
    return RelationGraph(l2_normalize(x), present(p, where), where)


def label_scores(
    fitted: RelationGraph,
    labels: Array,
    *,
    power: float = 4.0,
    noise_cut: float = 0.05,
    chunk_size: int = 1024,
) -> LabelScores:
    """How much rows of its label outweigh rows of other labels around each row.

    s_i = sum_j r_ij, r_ij = k_ij if labels_i = labels_j, else -k_ij, j = i included.
    Rows with s_i < -noise_cut max_j |s_j| are flagged, and all scores refined to
    s_i - 2 sum_{flagged j} r_ij, as if the labels of these were others.

    Args:
      labels: [batch] int, of the fitted rows.
      power: > 0. The paper writes t.
      noise_cut: >= 0.
      chunk_size: how many rows are compared with all others at a time.

    Raises:
      ValueError: labels are not [batch], a number out of range. TypeError: not int.
    """
    who = "relation_graph.label_scores"
    checks.shape(who, fitted.where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.positive(who, power=power)
    checks.non_negative(who, noise_cut=noise_cut)
    checks.count(who, chunk_size=chunk_size)
    return _label_scores(fitted, class_ids(labels), power, noise_cut, chunk_size)


def score(
    fitted: RelationGraph,
    x: Array,
    probabilities: Array,
    *,
    power: float = 1.0,
    chunk_size: int = 1024,
) -> Array:
    """-sum_j k_ij over the fitted rows j: [batch, dim] -> [batch], at most 0.

    Higher for outliers, which hardly relate to any row. The paper's 1 / (sum_j k_ij +
    1e-6) has the same order.

    Raises:
      ValueError: shapes are not those of the fit; not finite or out of range.
      TypeError: integers.
    """
    who = "relation_graph.score"
    x = checked_queries(who, fitted.x.shape[1:], x=x)
    shape = fitted.probabilities.shape[1:]
    p = checked_queries(who, shape, probabilities=probabilities)
    checks.rows(who, len(x), probabilities=p)
    checks.probabilities(who, probabilities=p)
    checks.positive(who, power=power)
    checks.count(who, chunk_size=chunk_size)
    return _score(fitted, x, p, power, chunk_size)


@functools.partial(jax.jit, static_argnums=4)
def _label_scores(fitted, labels, power, noise_cut, chunk_size):
    def sums_over(counted):
        def of_block(block):
            x, p, label, where = block
            same = label[:, None] == labels[None]
            related = _relations(fitted, x, p, power)
            signed = jnp.where(same, related, -related)
            return present(jnp.sum(present(signed.T, counted), axis=0), where)

        rows = (fitted.x, fitted.probabilities, labels, fitted.where)
        return by_block(of_block, rows, size=chunk_size)

    scores = sums_over(fitted.where)
    largest = jnp.max(jnp.abs(scores), initial=0)
    flagged = fitted.where & (scores < -noise_cut * largest)
    return LabelScores(scores - 2 * sums_over(flagged), flagged)


@functools.partial(jax.jit, static_argnums=4)
def _score(fitted, x, p, power, chunk_size):
    def of_block(block):
        related = _relations(fitted, *block, power)
        return -jnp.sum(present(related.T, fitted.where), axis=0)

    return by_block(of_block, (l2_normalize(x), p), size=chunk_size)


def _relations(fitted, x, p, power):
    """[rows, batch], of rows of unit length."""
    alike = pairwise_dot(x, fitted.x)
    base = jnp.maximum(alike, 0) * pairwise_dot(p, fitted.probabilities)
    return jnp.where(base < CUT, 0, base) ** power
