"""Predictions made into targets, which get no gradient.

p is [..., num_classes] float probabilities; rows of what is returned sum to 1.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float

FLOOR = 1e-6  # of the running mean of a class


def align(p: Array, target: Array, running: Array) -> Array:
    """p target / running over its sum: as if classes were as frequent as in target.

    Args:
      p: [..., num_classes] float.
      target: [num_classes] float, shares of the classes among labels.
      running: [num_classes] float, the running mean of p over steps, by `ops.ema`,
        where 0.999 is a usual decay. Below 1e-6 it is taken for that.

    Raises:
      ValueError: target or running is not [num_classes]. TypeError: integers.

    Source: Berthelot et al., "ReMixMatch", 2020, section 3.1,
      https://arxiv.org/abs/1911.09785.
    """
    checks.floating("align", p=p, target=target, running=running)
    checks.shape("align", jnp.shape(p)[-1:], target=target, running=running)
    p, target, running = (to_float(x) for x in (p, target, running))
    ratio = target / jnp.maximum(running, FLOOR)
    p = p * ratio.reshape((1,) * (p.ndim - 1) + ratio.shape)
    return lax.stop_gradient(p / jnp.sum(p, axis=-1, keepdims=True))


def sharpen(p: Array, temperature: float | Array) -> Array:
    """p^(1 / temperature) over its sum; temperature > 0, below 1 to sharpen.

    Source: Berthelot et al., "MixMatch", 2019, eq. 7, https://arxiv.org/abs/1905.02249.
    """
    checks.floating("sharpen", p=p)
    checks.positive("sharpen", temperature=temperature)
    return jax.nn.softmax(jnp.log(lax.stop_gradient(to_float(p))) / temperature)
