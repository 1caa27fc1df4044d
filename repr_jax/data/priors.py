"""Tasks drawn from a prior over functions, and what exact inference says of them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks


def gaussian_process(
    key: Array,
    num_tasks: int,
    num_points: int,
    *,
    dim: int = 1,
    length: float = 0.6,
    scale: float = 1.0,
    noise: float = 0.01,
) -> tuple[Array, Array]:
    """Inputs uniform in [0, 1], outputs of a Gaussian process with an RBF kernel.

    cov(y_i, y_j) = scale^2 exp(-|x_i - x_j|^2 / (2 length^2)) + noise [i = j].

    Args:
      key: PRNG key.
      length, scale, noise: > 0; noise is a variance.

    Returns:
      x [num_tasks, num_points, dim], y [num_tasks, num_points].

    Raises:
      ValueError: a number out of range. TypeError: a count that is not whole.
    """
    who = "gaussian_process"
    checks.count(who, num_tasks=num_tasks, num_points=num_points, dim=dim)
    checks.positive(who, length=length, scale=scale, noise=noise)
    x_key, y_key = jax.random.split(key)
    x = jax.random.uniform(x_key, (num_tasks, num_points, dim))
    squares = jnp.sum((x[:, :, None] - x[:, None]) ** 2, axis=-1)
    covariance = scale**2 * jnp.exp(-squares / (2 * length**2))
    factors = jnp.linalg.cholesky(covariance + noise * jnp.eye(num_points)[None])
    normal = jax.random.normal(y_key, (num_tasks, num_points))
    highest = jax.lax.Precision.HIGHEST
    return x, jnp.einsum("tij,tj->ti", factors, normal, precision=highest)


def exact_nll(
    x: np.ndarray,
    y: np.ndarray,
    queries: np.ndarray,
    targets: np.ndarray,
    *,
    length: float = 0.6,
    scale: float = 1.0,
    noise: float = 0.01,
) -> np.ndarray:
    """-log p(target | query, context) in nats, each query by itself; in float64.

    Args:
      x: [points, dim]; y: [points]; the context of one task.
      queries: [num, dim]; targets: [num], with noise as y.

    Returns:
      [num], what no network does better than in expectation.
    """
    x, y, queries, targets = (
        np.asarray(a, np.float64) for a in (x, y, queries, targets)
    )

    def kernel(a, b):
        squares = np.sum((a[:, None] - b[None]) ** 2, axis=-1)
        return scale**2 * np.exp(-squares / (2 * length**2))

    cross = kernel(queries, x)
    solved = np.linalg.solve(kernel(x, x) + noise * np.eye(len(x)), cross.T)
    mean = solved.T @ y
    variance = scale**2 - np.sum(cross.T * solved, axis=0) + noise
    return (np.log(2 * np.pi * variance) + (targets - mean) ** 2 / variance) / 2
