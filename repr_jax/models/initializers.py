"""How parameters start."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def uniform_fan_in(fan_in: int) -> Callable:
    """Initializer of kernels and biases: uniform within +-1 / sqrt(fan_in).

    The default of torch layers, hence of the published networks. Torch counts the
    fan-in of a transposed convolution as kernel area times *output* channels.
    """
    bound = fan_in**-0.5

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def xavier_uniform(key, shape, dtype=jnp.float32):
    """Glorot's initializer of kernels, as a function that a config can name."""
    return jax.nn.initializers.xavier_uniform()(key, shape, dtype)
