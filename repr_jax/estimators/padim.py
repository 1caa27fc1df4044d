"""Patch distributions: a Gaussian of the features at each position of a map."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import centered, checked_queries, finite_rows, num_present
from repr_jax.ops.covariance import check_ridge


class PaDiM(NamedTuple):
    """What was fitted. A position's covariance is factor factor^T."""

    means: Array  # [height, width, dim]
    factors: Array  # [height, width, dim, dim], lower


def fit(
    maps: Array,
    *,
    ridge: float = 0.01,
    where: Array | None = None,
    axis_name: str | None = None,
) -> PaDiM:
    """Mean and unbiased covariance over images at each position, plus ridge I.

    Args:
      maps: [batch, height, width, dim] float, features of aligned normal images. The
        paper's are 100 or 550 of a backbone's channels, drawn once for all.
      ridge: >= 0, in squared units of the features; > 0 with no more images than dim.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Raises:
      ValueError: maps is not of rank 4, or not finite (traced: such a row is absent); a
        covariance is not positive definite (traced: such a position is NaN).
      TypeError: integers; a `where` that is not bool.

    Source: Defard et al., "PaDiM: A Patch Distribution Modeling Framework for Anomaly
      Detection and Localization", 2021, eqs. 1 and 2, https://arxiv.org/abs/2011.08785.
    """
    who = "padim.fit"
    checks.non_negative(who, ridge=ridge)
    maps, where = finite_rows(who, where, rank=4, maps=maps)
    found = _fit(maps, where, ridge, axis_name)
    check_ridge(who, ridge, found.factors)
    return found


def score(fitted: PaDiM, maps: Array) -> Array:
    """Mahalanobis distance at each position, not squared.

    maps, [batch, height, width, dim] -> [batch, height, width]; the largest of an image
    is the score of the image.

    Raises:
      ValueError: maps are not those of the fit in shape, or not finite.
    """
    maps = checked_queries("padim.score", fitted.means.shape, maps=maps)
    away = jnp.moveaxis(maps - fitted.means[None], 0, -1)  # [h, w, dim, batch]
    away = jax.scipy.linalg.solve_triangular(fitted.factors, away, lower=True)
    return jnp.moveaxis(jnp.linalg.norm(away, axis=2), -1, 0)


@functools.partial(jax.jit, static_argnums=3)
def _fit(maps, where, ridge, axis_name):
    options = dict(where=where, axis_name=axis_name)
    away, means = centered(maps, **options)
    precise = lax.Precision.HIGHEST
    total = jnp.einsum("bhwd,bhwe->hwde", away, away, precision=precise)
    total = total if axis_name is None else lax.psum(total, axis_name)
    covariances = total / jnp.maximum(num_present(**options) - 1, 1)
    eye = ridge * jnp.eye(means.shape[-1], dtype=means.dtype)
    return PaDiM(means, jnp.linalg.cholesky(covariances + eye[None, None]))
