"""Regions that hold a vector with a chosen probability, of any shape: conformal ST-DQR.

A generator decodes a grid of latents, given the input; `in_half_spaces` says which
latents are inside the region of directional quantiles. The region of the target is all
that is within a radius of what is decoded inside, or for a negative radius what is at
least so far from all that is decoded outside, fitted on rows kept for calibration.

Source: Feldman, Bates and Romano, "Calibrated Multiple-Output Quantile Regression with
  Representation Learning", 2023, https://arxiv.org/abs/2110.00816. Their code grows or
  shrinks by one of two distances at an interpolated quantile; here one signed distance
  does both, at the conformal quantile.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import finite_rows
from repr_jax.ops.numerics import to_float
from repr_jax.ops.quantiles import conformal


class QuantileRegion(NamedTuple):
    """What was fitted."""

    radius: Array  # [], in units of the target; inf for too few calibration rows


def in_half_spaces(projections: Array, quantiles: Array) -> Array:
    """[..., directions] -> [...] bool: at least the quantile in every direction."""
    return jnp.all(projections >= quantiles, axis=-1)


def signed_distance(y: Array, decoded: Array, inside: Array) -> Array:
    """How far outside a target is, or minus how far inside.

    The distance to the nearest point decoded inside, if a point outside is nearer, else
    minus the distance to the nearest outside; inf if no point is inside, else -inf if
    none is outside. It holds batch x points x dim numbers in memory.

    Args:
      y: [batch, dim] float.
      decoded: [batch, points, dim] float, of the grid of latents, given each input.
      inside: [batch, points] bool.
    """
    y, decoded = to_float(y), to_float(decoded)
    away = jnp.sqrt(jnp.sum((decoded - y[:, None]) ** 2, axis=-1))
    to_inside, to_outside = (
        jnp.min(jnp.where(mask, away, jnp.inf), axis=1) for mask in (inside, ~inside)
    )
    out = (to_inside > to_outside) | jnp.isinf(to_inside)
    return jnp.where(out, to_inside, -to_outside)


def fit(
    y: Array,
    decoded: Array,
    inside: Array,
    *,
    miscoverage: float,
    where: Array | None = None,
) -> QuantileRegion:
    """The conformal quantile of the signed distances of calibration rows.

    Args:
      y, decoded, inside: as in `signed_distance`.
      miscoverage: in (0, 1), alpha.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes that do not fit, or y is not finite (traced, such a row is as
        good as absent); miscoverage is not in (0, 1).
      TypeError: integers in y; inside is not bool.
    """
    who = "quantile_region.fit"
    y, where = finite_rows(who, where, y=y)
    checks.same_shape(who, rank=3, decoded=decoded)
    checks.shape(who, (len(y), *decoded.shape[1:2], y.shape[1]), decoded=decoded)
    checks.shape(who, decoded.shape[:2], inside=inside)
    checks.boolean(who, inside=inside)
    distances = signed_distance(y, decoded, inside)
    return QuantileRegion(conformal(distances, miscoverage=miscoverage, where=where))


def contains(region: QuantileRegion, y: Array, decoded: Array, inside: Array) -> Array:
    """[batch] bool, arguments as `signed_distance`; False for what is not finite."""
    return signed_distance(y, decoded, inside) <= region.radius
