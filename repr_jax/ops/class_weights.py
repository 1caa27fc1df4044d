"""Weights of classes by their counts, for losses of rare classes."""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks


def effective_number(counts: Array, beta: float | Array) -> Array:
    """(1 - beta) / (1 - beta^counts), scaled to sum to the number of classes.

    Equal weights at beta 0, and nearly 1 / counts as beta nears 1.

    Args:
      counts: [num_classes] int or float >= 0, rows of each class; of 0 the weight is 0.
      beta: in [0, 1), one number or [num_classes].

    Raises:
      ValueError: counts are not of rank 1; beta is another number, or of other classes.

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples",
      2019, eq. 4, https://arxiv.org/abs/1901.05555.
    """
    who = "effective_number"
    checks.same_shape(who, rank=1, counts=counts)
    checks.non_negative(who, beta=beta)
    checks.positive(who, **{"1 - beta": 1 - beta} if jnp.ndim(beta) == 0 else {})
    if jnp.ndim(beta):
        checks.shape(who, jnp.shape(counts), beta=beta)
    counts = jnp.asarray(counts, jnp.result_type(float))
    log_beta = jnp.broadcast_to(jnp.log(jnp.asarray(beta, counts.dtype)), counts.shape)
    some = counts > 0
    powers = jnp.where(some, counts, 1) * log_beta
    weights = jnp.where(some, jnp.expm1(log_beta) / jnp.expm1(powers), 0)
    total = jnp.sum(weights)
    return len(weights) * weights / jnp.where(total > 0, total, 1)


def beta_by_count(counts: Array, *, low: float = 0.99, high: float = 0.9999) -> Array:
    """[num_classes] low for the rarest class, high for the largest, linear between.

    ValueError: counts are not of rank 1.

    Source: Liu et al., "Balanced Representation Learning for Long-Tailed
      Skeleton-Based Action Recognition", 2023, https://arxiv.org/abs/2308.14024, as in
      its code.
    """
    checks.same_shape("beta_by_count", rank=1, counts=counts)
    counts = jnp.asarray(counts, jnp.result_type(float))
    least, most = jnp.min(counts), jnp.max(counts)
    place = (counts - least) / jnp.where(most > least, most - least, 1)
    return low + (high - low) * place
