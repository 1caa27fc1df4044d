"""Annealed Langevin dynamics: samples of a score model, free or given a measurement."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from repr_jax.ops import checks, diffusion
from repr_jax.ops.batch import row_normal
from repr_jax.ops.measurement import Operator, singular_values


class Samples(NamedTuple):
    """What the dynamics arrived at."""

    x: Array  # [batch, ...]
    residual: Array  # [levels, batch], |y - H x| / sqrt(numbers in y) after each level


def geometric_levels(*, largest: float, smallest: float, num_levels: int) -> np.ndarray:
    """[num_levels] float64 standard deviations of noise, falling by a constant factor.

    largest: about the greatest distance of two examples. Source: Song and Ermon,
    "Improved Techniques for Training Score-Based Generative Models", 2020, techniques 1
    and 2, https://arxiv.org/abs/2006.09011.
    """
    checks.count("geometric_levels", minimum=2, num_levels=num_levels)
    if not 0 < smallest < largest < math.inf:
        raise ValueError(
            f"geometric_levels: expected 0 < smallest < largest; got {smallest} and "
            f"{largest}."
        )
    return np.geomspace(largest, smallest, num_levels)


def sample(
    keys: Array,
    score: Callable,
    start: Array,
    *,
    levels: np.ndarray,
    num_inner: int,
    step_size: float,
    operator: Operator | None = None,
    y: Array | None = None,
    noise: float = 0.0,
    guidance: float = 1.0,
) -> Samples:
    """Samples of p(x | y), or of p(x) without an operator.

    For each level sigma, num_inner times, with a = step_size (sigma / smallest)^2:
      x <- x + a (score(x, sigma) + guidance L) + sqrt(2 a) N(0, I),
    L the gradient of log N(y; H x, (noise^2 + s^2 sigma^2) I) along each coordinate of
    the operator's SVD, s its singular value; at the end x <- x + smallest^2 score.

    Args:
      keys: [batch].
      score: (x [batch, ...], sigma scalar) -> [batch, ...], the gradient of the log
        density of examples with noise of standard deviation sigma.
      start: [batch, ...] float: what to begin with; uniform in [0, 1] in the source.
      levels: [levels] > 0, falling.
      num_inner: steps at each level.
      step_size: > 0 (epsilon), at the last level.
      operator, y: the measurement, y [batch, ...]; None for both to have none.
      noise: >= 0, the standard deviation of that of y (sigma_0).
      guidance: >= 0 (lambda), 1 for the posterior.

    Raises:
      ValueError: a number out of range; levels that do not fall; one of operator and y.

    Source: Jalal et al., "Fairness for Image Generation with Uncertain Sensitive
      Attributes", 2021, https://arxiv.org/abs/2106.12182; the dynamics: Song and Ermon,
      2020, algorithm 1. The s^2 is ours: of average pooling without noise, with one s,
      it makes their code's step, which takes the sum over pixels for H'.
    """
    levels = _checked(levels, num_inner, step_size, operator, y)
    checks.non_negative("langevin.sample", noise=noise, guidance=guidance)

    def level(carry: Array, inputs: tuple) -> tuple[Array, Array]:
        sigma, number = inputs
        size = step_size * (sigma / levels[-1]) ** 2

        def move(inner: Array, x: Array) -> Array:
            gradient = score(x, sigma) + guidance * _pull(operator, x, y, sigma, noise)
            own_keys = diffusion.fold(keys, number * num_inner + inner)
            fresh = row_normal(own_keys, start.shape[1:])
            return x + size * gradient + jnp.sqrt(2 * size) * fresh

        x = lax.fori_loop(0, num_inner, move, carry)
        return x, _residual(operator, x, y)

    inputs = jnp.asarray(levels, start.dtype), jnp.arange(len(levels))
    x, residual = lax.scan(level, start, inputs)
    smallest = inputs[0][-1]
    return Samples(x + smallest**2 * score(x, smallest), residual)


def _pull(
    operator: Operator | None, x: Array, y: Array | None, sigma: Array, noise: float
) -> Array:
    """The gradient L of `sample`."""
    if operator is None:
        return jnp.zeros_like(x)
    away = operator.observed(y - operator.forward(x))
    singular = singular_values(operator, away)
    variance = noise**2 + singular**2 * sigma**2
    weight = jnp.where(singular > 0, singular**2 / jnp.maximum(variance, 1e-30), 0)
    return operator.from_spectrum(weight * away)


def _residual(operator: Operator | None, x: Array, y: Array | None) -> Array:
    if operator is None:
        return jnp.zeros(len(x), x.dtype)
    away = (y - operator.forward(x)).reshape(len(x), -1)
    return jnp.linalg.norm(away, axis=1) / math.sqrt(away.shape[1])


def _checked(
    levels: np.ndarray,
    num_inner: int,
    step_size: float,
    operator: Operator | None,
    y: Array | None,
) -> np.ndarray:
    who = "langevin.sample"
    checks.count(who, num_inner=num_inner)
    checks.positive(who, step_size=step_size)
    levels = np.asarray(levels, np.float64)
    checks.same_shape(who, rank=1, levels=levels)
    checks.finite(who, levels=levels)
    if not (np.all(levels > 0) and np.all(np.diff(levels) < 0)):
        raise ValueError(f"{who}: expected levels > 0 that fall; got {levels}.")
    if (operator is None) != (y is None):
        raise ValueError(f"{who}: expected operator and y, or neither.")
    return levels
