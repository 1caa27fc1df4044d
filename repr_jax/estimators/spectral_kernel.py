"""Kernel ridge regression with a kernel that unlabeled rows have reshaped.

    K_s = N sum_i s(eigenvalues_i) v_i v_i^T,  K / N = sum_i eigenvalues_i v_i v_i^T

K is the Gaussian kernel between all N rows, and s makes its spectrum steeper: what
varies slowly over the rows, labeled or not, is preferred. With s the identity it is
`kernel_ridge`.

Source: Zhai et al., "Spectrally Transformed Kernel Regression", 2024,
  https://arxiv.org/abs/2402.00645, algorithms 1 and 2.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import by_block, checked_queries, finite_rows, present
from repr_jax.ops.numerics import pairwise_dot
from repr_jax.ops.similarity import negative_squared_distance


class SpectralKernel(NamedTuple):
    """What the prediction is made of: sum_i k(x, x_i) coefficients_i."""

    x: Array  # [batch, dim]
    coefficients: Array  # [batch, target], 0 for absent rows
    gamma: Array  # [], of the kernel


def power(eigenvalues: Array, *, exponent: float) -> Array:
    """s = eigenvalues^exponent; 1 is kernel ridge regression."""
    return eigenvalues**exponent


def inverse_laplacian(eigenvalues: Array, *, share: float = 0.9) -> Array:
    """s = l / (1 - eta l), eta = share / max l; share in (0, 1)."""
    return eigenvalues / (1 - share * eigenvalues / jnp.max(eigenvalues))


def fit(
    x: Array,
    labeled: Array,
    y: Array,
    *,
    transform: Callable[[Array], Array],
    gamma: float = 1.0,
    penalty: float = 0.1,
    where: Array | None = None,
) -> SpectralKernel:
    """Solves (K_s + penalty I) alpha = y on the labeled rows.

    coefficients = M alpha, M = sum_i s(l_i) / l_i v_i v_i^T, so that new rows need the
    kernel alone and no new eigenvectors. Takes time N^3.

    Args:
      x: [batch, dim] float, all rows.
      labeled: [batch] bool, which rows have a target.
      y: [batch, target] float; anything where there is none.
      transform: [n] eigenvalues -> [n] >= 0, such as partial(power, exponent=3).
      gamma: > 0, of the kernel exp(-gamma |x - x'|^2).
      penalty: > 0; the paper's is penalty over the number of labeled rows.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes do not fit; not finite (where traced, such a row is absent); a
        number out of range. TypeError: integers; masks that are not bool.
    """
    who = "spectral_kernel.fit"
    arrays = _checked(who, x, labeled, y, gamma, penalty, where)
    return _fit(*arrays, gamma, penalty, transform)


def fit_polynomial(
    x: Array,
    labeled: Array,
    y: Array,
    *,
    weights: Sequence[float],
    gamma: float = 1.0,
    penalty: float = 0.1,
    where: Array | None = None,
) -> SpectralKernel:
    """`fit` with s(l) = sum_p weights_p l^(p + 1), by products and no eigenvectors.

    Takes time N^2 for each power and each row; weights are >= 0.
    """
    who = "spectral_kernel.fit_polynomial"
    arrays = _checked(who, x, labeled, y, gamma, penalty, where)
    return _fit_polynomial(*arrays, gamma, penalty, tuple(weights))


def predict(fitted: SpectralKernel, x: Array) -> Array:
    """[batch, dim] -> [batch, target].

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite.
    """
    x = checked_queries("spectral_kernel.predict", fitted.x.shape[1:], x=x)
    return _predict(fitted, x)


def _checked(who, x, labeled, y, gamma, penalty, where):
    """Rows, labels where there are any, and both masks."""
    checks.positive(who, gamma=gamma, penalty=penalty)
    x, where = finite_rows(who, where, x=x)
    checks.shape(who, where.shape, labeled=labeled)
    checks.boolean(who, labeled=labeled)
    checks.rows(who, len(x), y=y)
    labeled = where & jnp.asarray(labeled)
    y, labeled = finite_rows(who, labeled, y=y)
    return x, y, labeled, where


def _kernel(x, other, gamma):
    return jnp.exp(gamma * negative_squared_distance.of_pairs(x, other))


def _normalized(x, where, gamma):
    """K / N among present rows, and N."""
    counted = where[:, None] & where[None]
    count = jnp.maximum(jnp.sum(where), 1).astype(x.dtype)
    return jnp.where(counted, _kernel(x, x, gamma), 0) / count, count


@functools.partial(jax.jit, static_argnums=6)
def _fit(x, y, labeled, where, gamma, penalty, transform):
    matrix, count = _normalized(x, where, gamma)
    values, vectors = jnp.linalg.eigh(matrix)
    floor = jnp.finfo(values.dtype).eps * jnp.max(values)
    some = values > floor
    values = jnp.where(some, values, floor)
    ratios = jnp.where(some, transform(values) / values, 0)
    mapping = pairwise_dot(vectors * ratios[None], vectors)
    return _solved(x, y, labeled, matrix, mapping, count, gamma, penalty)


@functools.partial(jax.jit, static_argnums=6)
def _fit_polynomial(x, y, labeled, where, gamma, penalty, weights):
    matrix, count = _normalized(x, where, gamma)
    eye = jnp.diag(where.astype(x.dtype))
    mapping = jnp.zeros_like(matrix)
    for weight in reversed(weights):  # Horner's scheme
        mapping = pairwise_dot(matrix, mapping.T) + weight * eye
    return _solved(x, y, labeled, matrix, mapping, count, gamma, penalty)


def _solved(x, y, labeled, matrix, mapping, count, gamma, penalty):
    both = labeled[:, None] & labeled[None]
    transformed = jnp.where(both, count * pairwise_dot(matrix, mapping.T), 0)
    system = transformed + penalty * jnp.eye(len(x), dtype=x.dtype)
    alpha = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(system), y)
    coefficients = pairwise_dot(mapping, present(alpha, labeled).T)
    return SpectralKernel(x, coefficients, jnp.asarray(gamma, x.dtype))


@jax.jit
def _predict(fitted, x):
    def of_block(some):
        near = _kernel(some, fitted.x, fitted.gamma)
        return pairwise_dot(near, fitted.coefficients.T)

    return by_block(of_block, x)
