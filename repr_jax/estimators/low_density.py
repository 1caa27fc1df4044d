"""A hyperplane between two classes that avoids the rows without labels.

    |w|^2 / 2 + cost sum_i max(0, 1 - y_i f_i)^2 + unlabeled_cost sum_u exp(-3 f_u^2)

f = w . x + bias; the bias is such that the mean of f over unlabeled rows is the mean of
the labels, so that not all of them end on one side.

Source: Burkhart and Shan, "Deep Low-Density Separation for Semi-Supervised
  Classification", 2020, https://arxiv.org/abs/2205.11995; the solver and its numbers
  are those of Chapelle and Zien, "Semi-Supervised Classification by Low Density
  Separation", 2005, from memory of it and from its code, by our own descent. That the
  newer paper takes this solver is our guess.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_queries, finite_rows, masked_mean, present
from repr_jax.ops.numerics import stored


class LowDensity(NamedTuple):
    """What was fitted."""

    weights: Array  # [dim]
    bias: Array  # []
    objective: Array  # [], at the end


def fit(
    x: Array,
    labels: Array,
    *,
    num_rounds: int = 11,
    steps_per_round: int = 200,
    where: Array | None = None,
) -> LowDensity:
    """Descends from w = 0, while unlabeled rows count more and more.

    cost = 1 / (sum of the variances of all rows); unlabeled_cost rises from a hundredth
    of it to it, in num_rounds equal ratios. For several classes, fit each against the
    rest.

    Args:
      x: [batch, dim] float, all rows.
      labels: [batch] int, 1 or -1, and 0 for rows without one.
      num_rounds: > 1.
      steps_per_round: > 0, steps of gradient descent, each as long as helps.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes do not fit; x not finite (where traced, such a row is absent),
        a label or a number out of range. TypeError: integers in x, others in labels.
    """
    who = "low_density.fit"
    checks.count(who, minimum=2, num_rounds=num_rounds)
    checks.count(who, steps_per_round=steps_per_round)
    x, where = finite_rows(who, where, x=x)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.within(who, 3, where=where, **{"labels + 1": jnp.asarray(labels) + 1})
    return _fit(x, jnp.asarray(labels), where, num_rounds, steps_per_round)


def balanced_bias(
    weights: Array, x: Array, labels: Array, *, where: Array | None = None
) -> Array:
    """The mean label less the mean of weights . x over rows without one: a number.

    Arguments and errors are those of `fit`.
    """
    x, where = finite_rows("low_density.balanced_bias", where, x=x)
    labels = jnp.asarray(labels)
    free, known = where & (labels == 0), where & (labels != 0)
    along = _along(x, weights)
    target = masked_mean(labels.astype(x.dtype), where=known)
    return target - masked_mean(along, where=free)


def objective(
    weights: Array,
    bias: Array,
    x: Array,
    labels: Array,
    *,
    cost: float | Array,
    unlabeled_cost: float | Array,
    where: Array | None = None,
) -> Array:
    """What is minimized, at any weights and bias; arguments are those of `fit`."""
    x, where = finite_rows("low_density.objective", where, x=x)
    labels = jnp.asarray(labels)
    free, known = where & (labels == 0), where & (labels != 0)
    f = _along(x, weights) + bias
    hinges = present(jax.nn.relu(1 - labels * f) ** 2, known)
    near = present(jnp.exp(-3 * f**2), free)
    size = 0.5 * jnp.sum(jnp.asarray(weights) ** 2)
    return size + cost * jnp.sum(hinges) + unlabeled_cost * jnp.sum(near)


def score(fitted: LowDensity, x: Array) -> Array:
    """[batch, dim] -> [batch], above 0 on the side of the label 1.

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite.
    """
    x = checked_queries("low_density.score", fitted.weights.shape, x=x)
    return _along(x, fitted.weights) + fitted.bias


def _along(x, weights):
    return jnp.matmul(x, jnp.asarray(weights, x.dtype), precision=lax.Precision.HIGHEST)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _fit(x, labels, where, num_rounds, steps_per_round):
    center = stored(masked_mean(x, where=where))
    x = present(x - center[None], where)
    spread = jnp.sum(masked_mean(x**2, where=where))
    cost = 1 / jnp.where(spread > 0, spread, 1)

    def value(weights, unlabeled_cost):
        bias = balanced_bias(weights, x, labels, where=where)
        costs = dict(cost=cost, unlabeled_cost=unlabeled_cost)
        return objective(weights, bias, x, labels, where=where, **costs)

    def descend(weights, unlabeled_cost):
        def step(_, carry):
            weights, rate = carry
            here, slope = jax.value_and_grad(value)(weights, unlabeled_cost)
            enough = 0.5 * jnp.sum(slope**2)
            rounding = 4 * jnp.finfo(here.dtype).eps * jnp.abs(here)

            def fails(rate):
                new = value(weights - rate * slope, unlabeled_cost)
                return (new > here + rounding - rate * enough) & (rate > 1e-9)

            rate = lax.while_loop(fails, lambda rate: rate / 2, 2 * rate)
            return weights - rate * slope, rate

        start = weights, jnp.ones((), x.dtype)
        return lax.fori_loop(0, steps_per_round, step, start)[0], None

    costs = cost * 0.01 ** jnp.linspace(1, 0, num_rounds, dtype=x.dtype)
    weights, _ = lax.scan(descend, jnp.zeros(x.shape[1], x.dtype), costs)
    bias = balanced_bias(weights, x, labels, where=where) - _along(center, weights)
    return LowDensity(weights, bias, value(weights, cost))
