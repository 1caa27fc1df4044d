"""Quantiles that keep a promise about the next draw or are of a law, and bins."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where
from repr_jax.ops.numerics import to_float


def conformal(
    scores: Array, *, miscoverage: float, where: Array | None = None
) -> Array:
    """The ceil((n + 1) (1 - miscoverage))-th smallest of n scores; no interpolation.

    A further score, exchangeable with these, is at most that with a probability in
    [1 - miscoverage, 1 - miscoverage + 1 / (n + 1)] if there are no ties.

    Args:
      scores: [n] float; NaN counts as the largest.
      miscoverage: in (0, 1), alpha.
      where: [n] bool, False for absent scores; None if all are present.

    Returns:
      [] float; inf if there are too few scores for the promise.

    Raises:
      ValueError: scores are not [n]; miscoverage is not in (0, 1).
      TypeError: integers.

    Source: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005
      (from memory); Lei et al., "Distribution-Free Predictive Inference for
      Regression", 2018, algorithm 2, https://arxiv.org/abs/1604.04173.
    """
    who = "conformal"
    checks.same_shape(who, rank=1, scores=scores)
    checks.floating(who, scores=scores)
    if not 0 < miscoverage < 1:
        raise ValueError(f"{who}: expected miscoverage in (0, 1); got {miscoverage}.")
    where = checked_where(who, where, jnp.shape(scores))
    scores = to_float(scores)
    scores = jnp.where(where & ~jnp.isnan(scores), scores, jnp.inf)
    # of any count, in double precision: in single 20 * (1 - 0.1) may be above 18
    exact = np.arange(1, len(scores) + 2) * (1 - miscoverage)
    rank = jnp.array(np.ceil(exact - 1e-9), jnp.int32)[jnp.sum(where)]
    ordered = jnp.append(jnp.sort(scores), jnp.inf)
    return jnp.where(rank > jnp.sum(where), jnp.inf, ordered[rank - 1])


def equal_mass_bins(values: Array, *, num_bins: int, where: Array) -> Array:
    """[n] int32 in [0, num_bins): which bin each value is in, by its rank.

    Bin i has the ranks from floor(i n / num_bins) to below floor((i + 1) n / num_bins)
    of the n present values, equal ones in their order. Absent ones are in the last.
    """
    order = jnp.lexsort((values, ~where))
    ranks = jnp.zeros(len(order), jnp.int32).at[order].set(jnp.arange(len(order)))
    starts = jnp.arange(1, num_bins) * jnp.sum(where) // num_bins
    return jnp.searchsorted(starts, ranks, side="right")


def beta(shares: Array, shape: float) -> Array:
    """[...] in [0, 1] -> [...] quantiles of Beta(shape, shape), by bisection."""

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        below = jax.scipy.special.betainc(shape, shape, middle) < shares
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    shares = lax.stop_gradient(shares)
    ends = 0 * shares, 0 * shares + 1
    low, high = lax.fori_loop(0, 40, halve, ends)
    return (low + high) / 2
