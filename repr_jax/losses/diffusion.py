"""Losses of networks that denoise, at many levels of noise.

Examples have any shape; the network's output and the noise that was added have it too.
`ops.diffusion` and `ops.langevin` have the levels, and the samplers.
"""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean, present
from repr_jax.ops.numerics import to_float


def noise_prediction(
    predictions: Array,
    noise: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Squared error of the noise n that a network sees in sqrt(a) x + sqrt(1 - a) n.

    mean_i |predictions_i - noise_i|^2, each level weighing the same.

    Args:
      predictions: [batch, ...] float, of the network (epsilon_theta).
      noise: [batch, ...] float, standard normal, what was added (epsilon).
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar >= 0; about the number of values of an example if 0 is predicted.

    Raises:
      ValueError: the two differ in shape, or have no batch axis.

    Source: Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", 2020, eq.
      14, https://arxiv.org/abs/2006.11239.
    """
    who, rank = "noise_prediction", max(jnp.ndim(predictions), 1)
    predictions, noise, where = checked_rows(
        who, where, rank=rank, predictions=predictions, noise=noise
    )
    away = predictions - noise
    return masked_mean(_squares(away), where=where, axis_name=axis_name)


def score_matching(
    scores: Array,
    noise: Array,
    sigma: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Denoising score matching at x + sigma n: how far a score is from -n / sigma.

    mean_i 1/2 |sigma_i scores_i + noise_i|^2, so that every level weighs the same.

    Args:
      scores: [batch, ...] float, of the network, the gradient of a log density.
      noise: [batch, ...] float, standard normal, what was added over sigma.
      sigma: [batch] float > 0, the level of each row.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar >= 0.

    Raises:
      ValueError: scores and noise differ in shape, or sigma is not [batch].

    Source: Song and Ermon, "Generative Modeling by Estimating Gradients of the Data
      Distribution", 2019, eqs. 5 and 6 with lambda = sigma^2,
      https://arxiv.org/abs/1907.05600.
    """
    who, rank = "score_matching", max(jnp.ndim(scores), 1)
    scores, noise, where = checked_rows(
        who, where, rank=rank, scores=scores, noise=noise
    )
    checks.floating(who, sigma=sigma)
    checks.shape(who, scores.shape[:1], sigma=sigma)
    sigma = present(to_float(sigma), where).reshape((-1,) + (1,) * (rank - 1))
    away = sigma * scores + noise
    return masked_mean(0.5 * _squares(away), where=where, axis_name=axis_name)


def _squares(x: Array) -> Array:
    """[batch, ...] -> [batch] sums of squares."""
    return jnp.sum(x**2, axis=tuple(range(1, x.ndim)))
