"""Rows are made to have the identity as their covariance."""

import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular

from repr_jax.ops import checks
from repr_jax.ops.batch import centered, checked_rows, most_present, present
from repr_jax.ops.covariance import cross_covariance, unbiased_factor


def whiten(
    x: Array,
    *,
    shrinkage: float = 0.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Rows less their mean, times the inverse of the Cholesky factor of a covariance.

    L^-1 (x_i - mean), L L^T = (1 - shrinkage) C + shrinkage I, C the unbiased
    covariance of the present rows of the whole batch. Differentiable.

    Args:
      x: [batch, dim] float.
      shrinkage: in [0, 1]; without it the covariance of what is returned is I, if there
        are more rows than features and no feature is a combination of others: else NaN,
        or rounding.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      [batch, dim], zeros in absent rows.

    Raises:
      ValueError: x is not [batch, dim], or has too few rows without shrinkage. Of a
        split batch, and of a traced `where`, absent rows are not known.

    Source: Siarohin, Sangineto and Sebe, "Whitening and Coloring Batch Transform for
      GANs", 2019, https://arxiv.org/abs/1806.00420, as Ermolov et al., 2021,
      https://arxiv.org/abs/2007.06346, take it.
    """
    checks.fraction("whiten", shrinkage=shrinkage)
    x, where = checked_rows("whiten", where, x=x)
    batch, dim = most_present(where), x.shape[1]
    if axis_name is None and checks.known(shrinkage) and not shrinkage and batch <= dim:
        raise ValueError(
            f"whiten: expected more than {dim} rows, or shrinkage > 0; got {batch}."
        )
    split = dict(where=where, axis_name=axis_name)
    covariance = cross_covariance(x, x, **split) * unbiased_factor(**split)
    identity = jnp.eye(len(covariance), dtype=covariance.dtype)
    shrunk = (1 - shrinkage) * covariance + shrinkage * identity
    root = jnp.linalg.cholesky(shrunk)
    rows = solve_triangular(root, centered(x, **split)[0].T, lower=True).T
    return present(rows, where)
