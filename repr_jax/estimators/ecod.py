"""Outliers by empirical tails: how rare a row is in each dimension, one by one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows


class ECOD(NamedTuple):
    """The fitted rows, every column sorted by itself."""

    x: Array  # [batch, dim], infinity beyond the present rows
    count: Array  # [] int32, of the present rows


def fit(x: Array, *, where: Array | None = None) -> ECOD:
    """Sorts the columns.

    Args:
      x: [batch, dim] float.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: x is not [batch, dim], or not finite; where traced, a row that is not
        is absent.
      TypeError: integers in x; a `where` that is not bool.
    """
    x, where = _checked("ecod.fit", x, where)
    return _sorted(x, where)


def score(fitted: ECOD, x: Array, *, where: Array | None = None) -> Array:
    """sum_d max(-log share of rows <= x_d, -log share of rows >= x_d), in nats.

    Shares are among the fitted rows and those of x together, as in the public code: a
    row's score depends a little on the rows that it is scored with, and a row beyond
    all fitted ones is rarer the more of them there are.

    Args:
      x: [batch, dim] float.
      where: [batch] bool, False for absent rows, whose scores mean nothing.

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite.

    Source: Li et al., "ECOD: Unsupervised Outlier Detection Using Empirical Cumulative
      Distribution Functions", 2022, https://arxiv.org/abs/2201.00382. The paper sums
      left, right and skewness-chosen tails over dimensions before the largest is taken;
      the public code (pyod) takes the largest in each dimension, as here, where the
      tail that skewness chooses is one of the other two.
    """
    checks.shape("ecod.score", (*jnp.shape(x)[:1], fitted.x.shape[1]), x=x)
    x, where = _checked("ecod.score", x, where)
    queries = _sorted(x, where)

    def tails(fits, others, values):
        """[batch] rows at most as large in one dimension, and smaller ones."""
        return [
            sum(jnp.searchsorted(rows, values, side=side) for rows in (fits, others))
            for side in ("right", "left")
        ]

    total = fitted.count + queries.count
    below, before = jax.vmap(tails)(fitted.x.T, queries.x.T, x.T)
    rarer = jnp.minimum(below, total - before) / total
    rare = -jnp.log(rarer.astype(x.dtype))
    return jnp.sum(jnp.where(jnp.isnan(x.T), jnp.nan, rare), axis=0)


def _checked(who, x, where):
    x, where = checked_rows(who, where, x=x)
    checks.finite(who, where=where, x=x)
    return x, where


def _sorted(x, where):
    where &= jnp.all(jnp.isfinite(x), axis=1)
    rows = jnp.sort(jnp.where(where[:, None], x, jnp.inf), axis=0)
    return ECOD(rows, jnp.sum(where))
