"""Exact posteriors of a Gaussian mixture under linear measurements: a ground truth.

    law = mixture_posterior.make(weights, means, covariances)
    posterior = mixture_posterior.condition(law, matrix, noise=0.1)
    x, component = mixture_posterior.sample(keys, posterior, y)

The component is the class. So the score at every noise level, the denoiser, the
classifier and the sampler are known, and what approximates them can be tested without
training. Factorizations are made on the host in float64; the functions are jittable.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks

TINY = 1e-10  # of the largest eigenvalue: covariances count as singular below


class Law(NamedTuple):
    """K Gaussians with full covariances, by eigenvalues and eigenvectors."""

    log_weights: Array  # [K]
    means: Array  # [K, dim]
    vectors: Array  # [K, dim, dim], eigenvectors in columns
    variances: Array  # [K, dim] >= 0, their eigenvalues


class Posterior(NamedTuple):
    """Of a law given y = matrix x + noise * N(0, I), for any y."""

    log_weights: Array  # [K] of the prior
    means: Array  # [K, dim] of the prior
    predicted: Array  # [K, measured], matrix @ means
    whitening: Array  # [K, measured, measured], W'W is y's inverse covariance
    log_dets: Array  # [K] of y's covariance
    gains: Array  # [K, dim, measured]
    roots: Array  # [K, dim, dim], R with R R' the covariance of x given y


def make(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Law:
    """A law from weights [K] > 0, means [K, dim] and covariances [K, dim, dim].

    Raises:
      ValueError: shapes are not these; a value that is not finite; a weight that is not
        above 0; a covariance that is not symmetric, or has a negative eigenvalue.
    """
    who = "mixture_posterior.make"
    weights, means, covariances = (
        np.asarray(x, np.float64) for x in (weights, means, covariances)
    )
    checks.same_shape(who, rank=2, means=means)
    num, dim = means.shape
    checks.shape(who, (num,), weights=weights)
    checks.shape(who, (num, dim, dim), covariances=covariances)
    checks.finite(who, weights=weights, means=means, covariances=covariances)
    if not np.all(weights > 0):
        raise ValueError(f"{who}: expected weights > 0; got {weights}.")
    if not np.allclose(covariances, np.swapaxes(covariances, 1, 2)):
        raise ValueError(f"{who}: expected symmetric covariances.")
    variances, vectors = np.linalg.eigh(covariances)
    if np.any(variances < -TINY * np.max(variances)):
        raise ValueError(f"{who}: expected no negative eigenvalue of a covariance.")
    log_weights = np.log(weights / weights.sum())
    return Law(*_floats(log_weights, means, vectors, np.maximum(variances, 0)))


def draw(key: Array, law: Law, num_samples: int) -> tuple[Array, Array]:
    """x [num_samples, dim] of the law, and the component of each, int32."""
    checks.count("mixture_posterior.draw", num_samples=num_samples)
    which_key, key = jax.random.split(key)
    k = jax.random.categorical(which_key, law.log_weights, shape=(num_samples,))
    noise = jax.random.normal(key, (num_samples, law.means.shape[1]), law.means.dtype)
    scaled = jnp.sqrt(law.variances)[k] * noise
    x = law.means[k] + _dot("nij,nj->ni", law.vectors[k], scaled)
    return x, k.astype(jnp.int32)


def logits(law: Law, x: Array, variance: float | Array = 0.0) -> Array:
    """[batch, dim] -> [batch, K] log weight + log N(x; mean, covariance + variance I).

    x is a row of the law plus Gaussian noise; their softmax is P(component | x).
    variance: a scalar, above 0 if a covariance is singular.
    """
    whitened, scales = _whitened(law, x, variance)
    log_det = jnp.sum(jnp.log(scales), axis=-1)  # [K]
    constant = law.log_weights - 0.5 * (log_det + x.shape[-1] * math.log(2 * math.pi))
    return constant[None] - 0.5 * jnp.sum(whitened**2 / scales[None], axis=-1)


def score(law: Law, x: Array, variance: float | Array) -> Array:
    """[batch, dim] -> [batch, dim] gradient of the log density of law + noise."""
    whitened, scales = _whitened(law, x, variance)
    share = jax.nn.softmax(logits(law, x, variance), axis=-1)
    away = share[..., None] * whitened / scales[None]
    return -_dot("kij,bkj->bi", law.vectors, away)


def denoise(law: Law, x: Array, variance: float | Array) -> Array:
    """[batch, dim] -> E[x_0 | x_0 + sqrt(variance) N(0, I) = x], by Tweedie."""
    return x + variance * score(law, x, variance)


def predict_noise(law: Law, x: Array, alpha_bar: float | Array) -> Array:
    """E[n | sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) n = x]: an exact DDPM network."""
    variance = (1 - alpha_bar) / alpha_bar
    clean = denoise(law, x / jnp.sqrt(alpha_bar), variance)
    return (x - jnp.sqrt(alpha_bar) * clean) / jnp.sqrt(1 - alpha_bar)


def condition(law: Law, matrix: np.ndarray, *, noise: float) -> Posterior:
    """The posterior given matrix x + noise * N(0, I).

    Args:
      matrix: [measured, dim].
      noise: >= 0, a standard deviation; 0 needs a matrix under which no component is
        degenerate.

    Raises:
      ValueError: another matrix; a covariance of y that is singular.
    """
    who = "mixture_posterior.condition"
    if not 0 <= noise < math.inf:
        raise ValueError(f"{who}: expected a finite noise >= 0; got {noise}.")
    log_weights, means, vectors, variances = (np.asarray(x, np.float64) for x in law)
    matrix = np.asarray(matrix, np.float64)
    checks.shape(who, (*matrix.shape[:1], means.shape[1]), matrix=matrix)
    checks.finite(who, matrix=matrix)
    covariances = np.einsum("kij,kj,klj->kil", vectors, variances, vectors)
    crossed = covariances @ matrix.T  # [K, dim, measured]
    seen = matrix @ crossed + noise**2 * np.eye(len(matrix))
    values, sides = np.linalg.eigh(seen)
    if np.any(values <= TINY * np.max(values)):
        raise ValueError(
            f"{who}: expected measurements of a regular covariance: noise > 0, "
            f"or rows that do not depend on each other."
        )
    whitening = np.swapaxes(sides, 1, 2) / np.sqrt(values)[..., None]
    gains = crossed @ (np.swapaxes(whitening, 1, 2) @ whitening)
    left = covariances - gains @ np.swapaxes(crossed, 1, 2)
    values_left, sides_left = np.linalg.eigh((left + np.swapaxes(left, 1, 2)) / 2)
    roots = sides_left * np.sqrt(np.maximum(values_left, 0))[:, None]
    return Posterior(
        *_floats(
            log_weights,
            means,
            means @ matrix.T,
            whitening,
            np.sum(np.log(values), axis=1),
            gains,
            roots,
        )
    )


def responsibilities(posterior: Posterior, y: Array) -> Array:
    """[batch, measured] -> [batch, K] P(component | y)."""
    away = y[:, None] - posterior.predicted[None]
    whitened = _dot("kij,bkj->bki", posterior.whitening, away)
    logits = posterior.log_weights[None] - 0.5 * posterior.log_dets[None]
    return jax.nn.softmax(logits - 0.5 * jnp.sum(whitened**2, axis=-1), axis=-1)


def component_means(posterior: Posterior, y: Array) -> Array:
    """[batch, measured] -> [batch, K, dim] E[x | y, component]."""
    away = y[:, None] - posterior.predicted[None]
    return posterior.means[None] + _dot("kij,bkj->bki", posterior.gains, away)


def mean(posterior: Posterior, y: Array) -> Array:
    """[batch, measured] -> [batch, dim] E[x | y], of least squared error."""
    share = responsibilities(posterior, y)
    return _dot("bk,bki->bi", share, component_means(posterior, y))


def sample(keys: Array, posterior: Posterior, y: Array) -> tuple[Array, Array]:
    """A draw of x given each y, exact.

    Args:
      keys: [batch] PRNG keys.
      y: [batch, measured].

    Returns:
      x [batch, dim]; component [batch] int32, -1 for a y that is not finite.
    """
    log_share = jnp.log(responsibilities(posterior, y))
    means = component_means(posterior, y)

    def one(key: Array, log_share: Array, means: Array) -> tuple[Array, Array]:
        which_key, key = jax.random.split(key)
        k = jax.random.categorical(which_key, log_share)
        noise = jax.random.normal(key, means.shape[1:], means.dtype)
        x = means[k] + _dot("ij,j->i", posterior.roots[k], noise)
        return x, jnp.where(jnp.any(jnp.isnan(log_share)), -1, k)

    x, component = jax.vmap(one)(keys, log_share, means)
    return x, component.astype(jnp.int32)


def _whitened(law: Law, x: Array, variance: float | Array) -> tuple[Array, Array]:
    """Coordinates [batch, K, dim] along eigenvectors from each mean; variances."""
    away = x[:, None] - law.means[None]
    return _dot("kij,bki->bkj", law.vectors, away), law.variances + variance


def _dot(formula: str, a: Array, b: Array) -> Array:
    return jnp.einsum(formula, a, b, precision=jax.lax.Precision.HIGHEST)


def _floats(*arrays: np.ndarray) -> tuple[Array, ...]:
    """float32, or float64 where jax has it."""
    return tuple(jnp.asarray(x, jnp.result_type(float)) for x in arrays)
