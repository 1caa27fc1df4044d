"""How alike rows are: each similarity is a name with three functions, chosen by name.

`prepare` is done to rows once, before they are compared; of what it returns `of_rows`
compares row i with row i and `of_pairs` every row with every other, both in full
float32 and equal to rounding. Any object with these three functions will do; one with
`symmetric = True` says that of_pairs(b, a) is of_pairs(a, b) transposed.
"""

from typing import Protocol

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops.batch import masked_mean
from repr_jax.ops.numerics import l2_normalize, length, pairwise_dot, root


class Similarity(Protocol):
    """What the losses call; the functions of `dot` say more."""

    def prepare(self, x: Array) -> Array: ...

    def of_rows(self, a: Array, b: Array) -> Array: ...

    def of_pairs(self, a: Array, b: Array) -> Array: ...


class dot:
    """a . b, any real number."""

    symmetric = True

    @staticmethod
    def prepare(x: Array) -> Array:
        """[n, dim] -> [n, dim], the same."""
        return x

    @staticmethod
    def of_rows(a: Array, b: Array) -> Array:
        """[n, dim], [n, dim] -> [n]."""
        return jnp.sum(a * b, axis=-1)

    @staticmethod
    def of_pairs(a: Array, b: Array) -> Array:
        """[n, dim], [m, dim] -> [n, m]."""
        return pairwise_dot(a, b)


class cosine:
    """a . b / (|a| |b|), in [-1, 1]; 0 if either is the zero vector."""

    symmetric = True

    @staticmethod
    def prepare(x: Array) -> Array:
        """[n, dim] -> [n, dim], of unit length; zero stays zero."""
        return l2_normalize(x)

    of_rows = staticmethod(dot.of_rows)
    of_pairs = staticmethod(dot.of_pairs)


class negative_squared_distance:
    """-|a - b|^2, at most 0.

    Rows are subtracted directly. Pairs expand the square, which holds no [n, m, dim]
    array, around the mean of the rows of b that are finite and not 0, as absent rows
    are: rounding is that of the squared spread, wherever the origin is.
    """

    symmetric = True
    prepare = staticmethod(dot.prepare)

    @staticmethod
    def of_rows(a: Array, b: Array) -> Array:
        """[n, dim], [n, dim] -> [n]."""
        return -jnp.sum((a - b) ** 2, axis=-1)

    @staticmethod
    def of_pairs(a: Array, b: Array) -> Array:
        """[n, dim], [m, dim] -> [n, m]."""
        fixed = lax.stop_gradient(b)
        where = jnp.any(fixed != 0, axis=-1) & jnp.all(jnp.isfinite(fixed), axis=-1)
        center = masked_mean(fixed, where=where)[None]
        a, b = a - center, b - center
        squares = jnp.sum(a * a, axis=-1)[:, None] + jnp.sum(b * b, axis=-1)[None]
        return jnp.minimum(2 * pairwise_dot(a, b) - squares, 0.0)


class negative_distance:
    """-|a - b|, at most 0, of gradient 0 where it is 0."""

    symmetric = True
    prepare = staticmethod(dot.prepare)

    @staticmethod
    def of_rows(a: Array, b: Array) -> Array:
        """[n, dim], [n, dim] -> [n]."""
        return -length(a - b)

    @staticmethod
    def of_pairs(a: Array, b: Array) -> Array:
        """[n, dim], [m, dim] -> [n, m]."""
        return -root(-negative_squared_distance.of_pairs(a, b))


class signal_to_noise:
    """-var(b - a) / var(a), at most 0, variances over the dimensions of a row.

    The row that asks is the signal, so that it is not symmetric; a shift of either does
    not matter. An anchor of equal entries has the variance 1 here.

    Source: Yuan et al., "Signal-to-Noise Ratio: A Robust Distance Metric for Deep
      Metric Learning", 2019, http://openaccess.thecvf.com/content_CVPR_2019/
      html/Yuan_Signal-To-Noise_Ratio_A_Robust_Distance_Metric_for_Deep_Metric_Learning_
      CVPR_2019_paper.html.
    """

    @staticmethod
    def prepare(x: Array) -> Array:
        """[n, dim] -> [n, dim], each row less its mean."""
        return x - jnp.mean(x, axis=-1, keepdims=True)

    @staticmethod
    def of_rows(a: Array, b: Array) -> Array:
        """[n, dim], [n, dim] -> [n]."""
        return negative_squared_distance.of_rows(a, b) / _signal(a)

    @staticmethod
    def of_pairs(a: Array, b: Array) -> Array:
        """[n, dim], [m, dim] -> [n, m]."""
        return negative_squared_distance.of_pairs(a, b) / _signal(a)[:, None]


def _signal(a):
    """[n] squared length of centered rows, 1 for that of zeros."""
    square = jnp.sum(a * a, axis=-1)
    return jnp.where(square == 0, 1, square)
