"""Bounds of mutual information by a critic's scores, as losses: the negated bounds.

Common to all:
  scores: [batch, all rows] float; row i has the scores of x_i with every y_j, and its
    own pair on the diagonal. On a split batch the columns are those of all devices.
  where: [batch] bool, False for absent rows; None if all are present.
  axis_name: the mapped axis the batch is split over; None if it is whole.
Pairs (i, j), i != j, stand for independent draws. Without such a pair their term is 0.
Each returns a float32 scalar, and raises ValueError for shapes that do not fit,
TypeError for integers. InfoNCE of scores is `cross_entropy` with labels 0, 1, ...;
log(batch) less it is the bound.
"""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import (
    checked_rows,
    gather_rows,
    log_mean_exp,
    masked_mean,
    num_present,
)
from repr_jax.ops.numerics import bounded_exp


def nwj(
    scores: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """-[ mean_i F_ii - mean_{i != j} exp(F_ij - 1) ], F the scores; in nats.

    Scores beyond 31 count by the tangent of the exponential there, to be finite. The
    bound is I itself for F_ij = 1 + the log of the density ratio.

    Source: Nguyen, Wainwright and Jordan, "Estimating Divergence Functionals and the
      Likelihood Ratio by Convex Risk Minimization", 2010, as in Tschannen et al., "On
      Mutual Information Maximization for Representation Learning", 2019, eq. 4,
      https://arxiv.org/abs/1907.13625.
    """
    own, scores, other, where = _checked("nwj", scores, where, axis_name)
    options = dict(where=where, axis_name=axis_name)
    independent = _mean_of_others(bounded_exp(scores - 1), other, **options)
    return independent - masked_mean(own, **options)


def donsker_varadhan(
    scores: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """-[ mean_i F_ii - log mean_{i != j} exp F_ij ], F the scores; in nats.

    At most `nwj`, and equal where the mean of exp F_ij is e. A constant added to all
    scores changes nothing.

    Source: Donsker and Varadhan, 1983, as in Belghazi et al., "MINE: Mutual Information
      Neural Estimation", 2018, theorem 1, https://arxiv.org/abs/1801.04062. Here the
      gradient is that of the batch; they correct its bias by a moving average.
    """
    own, scores, other, where = _checked("donsker_varadhan", scores, where, axis_name)
    count = num_present(where, axis_name)
    some = where & (count > 1)
    masked = jnp.where(other | ~some[:, None], scores, -jnp.inf)
    by_row = jax.nn.logsumexp(masked, axis=1) - jnp.log(jnp.maximum(count - 1, 1))
    independent = log_mean_exp(by_row, where=some, axis_name=axis_name)
    return independent - masked_mean(own, where=where, axis_name=axis_name)


def jensen_shannon(
    scores: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """mean_i softplus(-F_ii) + mean_{i != j} softplus(F_ij), F the scores; in nats.

    Binary cross-entropy of telling pairs from independent draws; 2 log 2 if all scores
    are 0. It ranks critics, but is no bound of the mutual information itself.

    Source: Hjelm et al., "Learning Deep Representations by Mutual Information
      Estimation and Maximization", 2019, eq. 4, https://arxiv.org/abs/1808.06670.
    """
    own, scores, other, where = _checked("jensen_shannon", scores, where, axis_name)
    options = dict(where=where, axis_name=axis_name)
    independent = _mean_of_others(jax.nn.softplus(scores), other, **options)
    return masked_mean(jax.nn.softplus(-own), **options) + independent


def _checked(who, scores, where, axis_name):
    """[batch] scores of own pairs; all, 0 where absent; [batch, all rows] bool, which
    are of present others; where."""
    scores, where = checked_rows(who, where, scores=scores)
    index = pairs.row_index(where, axis_name)
    columns, there = gather_rows((index, where), axis_name)
    checks.shape(who, (len(index), len(columns)), scores=scores)
    scores = jnp.where(there[None], scores, 0)
    mine = index[:, None] == columns[None]
    own = jnp.sum(jnp.where(mine, scores, 0), axis=1)
    return own, scores, there[None] & ~mine, where


def _mean_of_others(values, other, *, where, axis_name):
    """[] mean over the pairs of different present rows."""
    count = jnp.maximum(num_present(where, axis_name) - 1, 1)
    by_row = jnp.sum(jnp.where(other, values, 0), axis=1) / count
    return masked_mean(by_row, where=where, axis_name=axis_name)
