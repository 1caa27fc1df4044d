"""Canonical correlations of two views: what both know, up to linear maps of each."""

import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows
from repr_jax.ops.covariance import cross_covariance, scaled

SMALLEST = 1e-9  # added to variances, so that those of a constant view have a root


def deep_cca(
    view_a: Array,
    view_b: Array,
    *,
    ridge: float | Array = 1e-3,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the sum of the canonical correlations of two views.

    -|| S_aa^{-1/2} S_ab S_bb^{-1/2} ||, the sum of the singular values, with S the
    covariances over the batch, and `ridge` times the mean variance of a view added to
    the diagonal of its own. Linear maps of the features, if they can be inverted,
    change it through the ridge alone. It takes many more rows than features: with
    fewer all views are correlated.

    Args:
      view_a, view_b: [batch, dim] float, any scale; row i of both shows example i.
      ridge: > 0, a share of the mean variance. The paper adds a number, r.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in [-dim, 0]; 0 if the views are uncorrelated.

    Raises:
      ValueError: the two differ in shape or are not [batch, dim].

    Source: Andrew et al., "Deep Canonical Correlation Analysis", 2013, section 3,
      https://proceedings.mlr.press/v28/andrew13.html.
    """
    checks.positive("deep_cca", ridge=ridge)
    view_a, view_b, where = checked_rows(
        "deep_cca", where, view_a=view_a, view_b=view_b
    )
    statistics = dict(where=where, axis_name=axis_name)
    view_a, view_b = (scaled(x, **statistics)[0] for x in (view_a, view_b))
    root_a, root_b = (
        _root(cross_covariance(x, x, **statistics), ridge) for x in (view_a, view_b)
    )
    covariance = cross_covariance(view_a, view_b, **statistics)
    half = solve_triangular(root_a, covariance, lower=True)
    correlation = solve_triangular(root_b, half.T, lower=True)
    return -jnp.sum(jnp.linalg.svd(correlation, compute_uv=False))


def _root(covariance, ridge):
    """Lower triangular: another root than the symmetric, with the same correlations."""
    extra = ridge * jnp.mean(jnp.diagonal(covariance)) + SMALLEST
    return jnp.linalg.cholesky(covariance + extra * jnp.eye(len(covariance)))
