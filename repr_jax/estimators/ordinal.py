"""Ordered classes with slopes that nearly agree: rare ends borrow from the middle.

    P(y <= k | x) = sigmoid(intercepts_k + coefficients_k . x), k up to num_classes - 2

Equal slopes are proportional odds; here neighbors may differ, at a price.

Source: Faletto and Bien, "Predicting Rare Events by Shrinking Towards Proportional
  Odds" (PRESTO), 2023, https://arxiv.org/abs/2305.18700. The descent is ours.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_queries, finite_rows, masked_mean
from repr_jax.ops.numerics import argmax, one_hot, pairwise_dot


class Ordinal(NamedTuple):
    """What was fitted."""

    intercepts: Array  # [num_classes - 1]
    coefficients: Array  # [num_classes - 1, dim]
    objective: Array  # [], at the end
    num_steps: Array  # [] int32, steps taken
    converged: Array  # [] bool, did a step fall to the tolerance?


def fit(
    x: Array,
    labels: Array,
    *,
    num_classes: int,
    penalty: float = 0.01,
    max_steps: int = 5000,
    tolerance: float = 1e-6,
    where: Array | None = None,
) -> Ordinal:
    """Minimizes the surprise plus the differences of the slopes of neighbors.

    -mean_i log p(y_i | x_i) + penalty (|c_0|_1 + sum_k |c_k - c_{k-1}|_1), c the
    coefficients.

    In differences it is a lasso: proximal gradient with momentum, from c = 0 and the
    cumulative shares. A step after which the curves of two classes would cross at a
    row, some p being 0 or less, is made shorter.

    Args:
      x: [batch, dim] float; standardize it, as the penalty is the same for each column.
      labels: [batch] int in [0, num_classes), in order, each class occurring.
      num_classes: > 1; for 2 it is logistic regression.
      penalty: >= 0. The paper writes lambda.
      max_steps: the fit ends after so many steps at the latest; see `converged`.
      tolerance: the fit ends once no parameter moves by more in a step.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes do not fit; x not finite (where traced, such a row is absent),
        labels or a number out of range, a class without rows (traced: of no use).
      TypeError: integers in x, others in labels.
    """
    who = "ordinal.fit"
    checks.count(who, minimum=2, num_classes=num_classes)
    checks.count(who, max_steps=max_steps)
    checks.non_negative(who, penalty=penalty)
    x, where = finite_rows(who, where, x=x)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.within(who, num_classes, where=where, labels=labels)
    labels = one_hot(labels, num_classes, dtype=x.dtype)
    shares = masked_mean(labels, where=where)
    if checks.known(shares) and jnp.any(shares == 0):
        missing = int(jnp.argmin(shares))
        raise ValueError(f"{who}: expected rows of every class; got none of {missing}.")
    return _fit(x, labels, shares, penalty, tolerance, where, max_steps)


def surprise(intercepts: Array, coefficients: Array, x: Array, labels: Array) -> Array:
    """-mean_i log p(labels_i | x_i), infinite where curves cross at a row.

    Shapes are those of `Ordinal` and `fit`; for a look at other parameters.
    """
    checks.integers("ordinal.surprise", labels=labels)
    wanted = one_hot(labels, len(intercepts) + 1, dtype=jnp.result_type(float))
    found = _log_p(intercepts, coefficients, x)
    return -jnp.mean(jnp.sum(jnp.where(wanted > 0, found, 0), axis=1))


def log_probabilities(fitted: Ordinal, x: Array) -> Array:
    """[batch, dim] -> [batch, num_classes]; their exponentials sum to 1.

    Far from the fitted rows curves may cross: p below 1e-12 is taken for that.

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite.
    """
    who = "ordinal.log_probabilities"
    x = checked_queries(who, fitted.coefficients.shape[1:], x=x)
    return jax.nn.log_softmax(_floored(fitted, x), axis=1)


def predict(fitted: Ordinal, x: Array) -> Array:
    """[batch, dim] -> [batch] int32, the most probable class; traced, -1 if not finite.

    ValueError for x that is not finite.
    """
    x = checked_queries("ordinal.predict", fitted.coefficients.shape[1:], x=x)
    return argmax(_floored(fitted, x))


def _floored(fitted, x):
    found = _log_p(fitted.intercepts, fitted.coefficients, x)
    return jnp.maximum(found, jnp.log(jnp.asarray(1e-12, found.dtype)))  # NaN stays


def _log_p(intercepts, coefficients, x):
    """[batch, num_classes], -inf where p <= 0.

    sigmoid(u) - sigmoid(v) = sigmoid(u) sigmoid(-v) (1 - exp(v - u)) cancels nothing.
    """
    curves = pairwise_dot(x, coefficients) + intercepts[None]
    below = jax.nn.log_sigmoid(curves)  # log P(y <= k)
    above = jax.nn.log_sigmoid(-curves)
    gaps = curves[:, 1:] - curves[:, :-1]
    crossed = gaps <= 0
    rise = jnp.log(-jnp.expm1(-jnp.where(crossed, 1, gaps)))
    between = jnp.where(crossed, -jnp.inf, rise) + below[:, 1:] + above[:, :-1]
    return jnp.concatenate([below[:, :1], between, above[:, -1:]], axis=1)


@functools.partial(jax.jit, static_argnums=6)
def _fit(x, labels, shares, penalty, tolerance, where, max_steps):
    def smooth(theta):
        intercepts, steps = theta
        log_p = _log_p(intercepts, jnp.cumsum(steps, axis=0), x)
        terms = -jnp.sum(jnp.where(labels > 0, log_p, 0), axis=1)
        crossed = jnp.any(jnp.isneginf(log_p) & where[:, None])
        return jnp.where(crossed, jnp.inf, masked_mean(terms, where=where))

    def whole(theta):
        return smooth(theta) + penalty * jnp.sum(jnp.abs(theta[1]))

    def proximal(theta, gradient, rate):
        intercepts, steps = jax.tree.map(lambda a, g: a - rate * g, theta, gradient)
        shrunk = jnp.maximum(jnp.abs(steps) - rate * penalty, 0)
        return intercepts, jnp.sign(steps) * shrunk

    def search(theta, rate):
        """The first of rate, rate / 2, ... whose quadratic bound holds."""
        value, gradient = jax.value_and_grad(smooth)(theta)

        def fails(rate):
            new = proximal(theta, gradient, rate)
            move = jax.tree.map(jnp.subtract, new, theta)
            slope = sum(jax.tree.leaves(jax.tree.map(_dot, gradient, move)))
            square = sum(jax.tree.leaves(jax.tree.map(_dot, move, move)))
            slack = 4 * jnp.finfo(value.dtype).eps * jnp.abs(value)
            bound = value + slope + square / (2 * rate) + slack
            return ~(smooth(new) <= bound) & (rate > 1e-8)

        rate = lax.while_loop(fails, lambda rate: rate / 2, rate)
        return proximal(theta, gradient, rate), rate

    def step(carry):
        theta, last, momentum, rate, count, _ = carry
        grown = 0.5 * (1 + jnp.sqrt(1 + 4 * momentum**2))
        weight = (momentum - 1) / grown
        ahead = jax.tree.map(lambda a, b: a + weight * (a - b), theta, last)
        good = jnp.isfinite(smooth(ahead))
        start = jax.tree.map(lambda a, b: jnp.where(good, a, b), ahead, theta)
        new, rate = search(start, 1.5 * rate)
        here = whole(theta)
        rounding = 4 * jnp.finfo(here.dtype).eps * jnp.abs(here)
        worse = whole(new) > here + rounding  # then momentum starts anew
        moved = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), new, theta)
        plain = good & (momentum == 1)  # if that is worse, only by rounding
        moved = jnp.where(worse | ~good, jnp.inf, jnp.maximum(*moved))
        moved = jnp.where(worse & plain, 0, moved)
        new = jax.tree.map(lambda a, b: jnp.where(worse, b, a), new, theta)
        return new, theta, jnp.where(worse, 1.0, grown), rate, count + 1, moved

    def unfinished(carry):
        return (carry[4] < max_steps) & (carry[5] > tolerance)

    below = jnp.cumsum(shares)[:-1]
    intercepts = jnp.log(below) - jnp.log1p(-below)
    theta = intercepts, jnp.zeros((len(below), x.shape[1]), x.dtype)
    one = jnp.ones((), x.dtype)
    start = theta, theta, one, one, jnp.int32(0), jnp.inf * one
    theta, _, _, _, count, moved = lax.while_loop(unfinished, step, start)
    slopes = jnp.cumsum(theta[1], axis=0)
    return Ordinal(theta[0], slopes, whole(theta), count, moved <= tolerance)


def _dot(a, b):
    return jnp.sum(a * b)
