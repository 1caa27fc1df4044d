"""Arithmetic in a dtype that can bear it, finite even for a diverged network."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, dtypes, lax

from repr_jax.ops import checks

EXP_LIMIT = 30.0  # exp(30) = 1e13: what grows from it still has a float32 square
WIDE = 512  # dims: there a product costs more than adding a matrix to its transpose


def to_float(x: Any) -> Array:
    """Any float dtype to float32; float64 is kept. Callers refuse integers first."""
    x = jnp.asarray(x)
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def bounded_exp(x: Array) -> Array:
    """exp(x) for |x| up to 30, its tangent above, exp(-30) / (1 + distance) below.

    Finite, above zero, rising, and differentiable; bounded_exp(-x) is its reciprocal.
    """
    inside = jnp.exp(jnp.clip(x, -EXP_LIMIT, EXP_LIMIT))
    above, below = jax.nn.relu(x - EXP_LIMIT), jax.nn.relu(-x - EXP_LIMIT)
    return inside * (1 + above) / (1 + below)


def bounded_expm1(x: Array) -> Array:
    """exp(x) - 1 up to x = 30 and its tangent beyond; no cancellation near 0."""
    slope = jnp.exp(jnp.asarray(EXP_LIMIT, x.dtype))
    return jnp.expm1(jnp.minimum(x, EXP_LIMIT)) + slope * jax.nn.relu(x - EXP_LIMIT)


def l2_normalize(x: Array) -> Array:
    """x / |x| over the last axis, for |x| from 1e-37 to 1e37; zero stays zero.

    Squares are of x over its largest entry, so none over- or underflows. The gradient
    is finite, at zero that of x itself.
    """
    x = to_float(x)
    largest = jnp.max(jnp.abs(lax.stop_gradient(x)), axis=-1, keepdims=True)
    shrink = 1 / jnp.where(largest < jnp.finfo(x.dtype).tiny, 1, largest)
    square = jnp.sum((x * shrink) ** 2, axis=-1, keepdims=True)
    return x * (shrink * lax.rsqrt(jnp.where(square == 0, 1, square)))


def length(x: Array) -> Array:
    """Euclidean length over the last axis, of gradient 0 at 0.

    A product less itself is not always 0 once compiled, see `stored`: where the length
    of a row's difference from itself may count, leave that pair out.
    """
    return root(jnp.sum(x**2, axis=-1))


def root(square: Array) -> Array:
    """The square root, of gradient 0 at 0."""
    return jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))


def stored(x: Array) -> Array:
    """x less its last bit: the same number wherever it is used.

    Else a compiler that fuses a product and a difference subtracts more digits of the
    product than it returns.
    """
    info = jnp.finfo(x.dtype)
    return lax.reduce_precision(x, info.nexp, info.nmant - 1)


def pairwise_dot(a: Array, b: Array) -> Array:
    """[n, dim], [m, dim] -> [n, m] inner products in full float32 on every backend."""
    if a is b and a.shape[1] >= WIDE:
        return _gram(a)
    return jnp.matmul(a, b.T, precision=lax.Precision.HIGHEST)


@jax.custom_jvp
def _gram(a):
    return jnp.matmul(a, a.T, precision=lax.Precision.HIGHEST)


@_gram.defjvp
def _gram_jvp(primals, tangents):
    """With half + half^T the gradient of G is (G + G^T) a: one product, not two."""
    (a,), (change,) = primals, tangents
    half = jnp.matmul(change, a.T, precision=lax.Precision.HIGHEST)
    return _gram(a), half + half.T


def argmax(scores: Array) -> Array:
    """[..., n] -> [...] int32, the first of the largest scores; NaN loses.

    -1 where all scores are NaN.
    """
    lost = jnp.isnan(scores)
    best = jnp.argmax(jnp.where(lost, -jnp.inf, scores), axis=-1)
    return jnp.where(jnp.all(lost, axis=-1), -1, best).astype(jnp.int32)


def one_hot(labels: Any, num_classes: int, dtype: Any = None) -> Array:
    """[...] int -> [..., num_classes]; of labels outside of the classes all are 0.

    Those of 64 bits, too, which jax would narrow to some class.
    """
    if not isinstance(labels, Array):
        labels = np.asarray(labels)
        inside = (labels >= 0) & (labels < num_classes)
        labels = np.where(inside, labels.astype(np.int32), np.int32(-1))
    return jax.nn.one_hot(labels, num_classes, dtype=dtype)


def same_class(a: Any, b: Any) -> Array:
    """a == b, bool, of integers that broadcast; those of 64 bits are not narrowed."""
    if checks.known(a) and checks.known(b):
        return jnp.asarray(np.asarray(a) == np.asarray(b))
    found = jnp.asarray(a) == jnp.asarray(b)
    for x in (a, b):
        if not isinstance(x, Array):  # what is narrowed is none of the other's
            found &= np.asarray(x) == _narrowed(x)
    return found


def class_ids(labels: Any) -> Array:
    """Integers that are only told apart: those that jax would narrow are renumbered."""
    if not isinstance(labels, Array):
        labels = np.asarray(labels)
        if np.any(labels != _narrowed(labels)):
            labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    return jnp.asarray(labels)


def _narrowed(x):
    """[...] as jax would hold it."""
    x = np.asarray(x)
    return x.astype(dtypes.canonicalize_dtype(x.dtype))
