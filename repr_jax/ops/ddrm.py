"""Denoising diffusion restoration: a diffusion model conditioned on a measurement."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from repr_jax.ops import checks, diffusion
from repr_jax.ops.batch import row_normal
from repr_jax.ops.measurement import Operator, singular_values


def sample(
    keys: Array,
    predict_noise: Callable,
    operator: Operator,
    y: Array,
    *,
    alpha_bars: np.ndarray,
    noise: float = 0.0,
    num_steps: int = 20,
    eta: float = 0.85,
    eta_b: float = 1.0,
) -> Array:
    """Images whose measurement is y, coordinate by coordinate of the operator's SVD.

    With sigma = sqrt((1 - a) / a) of the next time, c the coordinates of the denoised
    image, e those of the predicted noise, b = S^+ U'y and s the singular values, each
    next coordinate is normal, of mean and standard deviation
      s = 0:               c + sqrt(1 - eta^2) sigma e,                    eta sigma;
      0 < s sigma < noise: c + sqrt(1 - eta^2) sigma s (b - c) / noise,    eta sigma;
      s sigma > noise:     (1 - eta_b) c + eta_b b, the root of
                           sigma^2 - (eta_b noise / s)^2.
    Not a sampler of the posterior, even with an exact network: its spread is too small.
    The last image need not fulfill a measurement without noise; see
    `measurement.consistent`.

    Args:
      keys: [batch].
      predict_noise: (x [batch, ...], time int32 scalar) -> [batch, ...], as in
        `diffusion`.
      operator: of images, in the range of the network.
      y: [batch, ...] of the operator.
      alpha_bars: [T] in (0, 1), falling.
      noise: >= 0, the standard deviation of that of y (sigma_0 or sigma_y).
      num_steps: of `diffusion.spaced_times`.
      eta, eta_b: in [0, 1].

    Returns:
      [batch, ...] float, images.

    Source: Kawar et al., "Denoising Diffusion Restoration Models", 2022, eqs. 7 and 8,
      https://arxiv.org/abs/2201.11793.
    """
    known = operator.observed(y)
    singular = singular_values(operator, known)
    given = _checked(_Given(known, singular, noise, eta, eta_b))
    start_keys, step_keys = diffusion.split(keys)
    steps = diffusion.steps_of(alpha_bars, num_steps)

    def step(v: Array, inputs: tuple) -> tuple[Array, None]:
        """v: coordinates of x / sqrt(alpha_bar), with noise of variance sigma^2."""
        time, alpha_bar, following, number = inputs
        x = jnp.sqrt(alpha_bar) * operator.from_spectrum(v)
        guess = operator.to_spectrum(predict_noise(x, time))
        clean = v - _sigma(alpha_bar) * guess
        mean, spread = _following(given, clean, guess, _sigma(following))
        fresh = row_normal(diffusion.fold(step_keys, number), known.shape[1:])
        return mean + spread * fresh, None

    mean, spread = _first(given, _sigma(steps[1][0]))
    start = mean + spread * row_normal(start_keys, known.shape[1:])
    v, _ = lax.scan(step, start, steps)
    return operator.from_spectrum(v)


class _Given(NamedTuple):
    """What is known of the coordinates, and how they are drawn."""

    known: Array  # [batch, ...], S^+ U'y
    singular: Array  # broadcasts against it
    noise: float
    eta: float
    eta_b: float


def _checked(given: _Given) -> _Given:
    checks.non_negative("ddrm.sample", noise=given.noise)
    checks.fraction("ddrm.sample", eta=given.eta, eta_b=given.eta_b)
    return given


def _first(given: _Given, sigma: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of the coordinates at the last time."""
    clear = given.singular * sigma > given.noise
    spread = jnp.where(clear, _left(given, sigma, 1.0), sigma)
    return jnp.where(clear, given.known, 0), spread


def _following(
    given: _Given, clean: Array, guess: Array, sigma: Array
) -> tuple[Array, Array]:
    """Those of the next coordinates: the three cases, and of equality the denoised."""
    known, singular, noise, eta, eta_b = given
    measured = singular > 0
    free = (1 - eta**2) ** 0.5 * sigma
    unclear = clean + free * singular * (known - clean) / (noise or 1.0)
    clear = (1 - eta_b) * clean + eta_b * known
    is_clear = singular * sigma > noise
    is_unclear = measured & (singular * sigma < noise) & (sigma > 0)
    mean = jnp.where(measured, clean, clean + free * guess)
    mean = jnp.where(is_unclear, unclear, jnp.where(is_clear, clear, mean))
    spread = jnp.where(is_clear, _left(given, sigma, eta_b), eta * sigma)
    return mean, jnp.where(measured & ~is_clear & ~is_unclear, 0, spread)


def _left(given: _Given, sigma: Array, share: float) -> Array:
    """Deviation that noise of y leaves, where it is less than sigma."""
    measured = given.singular > 0
    inverse = jnp.where(measured, 1 / jnp.where(measured, given.singular, 1), 0)
    variance = sigma**2 - (share * given.noise * inverse) ** 2
    return jnp.sqrt(jnp.maximum(variance, 0))


def _sigma(alpha_bar: Array) -> Array:
    return jnp.sqrt((1 - alpha_bar) / alpha_bar)
