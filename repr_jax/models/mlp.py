"""Fully connected networks."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax


def fan_in_uniform(num_inputs: int) -> Callable:
    """Initializer of U(-r, r), r = 1 / sqrt(num_inputs): PyTorch's of dense layers."""

    def init(key, shape, dtype):
        bound = num_inputs**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class MLP(nn.Module):
    """[batch, ...] -> [batch, widths[-1]]; trailing axes are flattened."""

    widths: Sequence[int]
    batch_norm: bool = False
    negative_slope: float = 0.0  # of the leaky ReLU
    uniform_init: bool = False  # weights and biases of fan_in_uniform
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        def dense(x, width):
            uniform = fan_in_uniform(x.shape[-1])
            init = dict(kernel_init=uniform, bias_init=uniform)
            return nn.Dense(
                width, dtype=self.dtype, **init if self.uniform_init else {}
            )(x)

        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        for width in self.widths[:-1]:
            x = dense(x, width)
            if self.batch_norm:
                x = nn.BatchNorm(use_running_average=not train, dtype=self.dtype)(x)
            x = nn.leaky_relu(x, self.negative_slope)
        return dense(x, self.widths[-1])
