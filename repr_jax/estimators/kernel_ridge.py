"""Kernel ridge regression with the Gaussian kernel, and the search for its numbers.

    y(x) = sum_i k(x, x_i) coefficients_i,  k(x, x') = exp(-gamma |x - x'|^2)

On the host and in float64: with little penalty and a wide kernel the coefficients are
large and cancel, and float32 would be off by up to a hundredth of y. So `jax.jit` does
not apply.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from repr_jax.metrics.regression import r2
from repr_jax.ops import checks

PENALTIES = (1.0, 0.1, 0.01, 0.001)
GAMMAS = tuple(float(gamma) for gamma in np.logspace(-2, 2, 4))


class KernelRidge(NamedTuple):
    """What the prediction is made of."""

    x: np.ndarray  # [batch, dim], the rows it was fitted to
    coefficients: np.ndarray  # [batch, target], 0 for absent rows
    gamma: float


class Search(NamedTuple):
    """How well every pair of numbers did on rows that were held out."""

    scores: np.ndarray  # [gamma, penalty, target], mean R2; NaN if not solvable
    gammas: tuple[float, ...]
    penalties: tuple[float, ...]


def kernel(x: ArrayLike, other: ArrayLike, gamma: float) -> np.ndarray:
    """exp(-gamma |x_i - other_j|^2): [n, dim], [m, dim] -> [n, m], in [0, 1]."""
    x, other = np.asarray(x, np.float64), np.asarray(other, np.float64)
    center = np.mean(other, axis=0)
    x, other = x - center, other - center
    squares = np.sum(x**2, axis=1)[:, None] + np.sum(other**2, axis=1)[None]
    squares -= 2 * x @ other.T
    np.maximum(squares, 0, out=squares)
    squares *= -gamma
    return np.exp(squares, out=squares)


def fit(
    x: ArrayLike,
    y: ArrayLike,
    *,
    penalty: float = 1.0,
    gamma: float = 1.0,
    where: np.ndarray | None = None,
) -> KernelRidge:
    """Solves (k(x, x) + penalty I) coefficients = y.

    There is no bias: far from all rows the prediction is 0, as in scikit-learn. Needs
    scipy.

    Args:
      x: [batch, dim] float.
      y: [batch, target] float.
      penalty: > 0. scikit-learn writes alpha.
      gamma: > 0, 1 / (2 width^2).
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: x or y is not of rank 2 or not finite, or they differ in rows; a
        number not above 0.
      TypeError: integers; a `where` that is not bool; traced arrays.
    """
    who = "kernel_ridge.fit"
    _check(who, x, y, where)
    checks.positive(who, penalty=penalty, gamma=gamma)
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    where = np.ones(len(x), bool) if where is None else np.asarray(where)
    x = np.where(where[:, None], x, 0)
    coefficients = np.zeros(y.shape)
    coefficients[where] = _solve(kernel(x[where], x[where], gamma), y[where], penalty)
    return KernelRidge(x, coefficients, float(gamma))


def _check(who, x, y, where=None):
    if not (checks.known(x) and checks.known(y)):
        raise TypeError(f"{who}: expected arrays on this host; got traced ones.")
    checks.same_shape(who, rank=2, x=x)
    checks.same_shape(who, rank=2, y=y)
    checks.rows(who, len(x), y=y)
    checks.floating(who, x=x, y=y)
    if where is not None:
        checks.shape(who, np.shape(x)[:1], where=where)
        checks.boolean(who, where=where)
    checks.finite(who, where=where, x=x, y=y)


def _solve(matrix, y, penalty):
    from scipy.linalg import cho_factor, cho_solve

    factor = cho_factor(matrix + penalty * np.eye(len(matrix)), overwrite_a=True)
    return cho_solve(factor, y)


def predict(ridge: KernelRidge, x: ArrayLike) -> np.ndarray:
    """[batch, dim] -> [batch, target] float32; ValueError for x that is not finite."""
    checks.finite("kernel_ridge.predict", x=x)
    near = kernel(x, ridge.x, ridge.gamma)
    return np.float32(near @ ridge.coefficients)


def _held_out(matrix, y, fold, penalty):
    """[target] R2 on the rows of a fold of a fit to all others."""
    try:
        fitted = _solve(matrix[np.ix_(~fold, ~fold)], y[~fold], penalty)
    except np.linalg.LinAlgError:  # not positive definite, of a tiny penalty
        return np.full(y.shape[1], np.nan)
    predictions = np.float32(matrix[np.ix_(fold, ~fold)] @ fitted)
    return _r2_by_target(predictions, np.float32(y[fold]))


@jax.jit
def _r2_by_target(predictions, y):
    return jax.vmap(r2, in_axes=1)(predictions, y)


def search(
    x: ArrayLike,
    y: ArrayLike,
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
    _check(who, x, y)
    checks.positive(who, **{f"gammas[{i}]": gamma for i, gamma in enumerate(gammas)})
    checks.positive(who, **{f"penalties[{i}]": p for i, p in enumerate(penalties)})
    y = np.asarray(y, np.float64)
    fold = np.arange(len(x)) % num_folds
    scores = np.zeros((len(gammas), len(penalties), y.shape[1]))
    for row, gamma in enumerate(gammas):
        matrix = kernel(x, x, gamma)
        for column, penalty in enumerate(penalties):
            rounds = [
                _held_out(matrix, y, fold == held, penalty)
                for held in range(num_rounds)
            ]
            scores[row, column] = np.mean(rounds, axis=0)
    return Search(scores, tuple(gammas), tuple(penalties))


def best(search: Search, columns: slice | int = slice(None)) -> tuple[float, float]:
    """The (gamma, penalty) of the highest mean R2 over some columns of the targets."""
    scores = search.scores[..., columns].mean(axis=-1)
    if np.isnan(scores).all():
        raise ValueError("kernel_ridge.best: expected a score that is not NaN.")
    row, column = np.unravel_index(np.nanargmax(scores), scores.shape)
    return search.gammas[row], search.penalties[column]
