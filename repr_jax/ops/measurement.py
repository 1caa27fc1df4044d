"""Linear measurements y = H x + noise, by the singular value decomposition of H.

H = U S V'. Coordinates V'x of images are arrays of some shape, S numbers that broadcast
against it, 0 for what is not measured. Of images V is a small orthonormal matrix that
is applied to every block, so that nothing of the size of H is ever held.

    pool = measurement.average_pool(8)
    y = pool.forward(x)  # [batch, 128, 128, 3] -> [batch, 16, 16, 3]
    measurement.pseudo_inverse(pool, y)  # [batch, 128, 128, 3]
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import row_normal


class Operator(NamedTuple):
    """All functions keep leading axes."""

    forward: Callable  # x -> y = H x
    to_spectrum: Callable  # x -> V'x, every coordinate, measured or not
    from_spectrum: Callable  # V'x -> x
    observed: Callable  # y -> S^+ U'y, 0 where nothing is measured
    singular: np.ndarray  # S, >= 0, broadcasts against V'x


def singular_values(operator: Operator, v: Array) -> Array:
    """S in the rank and dtype of coordinates v, which may have leading axes."""
    return _widened(operator.singular, v)


def pseudo_inverse(operator: Operator, y: Array) -> Array:
    """H^+ y, the shortest x with H x nearest to y."""
    return operator.from_spectrum(operator.observed(y))


def consistent(operator: Operator, x: Array, y: Array) -> Array:
    """x + H^+ (y - H x): the nearest to x that gives y."""
    return x + pseudo_inverse(operator, y - operator.forward(x))


def noisy(keys: Array, operator: Operator, x: Array, *, noise: float) -> Array:
    """H x + noise * N(0, I), a key for each row of x."""
    checks.non_negative("measurement.noisy", noise=noise)
    y = operator.forward(x)
    return y + noise * row_normal(keys, y.shape[1:], y.dtype)


def average_pool(factor: int) -> Operator:
    """Means of factor x factor pixels: [..., height, width, channels] to a part of it.

    Sides are multiples of the factor. One singular value a block, 1 / factor.
    """
    checks.count("measurement.average_pool", factor=factor)
    matrix = _completed(np.ones(factor**2))
    singular = np.zeros((factor**2, 1), np.float32)
    singular[0] = 1 / factor

    def blocks(x: Array) -> Array:
        """[..., height, width, C] -> [..., h, w, factor^2, C]."""
        *lead, height, width, channels = x.shape
        if height % factor or width % factor:
            raise ValueError(
                f"measurement.average_pool: expected sides that are multiples of "
                f"{factor}; got {x.shape}."
            )
        x = x.reshape(
            *lead, height // factor, factor, width // factor, factor, channels
        )
        x = jnp.swapaxes(x, -4, -3)
        return x.reshape(*x.shape[:-3], factor**2, channels)

    def forward(x: Array) -> Array:
        return jnp.mean(blocks(x), axis=-2)

    def from_spectrum(v: Array) -> Array:
        *lead, h, w, _, channels = v.shape
        x = _times(matrix, v).reshape(*lead, h, w, factor, factor, channels)
        x = jnp.swapaxes(x, -4, -3)
        return x.reshape(*lead, h * factor, w * factor, channels)

    def observed(y: Array) -> Array:
        first = factor * y[..., None, :]
        rest = jnp.zeros((*first.shape[:-2], factor**2 - 1, first.shape[-1]), y.dtype)
        return jnp.concatenate([first, rest], axis=-2)

    def to_spectrum(x: Array) -> Array:
        return _times(matrix.T, blocks(x))

    return Operator(forward, to_spectrum, from_spectrum, observed, singular)


def inpaint(known: np.ndarray) -> Operator:
    """Pixels where `known`, bool [height, width], is True; 0 elsewhere in y."""
    checks.same_shape("measurement.inpaint", rank=2, known=known)
    checks.boolean("measurement.inpaint", known=known)
    singular = np.asarray(known, np.float32)[..., None]

    def same(x: Array) -> Array:
        return x

    def forward(x: Array) -> Array:
        if x.shape[-3:-1] != known.shape:
            raise ValueError(
                f"measurement.inpaint: expected images of {known.shape} pixels; got "
                f"{x.shape}."
            )
        return x * _widened(singular, x)

    return Operator(forward, same, same, forward, singular)


def colorize() -> Operator:
    """The mean of three channels: [..., 3] -> [..., 1]; singular value 1 / sqrt(3)."""
    matrix = _completed(np.ones(3))
    root = 3**0.5
    singular = np.array([1 / root, 0, 0], np.float32)

    def forward(x: Array) -> Array:
        if x.shape[-1] != 3:
            raise ValueError(
                f"measurement.colorize: expected three channels; got {x.shape}."
            )
        return jnp.mean(x, axis=-1, keepdims=True)

    def to_spectrum(x: Array) -> Array:
        return _times(matrix.T, x[..., None])[..., 0]

    def from_spectrum(v: Array) -> Array:
        return _times(matrix, v[..., None])[..., 0]

    def observed(y: Array) -> Array:
        return jnp.concatenate([root * y, jnp.zeros((*y.shape[:-1], 2), y.dtype)], -1)

    return Operator(forward, to_spectrum, from_spectrum, observed, singular)


def dense(matrix: np.ndarray) -> Operator:
    """H itself, [measured, dim]: x [..., dim] -> y [..., measured].

    Singular values below 1e-6 of the largest count as 0.
    """
    checks.same_shape("measurement.dense", rank=2, matrix=matrix)
    matrix = np.asarray(matrix, np.float64)
    checks.finite("measurement.dense", matrix=matrix)
    left, values, right = np.linalg.svd(matrix, full_matrices=True)
    dim, rank = matrix.shape[1], int(np.sum(values > 1e-6 * np.max(values)))
    singular = np.zeros(dim, np.float32)
    singular[:rank] = values[:rank]
    inverse = np.zeros((dim, len(matrix)))
    inverse[:rank] = left[:, :rank].T / values[:rank, None]

    def forward(x: Array) -> Array:
        return _times(matrix, x[..., None])[..., 0]

    def to_spectrum(x: Array) -> Array:
        return _times(right, x[..., None])[..., 0]

    def from_spectrum(v: Array) -> Array:
        return _times(right.T, v[..., None])[..., 0]

    def observed(y: Array) -> Array:
        return _times(inverse, y[..., None])[..., 0]

    return Operator(forward, to_spectrum, from_spectrum, observed, singular)


def _completed(first: np.ndarray) -> np.ndarray:
    """[n, n] orthonormal columns, the first along `first`, by QR of [first, I]."""
    found, _ = np.linalg.qr(np.column_stack([first, np.eye(len(first))]))
    return found * np.sign(found[:, 0] @ first)


def _widened(values: np.ndarray, like: Array) -> Array:
    """In the rank and dtype of another array, by leading axes of length 1."""
    lead = (1,) * (like.ndim - values.ndim)
    return jnp.asarray(values, like.dtype).reshape(lead + values.shape)


def _times(matrix: np.ndarray, x: Array) -> Array:
    """matrix @ x over the last two axes, in full float32 on every backend."""
    return jnp.matmul(_widened(matrix, x), x, precision=jax.lax.Precision.HIGHEST)
