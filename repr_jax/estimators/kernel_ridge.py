"""Kernel ridge regression with the Gaussian kernel, and the search for its numbers.

    y(x) = sum_i k(x, x_i) coefficients_i,  k(x, x') = exp(-gamma |x - x'|^2)

All in float32, whose rounding stays below a penalty of 0.001 up to some ten thousand
rows: squared distances are sums of squared differences, so that nothing cancels and the
kernel matrix has a diagonal of exactly 1; and the solution of the linear system is
refined once, with a residual computed from the kernel itself.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import cho_factor, cho_solve

from repr_jax.metrics.regression import r2
from repr_jax.ops import checks
from repr_jax.ops.batch import all_rows, present
from repr_jax.ops.numerics import to_float

PENALTIES = (1.0, 0.1, 0.01, 0.001)
GAMMAS = tuple(float(gamma) for gamma in np.logspace(-2, 2, 4))


class KernelRidge(NamedTuple):
    """What the prediction is made of."""

    x: Array  # [batch, dim], the rows it was fitted to
    coefficients: Array  # [batch, target], 0 for absent rows
    gamma: Array  # []


class Search(NamedTuple):
    """How well every pair of numbers did on rows that were held out."""

    scores: np.ndarray  # [gamma, penalty, target], mean R2; NaN if not solvable
    gammas: tuple[float, ...]
    penalties: tuple[float, ...]


def kernel(x: Array, other: Array, gamma: float | Array) -> Array:
    """exp(-gamma |x_i - other_j|^2): [n, dim], [m, dim] -> [n, m], in [0, 1]."""
    differences = x[:, None, :] - other[None, :, :]  # fused with the sum by XLA
    return jnp.exp(-gamma * jnp.sum(differences**2, axis=-1))


def fit(
    x: Array,
    y: Array,
    *,
    penalty: float | Array = 1.0,
    gamma: float | Array = 1.0,
    where: Array | None = None,
) -> KernelRidge:
    """Solves (k(x, x) + penalty I) coefficients = y.

    There is no bias: far from all rows the prediction is 0, as in scikit-learn.

    Args:
      x: [batch, dim] float.
      y: [batch, target] float.
      penalty: > 0. scikit-learn writes alpha.
      gamma: > 0, 1 / (2 width^2).
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: x or y is not of rank 2, or they differ in rows; a number not above 0.
      TypeError: integers.
    """
    who = "kernel_ridge.fit"
    checks.same_shape(who, rank=2, x=x)
    checks.same_shape(who, rank=2, y=y)
    checks.rows(who, len(x), y=y)
    checks.floating(who, x=x, y=y)
    checks.positive(who, penalty=penalty, gamma=gamma)
    where = all_rows(x) if where is None else where
    x, y = present(to_float(x), where), present(to_float(y), where)
    matrix = kernel(x, x, gamma)
    coefficients = _solve(matrix, y, penalty, where)
    return KernelRidge(x, coefficients, jnp.asarray(gamma, x.dtype))


def _solve(matrix, y, penalty, where):
    """Rows that are absent are cut out of the matrix: their coefficients are 0."""
    matrix, y = (
        jnp.where(where[:, None] & where[None, :], matrix, 0.0),
        present(y, where),
    )
    diagonal = jnp.where(where, penalty, 1.0)
    factor = cho_factor(matrix + jnp.diag(diagonal), lower=True)

    def times(c):
        product = jnp.matmul(matrix, c, precision=jax.lax.Precision.HIGHEST)
        return product + diagonal[:, None] * c

    coefficients = cho_solve(factor, y)
    return coefficients + cho_solve(factor, y - times(coefficients))


def predict(ridge: KernelRidge, x: Array) -> Array:
    """[batch, dim] -> [batch, target]."""
    near = kernel(to_float(x), ridge.x, ridge.gamma)
    return jnp.matmul(near, ridge.coefficients, precision=jax.lax.Precision.HIGHEST)


@jax.jit
def _held_out(x, y, fold, penalties, gamma):
    """[penalty, target] R2 on the rows of a fold of a fit to all others."""
    x, y = to_float(x), to_float(y)
    matrix = kernel(x, x, gamma)

    def score(penalty):
        coefficients = _solve(matrix, y, penalty, ~fold)
        predictions = jnp.matmul(
            matrix, coefficients, precision=jax.lax.Precision.HIGHEST
        )
        return jax.vmap(lambda p, y: r2(p, y, where=fold), in_axes=1)(predictions, y)

    return jax.lax.map(score, penalties)


def search(
    x: Array,
    y: Array,
    *,
    penalties: Sequence[float] = PENALTIES,
    gammas: Sequence[float] = GAMMAS,
    num_folds: int = 3,
    num_rounds: int = 3,
) -> Search:
    """Cross-validation of every pair of penalty and gamma; see `best`.

    Args:
      x: [batch, dim] float; rows in random order: row i is in fold i mod num_folds.
      y: [batch, target] float. Targets share the matrices, which cost the most.
      penalties, gammas: > 0, all pairs are tried.
      num_folds: > 1.
      num_rounds: how many of the folds are held out, one at a time; num_folds is
        cross-validation, 1 a single split.

    Raises:
      ValueError: num_rounds > num_folds, or as `fit`.
    """
    who = "kernel_ridge.search"
    checks.count(who, minimum=2, num_folds=num_folds)
    checks.count(who, num_rounds=num_rounds)
    if num_rounds > num_folds:
        raise ValueError(
            f"{who}: expected num_rounds <= num_folds; got {num_rounds} and "
            f"{num_folds}."
        )
    fold = np.arange(len(x)) % num_folds
    scores = [
        [
            _held_out(x, y, fold == held, np.asarray(penalties), gamma)
            for gamma in gammas
        ]
        for held in range(num_rounds)
    ]
    scores = np.mean(np.asarray(scores), axis=0)
    return Search(scores, tuple(gammas), tuple(penalties))


def best(search: Search, columns=slice(None)) -> tuple[float, float]:
    """The (gamma, penalty) of the highest mean R2 over some columns of the targets."""
    scores = search.scores[..., columns].mean(axis=-1)
    found = np.nan_to_num(scores, nan=-np.inf).argmax()
    row, column = np.unravel_index(found, scores.shape)
    return search.gammas[row], search.penalties[column]
