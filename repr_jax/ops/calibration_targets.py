"""Soft targets for a classifier of two classes: how often rows like this one are right.

Each row's probability is compared with those of all others; refresh from time to time.
"""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where, present
from repr_jax.ops.numerics import to_float
from repr_jax.ops.quantiles import equal_mass_bins


def binned(
    probabilities: Array,
    labels: Array,
    *,
    num_bins: int = 10,
    where: Array | None = None,
) -> Array:
    """The mean label of the rows whose probabilities rank alike.

    Those of a bin of `ops.quantiles.equal_mass_bins`.

    Args:
      probabilities: [batch] float, of the class 1.
      labels: [batch] int in {0, 1}, or bool.
      num_bins: >= 1.
      where: [batch] bool, False for absent rows; None if all are present.

    Returns:
      [batch] in [0, 1], their mean is that of the labels; 0 in absent rows.

    Source: Liu et al., "Deep Probability Estimation", 2022 (CaPE), section 4,
      https://arxiv.org/abs/2111.10734.
    """
    who = "binned"
    checks.count(who, num_bins=num_bins)
    p, y, where = _checked(who, probabilities, labels, where)
    bins = equal_mass_bins(p, num_bins=num_bins, where=where)
    totals, counts = (jnp.zeros(num_bins, y.dtype).at[bins].add(x) for x in (y, where))
    return present((totals / jnp.maximum(counts, 1))[bins], where)


def kernel(
    probabilities: Array,
    labels: Array,
    *,
    bandwidth: float = 0.1,
    half_window: int = 500,
    where: Array | None = None,
) -> Array:
    """The mean label of the rows next in rank, weighed by how near they are.

    sum_j k_ij y_j / sum_j k_ij, k a Gaussian of the difference of probabilities, over
    the ranks from i - half_window to i + half_window - 1, as far as they exist.

    Args:
      bandwidth: > 0, standard deviation of the Gaussian.
      half_window: >= 1, ranks looked at on either side.

    Other arguments and returns are those of `binned`; source too.
    """
    who = "kernel"
    checks.positive(who, bandwidth=bandwidth)
    checks.count(who, half_window=half_window)
    p, y, where = _checked(who, probabilities, labels, where)
    order = jnp.lexsort((p, ~where))  # absent rows last
    p, y = p[order], y[order]
    places, n = jnp.arange(len(p)), jnp.sum(where)

    def add(i, sums):
        place = places + i - half_window
        inside = (place >= 0) & (place < n)
        place = jnp.clip(place, 0, len(p) - 1)
        away = (p - p[place]) / bandwidth
        weight = jnp.where(inside, jnp.exp(-(away**2) / 2), 0)
        return sums[0] + weight * y[place], sums[1] + weight

    total, weights = lax.fori_loop(0, 2 * half_window, add, (jnp.zeros_like(p),) * 2)
    means = total / jnp.where(weights == 0, 1, weights)
    return present(jnp.zeros_like(p).at[order].set(means), where)


def _checked(who, probabilities, labels, where):
    """Probabilities and labels in float, 0 in absent rows; where."""
    checks.same_shape(who, rank=1, probabilities=probabilities, labels=labels)
    checks.floating(who, probabilities=probabilities)
    if jnp.result_type(labels) != jnp.bool_:
        checks.integers(who, labels=labels)
    where = checked_where(who, where, jnp.shape(labels))
    checks.finite(who, where=where, probabilities=probabilities)
    p = present(to_float(probabilities), where)
    y = present(jnp.asarray(labels).astype(p.dtype), where)
    return p, y, where
