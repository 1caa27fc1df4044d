"""Local intrinsic dimension of rows, from the distances to their nearest neighbors.

distances: [..., k] float, ascending, k >= 2, to the k nearest other rows. Estimates
are clipped to [1e-3, 1e4]: equal distances have no finite one. Scaling all distances
changes nothing.
"""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks

LEAST, MOST = 1e-3, 1e4


def moments(distances: Array) -> Array:
    """m / (a_k - m), m the mean of the distances a_1 to a_{k-1}: [..., k] -> [...].

    Source: Amsaleg et al., "Extreme-Value-Theoretic Estimation of Local Intrinsic
      Dimensionality", 2018, the first moment, https://doi.org/10.1007/s10618-018-0578-6.
    """
    _check("local_dimension.moments", distances)
    mean = jnp.mean(distances[..., :-1], axis=-1)
    gap = distances[..., -1] - mean
    none = gap <= 0  # NaN stays NaN
    ratio = mean / jnp.where(none, 1, gap)
    return jnp.clip(jnp.where(none, MOST, ratio), LEAST, MOST)


def likelihood(distances: Array) -> Array:
    """-1 / mean_{j < k} log(a_j / a_k), a the distances: [..., k] -> [...].

    Source: Levina and Bickel, "Maximum Likelihood Estimation of Intrinsic Dimension",
      2004; as Amsaleg et al. 2018 (as `moments`).
    """
    _check("local_dimension.likelihood", distances)
    a = jnp.maximum(distances, jnp.finfo(distances.dtype).tiny)
    mean = jnp.mean(jnp.log(a[..., -1:]) - jnp.log(a[..., :-1]), axis=-1)
    none = mean <= 0
    return jnp.clip(jnp.where(none, MOST, 1 / jnp.where(none, 1, mean)), LEAST, MOST)


def _check(who, distances):
    checks.floating(who, distances=distances)
    checks.count(who, minimum=2, neighbors=jnp.shape(distances)[-1])
