"""One temperature that makes a classifier's probabilities mean what they say."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.numerics import to_float

RANGE = 1e3  # of the temperature around the scale of the logits, up and down
STEPS = 60


class TemperatureScaling(NamedTuple):
    """What was fitted."""

    temperature: Array  # []


def fit(
    logits: Array,
    labels: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> TemperatureScaling:
    """The minimum over T of the mean cross-entropy of softmax(logits / T).

    It is convex in 1 / T: steps are Newton's, halving the interval (in logarithms)
    where these leave it. Logits of which the largest is always right want T = 0, and
    get one so small that smaller ones round to the same cross-entropy; those that know
    nothing want an infinite one, and get 1000 times their scale. Accuracy stays.

    Args:
      logits: [batch, num_classes] float, of rows that the network was not trained on.
      labels: [batch] int in [0, num_classes).
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Raises:
      ValueError: shapes do not fit; logits are not finite (where traced, T is NaN); a
        label out of range.
      TypeError: integer logits; labels that are not; a `where` that is not bool.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, eq. 9,
      https://arxiv.org/abs/1706.04599.
    """
    who = "temperature_scaling.fit"
    logits, where = checked_rows(who, where, logits=logits)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.finite(who, where=where, logits=logits)
    checks.within(who, logits.shape[1], where=where, labels=labels)
    z = logits - jnp.max(logits, axis=1, keepdims=True)
    scale = jnp.max(jnp.abs(z), initial=0.0)
    scale = scale if axis_name is None else lax.pmax(scale, axis_name)
    scale = jnp.where(scale == 0, 1, scale)
    z = z / scale
    own = jnp.sum(jax.nn.one_hot(labels, z.shape[1], dtype=z.dtype) * z, axis=1)

    def slope_and_curvature(b):
        """Of the mean of logsumexp(b z) - b own, b = 1 / T."""
        p = jax.nn.softmax(b * z, axis=1)
        mean = jnp.sum(p * z, axis=1)
        spread = jnp.sum(p * (z - mean[:, None]) ** 2, axis=1)
        both = jnp.stack([mean - own, spread], axis=1)
        return masked_mean(both, where=where, axis_name=axis_name)

    def step(_, state):
        low, high, b = state
        slope, curvature = slope_and_curvature(b)
        low, high = jnp.where(slope < 0, b, low), jnp.where(slope < 0, high, b)
        newton = b - slope / jnp.maximum(curvature, jnp.finfo(z.dtype).tiny)
        inside = (newton > low) & (newton < high)
        middle = jnp.sqrt(low * high)
        return low, high, jnp.where(inside | jnp.isnan(newton), newton, middle)

    start = (1 / RANGE + 0 * scale, RANGE + 0 * scale, 1 + 0 * scale)
    b = lax.fori_loop(0, STEPS, step, start)[2]
    return TemperatureScaling(scale / b)


def logits(fitted: TemperatureScaling, logits: Array) -> Array:
    """logits / T: [..., num_classes] -> the same shape."""
    checks.floating("temperature_scaling.logits", logits=logits)
    return to_float(logits) / fitted.temperature
