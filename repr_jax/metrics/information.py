"""What losses say of mutual information, in nats."""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float


def info_nce_bound(loss: Array, num_candidates: int) -> Array:
    """log(num_candidates) - loss, below the mutual information of queries and keys.

    In expectation over batches that the scores were not fitted on: of training batches
    it may be above. It never exceeds log(num_candidates), so that a large information
    needs many candidates.

    Args:
      loss: [...] float, of `losses.info_nce`, `losses.cpc` and their kin; in nats.
      num_candidates: >= 1, keys that each query is compared with, its own among them:
        the batch for both losses. The paper writes N.

    Returns:
      [...] float32 in nats, at most log(num_candidates); 0 or less says nothing.

    Raises:
      ValueError: num_candidates below 1. TypeError: an integer loss, or a number of
        candidates that is not whole.

    Source: van den Oord, Li and Vinyals, "Representation Learning with Contrastive
      Predictive Coding", 2018, section 2.3, https://arxiv.org/abs/1807.03748.
    """
    checks.floating("info_nce_bound", loss=loss)
    checks.count("info_nce_bound", num_candidates=num_candidates)
    return jnp.log(num_candidates) - to_float(loss)
