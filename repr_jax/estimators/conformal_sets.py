"""Sets of classes that hold the label with a chosen probability, of any classifier.

The calibration rows must be exchangeable with those the sets are made for, and must not
be those that the classifier was trained on. The promise is over draws of both, not for
each class or input.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import finite_rows
from repr_jax.ops.numerics import to_float
from repr_jax.ops.quantiles import conformal


class ConformalSets(NamedTuple):
    """What was fitted."""

    threshold: Array  # [], the largest score of a class in a set; inf for all classes


def least_ambiguous(logits: Array) -> Array:
    """[batch, classes] -> 1 - p_c, p the softmax: LAC, the smallest sets on average.

    Source: Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued Classifiers with
      Bounded Error Levels", 2019, https://arxiv.org/abs/1609.00451 (from memory).
    """
    return 1 - jax.nn.softmax(to_float(logits), axis=-1)


def cumulated(logits: Array) -> Array:
    """[batch, classes] -> the sum of p_k from the most probable class down to c: APS.

    Larger sets where the classifier is unsure. Without the paper's randomization, so
    that sets cover somewhat more than asked; classes of one probability in their order.

    Source: Romano, Sesia and Candes, "Classification with Valid and Adaptive Coverage",
      2020, section 2, https://arxiv.org/abs/2006.02544 (from memory).
    """
    p = jax.nn.softmax(to_float(logits), axis=-1)
    order = jnp.argsort(-p, axis=-1)
    total = jnp.cumsum(jnp.take_along_axis(p, order, axis=-1), axis=-1)
    return jnp.take_along_axis(total, jnp.argsort(order, axis=-1), axis=-1)


def fit(
    logits: Array,
    labels: Array,
    *,
    miscoverage: float,
    score: Callable = least_ambiguous,
    where: Array | None = None,
) -> ConformalSets:
    """The `ops.quantiles.conformal` quantile of the scores of calibration labels.

    Args:
      logits: [batch, num_classes] float, of rows kept for calibration.
      labels: [batch] int in [0, num_classes).
      miscoverage: in (0, 1), the share of sets that may miss the label; alpha.
      score: logits -> [batch, num_classes], lower for what belongs in the set;
        `least_ambiguous` or `cumulated`, the same in `sets`.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes differ, logits are not finite, a label is not a class (traced,
        either is as good as absent); miscoverage is not in (0, 1).
      TypeError: integer logits, or labels that are not.
    """
    who = "conformal_sets.fit"
    x, where = finite_rows(who, where, logits=logits)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.within(who, x.shape[1], where=where, labels=labels)
    known = (labels >= 0) & (labels < x.shape[1])
    row = jnp.where(known, labels, 0)[:, None]
    scores = jnp.take_along_axis(score(x), row, axis=1)[:, 0]
    where &= known
    return ConformalSets(conformal(scores, miscoverage=miscoverage, where=where))


def sets(
    fitted: ConformalSets, logits: Array, *, score: Callable = least_ambiguous
) -> Array:
    """[batch, num_classes] bool, the classes of each row's set; may be empty with LAC.

    Raises:
      ValueError: logits are not [batch, num_classes] or not finite; in traced code a
        row with a NaN has no class.
    """
    who = "conformal_sets.sets"
    checks.same_shape(who, rank=2, logits=logits)
    checks.floating(who, logits=logits)
    checks.finite(who, logits=logits)
    scores = score(logits)
    return (scores <= fitted.threshold) & ~jnp.isnan(scores)
