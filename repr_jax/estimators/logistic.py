"""Multinomial logistic regression: a linear classifier, and its logits."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.sparse.linalg import cg

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where, masked_mean, present
from repr_jax.ops.numerics import argmax, pairwise_dot, stored, to_float


class Logistic(NamedTuple):
    """logits = x weights + bias, computed as (x - center) weights + center_logits."""

    weights: Array  # [dim, class]
    bias: Array  # [class], the logits at the origin
    num_steps: Array  # [] int32, Newton steps taken
    gradient: Array  # [], largest absolute entry at the end, features scaled to 1
    converged: Array  # [] bool, did the gradient fall to the tolerance?
    center: Array  # [dim], the mean of the features
    center_logits: Array  # [class], the logits there


def fit(
    x: Array,
    labels: Array,
    *,
    num_classes: int,
    penalty: float = 1.0,
    max_steps: int = 20,
    tolerance: float = 1e-7,
    weights: Array | None = None,
    where: Array | None = None,
) -> Logistic:
    """L2-regularized logistic regression by Newton's method, from zero.

    mean_i CE(x_i weights + bias, labels_i) + penalty sum(weights^2) / (2 batch)

    The bias is not penalized, so the fit is of centered features, which is the same
    problem without its cancellations. Newton's equations are solved by conjugate
    gradients on features of unit scale; the penalty is that of `x` as it is. Convex:
    with the same penalty every converged solver has the same answer.

    Args:
      x: [batch, dim] float.
      labels: [batch] int in [0, num_classes), each class occurring.
      num_classes: > 1.
      penalty: > 0. scikit-learn's C is 1 / penalty.
      max_steps: the fit ends after so many steps at the latest; see `converged`.
      tolerance: the fit ends once no entry of the gradient exceeds it.
      weights: [batch] float >= 0, by which the cross-entropy of each row is multiplied;
        None for 1. scikit-learn writes sample_weight.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: x is not [batch, dim], labels or where has another number of rows,
        fewer than two classes, a penalty that is not above 0, x that is not finite
        (traced: weights are NaN), or labels out of range (traced: of no class).
      TypeError: integers in x, floats in labels, a `where` that is not bool.
    """
    who = "logistic.fit"
    checks.same_shape(who, rank=2, x=x)
    checks.shape(who, x.shape[:1], labels=labels)
    checks.floating(who, x=x)
    checks.integers(who, labels=labels)
    checks.count(who, minimum=2, num_classes=num_classes)
    checks.count(who, max_steps=max_steps)
    checks.positive(who, penalty=penalty)
    where = checked_where(who, where, x.shape[:1])
    checks.finite(who, where=where, x=x)
    if weights is None:
        weights = jnp.ones(x.shape[:1])
    checks.shape(who, x.shape[:1], weights=weights)
    checks.floating(who, weights=weights)
    checks.within(who, num_classes, where=where, labels=labels)
    return _newton(
        x,
        labels,
        penalty,
        tolerance,
        to_float(weights),
        where,
        num_classes=num_classes,
        max_steps=max_steps,
    )


@functools.partial(jax.jit, static_argnames=("num_classes", "max_steps"))
def _newton(x, labels, penalty, tolerance, weights, where, *, num_classes, max_steps):
    x = present(to_float(x), where)
    row_weights = present(weights, where).astype(x.dtype)
    center = stored(masked_mean(x, where=where))
    x = present(x - center[None], where)
    target = present(jax.nn.one_hot(labels, num_classes, dtype=x.dtype), where)
    count = jnp.maximum(jnp.sum(where), 1)
    penalty = penalty / count
    scale = jnp.sqrt(masked_mean(x**2, where=where) + penalty)[:, None]
    x, penalty = x / scale.T, penalty / scale**2  # [dim, 1], of the scaled weights

    def logits(theta):
        return pairwise_dot(x, theta[0].T) + theta[1][None, :]

    def mean(values):
        return masked_mean(row_weights * values, where=where)

    def objective(theta):
        log_p = jax.nn.log_softmax(logits(theta), axis=-1)
        cross_entropy = -mean(jnp.sum(target * log_p, axis=-1))
        return cross_entropy + 0.5 * jnp.sum(penalty * theta[0] ** 2)

    gradient = jax.grad(objective)

    def step(carry):
        theta, descent, count = carry
        _, curvature = jax.linearize(gradient, theta)
        direction, _ = cg(curvature, descent, tol=0.01, maxiter=100)
        here, along = logits(theta), logits(direction)
        weights = theta[0], direction[0]
        length = _step_length(here, along, *weights, target, penalty, mean)
        theta = jax.tree.map(lambda a, b: a + length * b, theta, direction)
        return theta, jax.tree.map(jnp.negative, gradient(theta)), count + 1

    def largest(tree):
        return jnp.max(jnp.stack([jnp.max(jnp.abs(a)) for a in tree]))

    def unfinished(carry):
        return (carry[2] < max_steps) & (largest(carry[1]) > tolerance)

    zeros = functools.partial(jnp.zeros, dtype=x.dtype)
    theta = (zeros((x.shape[1], num_classes)), zeros(num_classes))
    start = (theta, jax.tree.map(jnp.negative, gradient(theta)), jnp.int32(0))
    (scaled, at_center), descent, steps = jax.lax.while_loop(unfinished, step, start)
    left = largest(descent)
    at_center -= jnp.mean(at_center)  # what all classes share is rounding
    scaled, at_center = (
        jnp.where(jnp.isnan(left), jnp.nan, a) for a in (scaled, at_center)
    )
    weights = scaled / scale
    bias = at_center - pairwise_dot(center[None], weights.T)[0]
    return Logistic(weights, bias, steps, left, left <= tolerance, center, at_center)


def _step_length(here, along, weights, direction, target, penalty, mean):
    """Of 1, 1/2, ..., 1/512, where the objective is flattest along the direction.

    here, along: logits of both; weights, direction: without biases.
    """
    product = jnp.sum(penalty * weights * direction)
    square = jnp.sum(penalty * direction**2)

    def slope(t):
        error = jax.nn.softmax(here + t * along, axis=-1) - target
        of_fit = mean(jnp.sum(error * along, axis=-1))
        return of_fit + product + t * square

    lengths = 0.5 ** jnp.arange(10.0)
    return lengths[jnp.argmin(jnp.abs(jax.lax.map(slope, lengths)))]


@jax.jit
def logits(logistic: Logistic, x: Array) -> Array:
    """[batch, dim] -> [batch, class]; their softmax is the probability of a class."""
    x = to_float(x) - logistic.center[None]
    return pairwise_dot(x, logistic.weights.T) + logistic.center_logits[None]


def predict(logistic: Logistic, x: Array) -> Array:
    """[batch, dim] -> [batch] int32, the most probable class.

    ValueError for x that is not finite; in traced code such a row gets -1.
    """
    checks.finite("logistic.predict", x=x)
    return _most_probable(logistic, x)


@jax.jit
def _most_probable(logistic, x):
    return argmax(logits(logistic, x))
