"""Which examples are clean: two Gaussians on the losses of a network that is training.

Networks learn right labels before wrong ones, so for a while losses have two modes.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_queries, finite_rows, masked_mean


class LossMixture(NamedTuple):
    """Two components on the losses over their range, the lower mean first."""

    low: Array  # [], the smallest loss
    high: Array  # [], the largest
    means: Array  # [2], of (loss - low) / (high - low)
    variances: Array  # [2]
    weights: Array  # [2], sum to 1


def fit(
    losses: Array,
    *,
    num_steps: int = 10,
    floor: float = 5e-4,
    where: Array | None = None,
    axis_name: str | None = None,
) -> LossMixture:
    """num_steps steps of expectation maximization on losses scaled to [0, 1].

    The start is means 0 and 1, the variance of all plus floor for both, equal weights.

    One huge loss squeezes all others together near 0: cut losses at a quantile first.

    Args:
      losses: [batch] float, one an example.
      num_steps: > 0.
      floor: > 0, added to each variance after each step.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Raises:
      ValueError: losses are not [batch], or not finite (traced: as good as absent); a
        number out of range. TypeError: integers.

    Source: Arazo et al., "Unsupervised Label Noise Modeling and Loss Correction", 2019,
      section 3.1, https://arxiv.org/abs/1904.11238, whose components are Beta; Gaussian
      in Li, Socher and Hoi, "DivideMix", 2020, https://arxiv.org/abs/2002.07394. The
      start and a fixed number of steps are ours; published code is scikit-learn's, from
      k-means and until a tolerance.
    """
    who = "loss_mixture.fit"
    checks.count(who, num_steps=num_steps)
    checks.positive(who, floor=floor)
    losses, where = finite_rows(who, where, rank=1, losses=losses)
    return _fit(losses, where, floor, num_steps, axis_name)


def responsibilities(fitted: LossMixture, losses: Array) -> Array:
    """[batch] -> [batch, 2], how probable each component is, that of low losses first.

    ValueError for losses that are not [batch] or not finite.
    """
    losses = checked_queries("loss_mixture.responsibilities", (), losses=losses)
    return jax.nn.softmax(_logits(fitted, _scaled(fitted, losses)), axis=1)


def clean_probability(fitted: LossMixture, losses: Array) -> Array:
    """[batch] -> [batch], that of the component of low losses; 1 below its mean.

    Far below the lower mean the wider component is the more probable one, which does
    not make a tiny loss a sign of a wrong label. Equal losses are all clean.

    ValueError for losses that are not [batch] or not finite.
    """
    losses = checked_queries("loss_mixture.clean_probability", (), losses=losses)
    scaled = _scaled(fitted, losses)
    shares = jax.nn.softmax(_logits(fitted, scaled), axis=1)[:, 0]
    return jnp.where(scaled <= fitted.means[0], 1, shares)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _fit(losses, where, floor, num_steps, axis_name):
    low = jnp.min(losses, where=where, initial=jnp.inf)
    high = jnp.max(losses, where=where, initial=-jnp.inf)
    if axis_name is not None:
        low, high = lax.pmin(low, axis_name), lax.pmax(high, axis_name)
    low, high = (jnp.where(low <= high, x, 0) for x in (low, high))  # no row
    mean = functools.partial(masked_mean, where=where, axis_name=axis_name)
    empty = jnp.zeros(2, losses.dtype)
    fitted = LossMixture(low, high, empty, empty, empty + 0.5)
    u = _scaled(fitted, losses)
    spread = mean((u - mean(u)) ** 2) + floor
    start = fitted._replace(means=jnp.array([0, 1], u.dtype), variances=empty + spread)

    def step(_, fitted):
        shares = jax.nn.softmax(_logits(fitted, u), axis=1)
        weights = mean(shares)
        over = jnp.where(weights > 0, weights, 1)
        means = jnp.where(weights > 0, mean(shares * u[:, None]) / over, fitted.means)
        away = (u[:, None] - means[None]) ** 2
        variances = mean(shares * away) / over + floor
        return fitted._replace(means=means, variances=variances, weights=weights)

    fitted = lax.fori_loop(0, num_steps, step, start)
    order = jnp.argsort(fitted.means)
    ordered = {k: getattr(fitted, k)[order] for k in ("means", "variances", "weights")}
    return fitted._replace(**ordered)


def _scaled(fitted, losses):
    width = fitted.high - fitted.low
    return (losses - fitted.low) / jnp.where(width > 0, width, 1)


def _logits(fitted, u):
    """[batch, 2] log weight and density, but for a constant."""
    away = (u[:, None] - fitted.means[None]) ** 2 / fitted.variances[None]
    constant = jnp.log(fitted.weights) - 0.5 * jnp.log(fitted.variances)
    return constant[None] - 0.5 * away
