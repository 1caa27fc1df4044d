"""How unsure logits are: one number a row, higher for what is more anomalous."""

import jax
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float


def energy(logits: Array, *, temperature: float | Array = 1.0) -> Array:
    """[..., num_classes] -> [...]: -temperature logsumexp(logits / temperature).

    The free energy of a classifier's logits, low where one of them is large. Adding a
    constant to all logits lowers it by as much; the softmax does not see that.

    Source: Liu et al., "Energy-based Out-of-distribution Detection", 2020, eq. 4,
      https://arxiv.org/abs/2010.03759.
    """
    checks.floating("energy", logits=logits)
    checks.positive("energy", temperature=temperature)
    logits = to_float(logits)
    return -temperature * jax.nn.logsumexp(logits / temperature, axis=-1)
