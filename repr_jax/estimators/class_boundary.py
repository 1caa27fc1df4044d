"""Boundaries of known classes on the sphere: a cosine to each class's center."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_queries, finite_rows
from repr_jax.ops.numerics import argmax, l2_normalize, pairwise_dot, to_float


class ClassBoundary(NamedTuple):
    """What was fitted."""

    centers: Array  # [num_classes, dim], of unit length
    bounds: Array  # [num_classes] cosines; NaN of a class without rows, which is none


def fit(
    centers: Array,
    z: Array,
    labels: Array,
    *,
    keep: float = 0.95,
    where: Array | None = None,
) -> ClassBoundary:
    """Of each class the cosine to its center that a share `keep` of its rows reaches.

    bound_k is the entry floor((1 - keep) n_k), counted from 0, of the sorted cosines of
    the n_k rows of class k.

    Args:
      centers: [num_classes, dim] float, such as embedded attributes of seen classes, by
        encoders that `losses.aligned_spheres` trained.
      z: [batch, dim] float, embedded rows of these classes. Both are of any scale.
      labels: [batch] int in [0, num_classes).
      keep: in (0, 1]; 1 bounds by the farthest row.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes do not fit; not finite (where traced, such a row is absent); a
        label or `keep` out of range.
      TypeError: integers in place of floats; labels that are none.

    Source: Chen et al., "A Boundary Based Out-of-Distribution Classifier for
      Generalized Zero-Shot Learning", 2020, https://arxiv.org/abs/2008.04872. The paper
      bounds each class, as here; its code all by one number, as `fit_single`.
    """
    who = "class_boundary.fit"
    centers, z, where = _checked(who, centers, z, keep, where)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.within(who, len(centers), where=where, labels=labels)
    return _fit(centers, z, jnp.asarray(labels), 1 - keep, where)


def fit_single(
    centers: Array, z: Array, *, keep: float = 0.95, where: Array | None = None
) -> ClassBoundary:
    """`fit` with one bound for all, of the cosines of rows to their nearest center."""
    who = "class_boundary.fit_single"
    centers, z, where = _checked(who, centers, z, keep, where)
    return _fit_single(centers, z, 1 - keep, where)


def score(fitted: ClassBoundary, z: Array) -> Array:
    """bound of the nearest center less the cosine to it: [batch, dim] -> [batch].

    Above 0 the row is of none of the classes.

    Raises:
      ValueError: z is not [batch, dim] of the fit, or not finite.
    """
    z = checked_queries("class_boundary.score", fitted.centers.shape[1:], z=z)
    return _score(fitted, z)


def _checked(who, centers, z, keep, where):
    """Centers and rows, of any length, as floats."""
    checks.same_shape(who, rank=2, centers=centers)
    checks.floating(who, centers=centers)
    checks.finite(who, centers=centers)
    if not 0 < keep <= 1:
        raise ValueError(f"{who}: expected keep in (0, 1]; got {keep}.")
    z, where = finite_rows(who, where, z=z)
    checks.shape(who, (len(z), jnp.shape(centers)[1]), z=z)
    return to_float(centers), z, where


@jax.jit
def _fit(centers, z, labels, left_out, where):
    centers, z = l2_normalize(centers), l2_normalize(z)

    def bound(of_class):
        number, center = of_class
        cosines = pairwise_dot(z, center[None])[:, 0]
        return _bound(cosines, where & (labels == number), left_out)

    bounds = lax.map(bound, (jnp.arange(len(centers)), centers))
    return ClassBoundary(centers, bounds)


@jax.jit
def _fit_single(centers, z, left_out, where):
    centers, z = l2_normalize(centers), l2_normalize(z)
    bound = _bound(jnp.max(pairwise_dot(z, centers), axis=1), where, left_out)
    return ClassBoundary(centers, jnp.full(len(centers), bound))


@jax.jit
def _score(fitted, z):
    cosines = pairwise_dot(l2_normalize(z), fitted.centers)
    cosines = jnp.where(jnp.isnan(fitted.bounds)[None], -jnp.inf, cosines)
    return fitted.bounds[argmax(cosines)] - jnp.max(cosines, axis=1)


def _bound(cosines, counted, left_out):
    ordered = jnp.sort(jnp.where(counted, cosines, jnp.inf))
    count = jnp.sum(counted)
    place = jnp.floor(left_out * count + 1e-4).astype(jnp.int32)
    return jnp.where(count > 0, ordered[jnp.minimum(place, count - 1)], jnp.nan)
