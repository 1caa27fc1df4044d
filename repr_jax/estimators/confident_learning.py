"""Wrong labels from counts of what a classifier is confident of, beside the labels."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_queries, finite_rows, present
from repr_jax.ops.class_statistics import class_means
from repr_jax.ops.numerics import argmax, one_hot, pairwise_dot, same_class

ROUNDING = 1e-6  # below its threshold, what still reaches it


class ConfidentLearning(NamedTuple):
    """What was fitted."""

    thresholds: Array  # [num_classes], infinite of a class that labels no row
    joint: Array  # [num_classes, num_classes] rows by label and by confident class


def fit(
    probabilities: Array,
    labels: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> ConfidentLearning:
    """The mean confidence in each class, and how often rows of a label exceed it.

    thresholds_k = mean_{y_i = k} p_ik; joint_kl counts rows of label k whose most
    probable class among {c: p_ic >= thresholds_c} is l. Off the diagonal are suspects.

    Args:
      probabilities: [batch, num_classes] float in [0, 1], of a classifier that was not
        trained on the row, such as by cross-validation.
      labels: [batch] int in [0, num_classes), some of them wrong.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Raises:
      ValueError: shapes that do not fit, probabilities not finite or out of range, a
        label out of range (traced, such a row is as good as absent).
      TypeError: integers in place of probabilities, others in labels.

    Source: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in
      Dataset Labels", 2021, eqs. 1 and 2, https://arxiv.org/abs/1911.00068. As in
      cleanlab, a probability reaches its threshold from 1e-6 below.
    """
    who = "confident_learning.fit"
    p, where = finite_rows(who, where, probabilities=probabilities)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.probabilities(who, where=where, probabilities=p)
    checks.within(who, p.shape[1], where=where, labels=labels)
    split = dict(where=where, axis_name=axis_name)
    counts, means = class_means(p, labels, num_classes=p.shape[1], **split)
    thresholds = jnp.where(counts > 0, jnp.diagonal(means), jnp.inf)
    given, found = (
        one_hot(y, p.shape[1], dtype=p.dtype)
        for y in (labels, _confident(p, thresholds))
    )
    joint = pairwise_dot(present(given, where).T, found.T)
    joint = joint if axis_name is None else lax.psum(joint, axis_name)
    return ConfidentLearning(thresholds, joint)


def confident_class(fitted: ConfidentLearning, probabilities: Array) -> Array:
    """[batch, num_classes] -> [batch] int32; -1 where no class reaches its threshold.

    Raises:
      ValueError: probabilities are not [batch, num_classes] of the fit, or not finite;
        in traced code such a row gets -1.
    """
    who = "confident_learning.confident_class"
    p = checked_queries(who, fitted.thresholds.shape, probabilities=probabilities)
    p = jnp.where(jnp.isfinite(jnp.sum(p, axis=1, keepdims=True)), p, jnp.nan)
    return _confident(p, fitted.thresholds)


def suspected(fitted: ConfidentLearning, probabilities: Array, labels: Array) -> Array:
    """[batch] bool, rows that are confidently of another class than their label says.

    ValueError and TypeError as `fit`.
    """
    who = "confident_learning.suspected"
    found = confident_class(fitted, probabilities)
    checks.shape(who, found.shape, labels=labels)
    checks.integers(who, labels=labels)
    return (found >= 0) & ~same_class(labels, found)


def _confident(p, thresholds):
    return argmax(jnp.where(p >= thresholds[None] - ROUNDING, p, jnp.nan))
