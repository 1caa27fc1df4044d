"""Virtual-logit matching: energy and what of the features no principal axis holds."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import (
    checked_queries,
    checked_rows,
    masked_mean,
    num_present,
    present,
)
from repr_jax.ops.numerics import pairwise_dot, to_float
from repr_jax.ops.uncertainty import energy


class ViM(NamedTuple):
    """What was fitted, and the head that it was fitted for."""

    weights: Array  # [num_classes, dim]
    bias: Array  # [num_classes]
    origin: Array  # [dim], of least norm where the head says 0, about
    residual: Array  # [dim, dim - num_components], orthonormal columns
    alpha: Array  # [], mean largest logit over mean residual


def fit(
    x: Array,
    weights: Array,
    bias: Array,
    *,
    num_components: int | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> ViM:
    """The residual directions of training features around the head's origin.

    origin = -pinv(W) b; residual are the eigenvectors of the smallest eigenvalues of
    mean (x - origin)(x - origin)^T; alpha = mean max_c logit_c / mean |residual^T (x -
    origin)|.

    Args:
      x: [batch, dim] float.
      weights: [num_classes, dim], bias: [num_classes]: logits are x W^T + b.
      num_components: the principal axes, fewer than dim; None for 256, or half of dim
        where dim is 256 or less. The paper has 1000 or half, by dim.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Raises:
      ValueError: shapes do not fit together; x, weights or bias are not finite (where
        traced, the fit is NaN); too many components.
      TypeError: integers; a `where` that is not bool.

    Source: Wang et al., "ViM: Out-Of-Distribution with Virtual-logit Matching", 2022,
      https://arxiv.org/abs/2203.10807.
    """
    who = "vim.fit"
    x, where = checked_rows(who, where, x=x)
    checks.same_shape(who, rank=2, weights=weights)
    checks.floating(who, weights=weights, bias=bias)
    dim = x.shape[1]
    checks.shape(who, (len(weights), dim), weights=weights)
    checks.shape(who, (len(weights),), bias=bias)
    if num_components is None:
        num_components = 256 if dim > 256 else dim // 2
    checks.count(who, num_components=num_components)
    if num_components >= dim:
        raise ValueError(
            f"{who}: expected fewer components than dimensions, {dim}; got "
            f"num_components {num_components}."
        )
    checks.finite(who, where=where, x=x)
    checks.finite(who, weights=weights, bias=bias)
    weights, bias = to_float(weights), to_float(bias)
    origin = jnp.linalg.lstsq(weights, -bias)[0]
    away = present(x - origin[None], where)
    moments = pairwise_dot(away.T, away.T)
    moments = moments if axis_name is None else lax.psum(moments, axis_name)
    moments /= jnp.maximum(num_present(where, axis_name), 1)
    residual = jnp.linalg.eigh(moments)[1][:, : dim - num_components]
    found = ViM(weights, bias, origin, residual, jnp.ones((), x.dtype))
    options = dict(where=where, axis_name=axis_name)
    largest = masked_mean(jnp.max(_logits(found, x), axis=1), **options)
    return found._replace(alpha=largest / masked_mean(_residual(found, x), **options))


def residual_score(fitted: ViM, x: Array) -> Array:
    """|residual^T (x - origin)|: [batch, dim] -> [batch], without the head's logits.

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite.
    """
    return _residual(fitted, _checked("vim.residual_score", fitted, x))


def score(fitted: ViM, x: Array) -> Array:
    """alpha times `residual_score` plus the energy of the logits; errors as there."""
    x = _checked("vim.score", fitted, x)
    return fitted.alpha * _residual(fitted, x) + energy(_logits(fitted, x))


def _checked(who, fitted, x):
    return checked_queries(who, fitted.origin.shape, x=x)


def _logits(fitted, x):
    return pairwise_dot(x, fitted.weights) + fitted.bias[None]


def _residual(fitted, x):
    away = pairwise_dot(x - fitted.origin[None], fitted.residual.T)
    return jnp.linalg.norm(away, axis=1)
