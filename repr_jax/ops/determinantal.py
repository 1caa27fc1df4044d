"""Diverse subsets, by the determinant of a kernel: greedy determinantal processes."""

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float


def greedy(kernel: Array, num: int, *, epsilon: float = 1e-6) -> Array:
    """[num] int32 items, each the one that raises the log determinant most; then -1.

    Ties go to the lowest index. It stops where the determinant would grow by a factor
    of `epsilon` or less. A row of the Cholesky factor is added for each item, which
    costs items * num^2 in all.

    Args:
      kernel: [items, items] float, symmetric and positive semidefinite, such as
        cosines.
      num: from 1 to the number of items.
      epsilon: >= 0; about the rounding of float32 times the diagonal.

    Raises:
      ValueError: the kernel is not square, or not finite; num out of range.
      TypeError: integers.

    Source: Chen, Zhang and Zhou, "Fast Greedy MAP Inference for Determinantal Point
      Process to Improve Recommendation Diversity", 2018, algorithm 1,
      https://arxiv.org/abs/1709.05135.
    """
    who = "determinantal.greedy"
    checks.floating(who, kernel=kernel)
    checks.shape(who, (*jnp.shape(kernel)[:1],) * 2, kernel=kernel)
    checks.finite(who, kernel=kernel)
    checks.count(who, num=num)
    checks.count(who, minimum=num, items=len(kernel))
    checks.non_negative(who, epsilon=epsilon)
    return _greedy(to_float(kernel), num, epsilon)


@functools.partial(jax.jit, static_argnums=1)
def _greedy(kernel, num, epsilon):
    def step(place, state):
        factor, gains, chosen = state
        best = jnp.argmax(gains)
        gain = gains[best]
        some = gain > epsilon
        known = jnp.matmul(factor[:, best], factor, precision="highest")
        row = (kernel[best] - known) / jnp.sqrt(jnp.where(some, gain, 1))
        factor = factor.at[place].set(jnp.where(some, row, 0))
        gains = jnp.where(some, gains - row**2, gains).at[best].set(-jnp.inf)
        gains = jnp.where(some, gains, -jnp.inf)
        return factor, gains, chosen.at[place].set(jnp.where(some, best, -1))

    factor = jnp.zeros((num, len(kernel)), kernel.dtype)
    chosen = jnp.full(num, -1, jnp.int32)
    return lax.fori_loop(0, num, step, (factor, jnp.diagonal(kernel), chosen))[2]
