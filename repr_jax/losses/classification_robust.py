"""Losses of a linear classifier under shifts of its rows."""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.numerics import to_float


def robust_hinge(
    margins: Array,
    norm: Array,
    *,
    gamma: float | Array,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Hinge loss, cut at 1, of each row moved to where it is worst, less the price.

    mean_i sup_z [ l(y_i w.z) - gamma |z - x_i|^2 ], l(a) = min(1, max(0, 1 - a)).

    Of a = margins_i the supremum is 1 if a <= 0, else max(l(a), 1 - a + norm d - gamma
    d^2) with d = norm / (2 gamma), kept between (a - 1) / norm, 0 and a / norm. The
    gradient goes through d.

    For rows without labels, margins are |w.x_i|: y_i is the sign of w.x_i, without
    gradient. The paper adds that loss, times a weight and with a gamma of its own.

    Args:
      margins: [batch] float, y_i w.x_i with y_i = -1 or 1.
      norm: scalar float >= 0, |w|.
      gamma: > 0, the price of moving; towards infinity the loss is the plain one.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in [0, 1], at least the plain loss.

    Raises:
      ValueError: margins are not [batch], norm no scalar, gamma not above 0.
      TypeError: integers.

    Source: Saberi et al., "Out-of-Domain Unlabeled Data Improves Generalization", 2024,
      https://arxiv.org/abs/2310.00027; the closed form is ours.
    """
    who = "robust_hinge"
    margins, where = checked_rows(who, where, rank=1, margins=margins)
    checks.floating(who, norm=norm)
    checks.shape(who, (), norm=norm)
    checks.positive(who, gamma=gamma)
    norm = to_float(norm)
    fixed = norm == 0  # then nothing moves a margin
    length = jnp.where(fixed, 1, norm)
    a = jnp.where(margins > 0, margins, 0)
    farthest, least = a / length, jax.nn.relu(a - 1) / length
    moved = jnp.minimum(jnp.maximum(length / (2 * gamma), least), farthest)
    best = 1 - a + length * moved - gamma * moved**2
    plain = jnp.clip(1 - margins, 0, 1)
    terms = jnp.where(fixed | (margins <= 0), plain, jnp.maximum(plain, best))
    return masked_mean(terms, where=where, axis_name=axis_name)
