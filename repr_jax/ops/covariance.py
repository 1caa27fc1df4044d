"""Second moments of features over the present rows of the whole batch, biased."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import centered, checked_rows, masked_mean, num_present
from repr_jax.ops.numerics import l2_normalize, pairwise_dot, to_float


def scaled(
    x: Array, *, where: Array, axis_name: str | None = None
) -> tuple[Array, Array]:
    """[batch, n] centered, over its largest entry, so that no square of it under- or
    overflows; that entry, without gradient, 1 if no row differs from another."""
    x, _ = centered(x, where=where, axis_name=axis_name)
    largest = jnp.max(jnp.abs(lax.stop_gradient(x)), initial=0.0)
    if axis_name is not None:
        largest = lax.pmax(largest, axis_name)
    largest = jnp.where(largest == 0, 1, largest)
    return x / largest, largest


def cross_covariance(
    a: Array, b: Array, *, where: Array, axis_name: str | None = None
) -> Array:
    """[batch, n], [batch, m] -> [n, m] means of products of centered columns; 0 if no
    row is present."""
    a, b = (centered(x, where=where, axis_name=axis_name)[0] for x in (a, b))
    products, count = pairwise_dot(a.T, b.T), num_present(where, axis_name)
    if axis_name is not None:
        products = lax.psum(products, axis_name)
    return products / jnp.maximum(count, 1)


def variance(x: Array, *, where: Array, axis_name: str | None = None) -> Array:
    """[batch, n] -> [n], the diagonal of the covariance of x with itself."""
    x, _ = centered(x, where=where, axis_name=axis_name)
    return masked_mean(x**2, where=where, axis_name=axis_name)


def moving_moment(
    average: Array,
    x: Array,
    *,
    decay: float | Array = 0.9,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[n, n] decay * average + (1 - decay) mean_i u_i u_i^T, u the rows of x [batch, n]
    over their lengths; without gradient. With no row present, decay * average."""
    x, where = checked_rows("moving_moment", where, x=x)
    unit, average = lax.stop_gradient((l2_normalize(x), to_float(average)))
    products = pairwise_dot(unit.T, unit.T)
    if axis_name is not None:
        products = lax.psum(products, axis_name)
    mean = products / jnp.maximum(num_present(where, axis_name), 1)
    return decay * average + (1 - decay) * mean


def check_ridge(who: str, ridge: float, *found: Array) -> None:
    """ValueError for a NaN in what covariances were factored to; traced ones pass."""
    for x in found:
        if checks.known(x) and not jnp.all(jnp.isfinite(x)):
            raise ValueError(
                f"{who}: expected a ridge that keeps the covariances positive "
                f"definite; got {ridge}."
            )


def unbiased_factor(where: Array, axis_name: str | None = None) -> Array:
    """n / (n - 1) of the n present rows, which makes a biased moment unbiased."""
    count = num_present(where, axis_name)
    return count / jnp.maximum(count - 1, 1)


def coding_rate(
    x: Array,
    *,
    distortion: float | Array = 0.2,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """log det(I + dim / (n distortion) sum_i x_i x_i^T) / 2 of the n present rows.

    About the nats that rows x [batch, dim] take up to squared errors of `distortion`;
    0 with no row present.

    Source: Ma et al., "Segmentation of Multivariate Mixed Data via Lossy Data Coding
      and Compression", 2007, https://doi.org/10.1109/TPAMI.2007.1085, in the form of
      Yu et al., 2020, https://arxiv.org/abs/2006.08558.
    """
    checks.positive("coding_rate", distortion=distortion)
    x, where = checked_rows("coding_rate", where, x=x)
    products = pairwise_dot(x.T, x.T)
    products = products if axis_name is None else lax.psum(products, axis_name)
    count = jnp.maximum(num_present(where, axis_name), 1)
    scale = len(products) / (count * distortion)
    identity = jnp.eye(len(products), dtype=products.dtype)
    root = jnp.linalg.cholesky(identity + scale * products)
    return jnp.sum(jnp.log(jnp.diagonal(root)))
