"""Fully connected networks."""

from collections.abc import Sequence

import flax.linen as nn

from repr_jax.models.initializers import uniform_fan_in


class MLP(nn.Module):
    """[batch, ...] -> [batch, widths[-1]]; trailing axes are flattened."""

    widths: Sequence[int]
    batch_norm: bool = False
    normalized: bool = False  # the output, over the batch; without scale and shift
    negative_slope: float = 0.0  # of the leaky ReLU
    uniform_init: bool = False  # weights and biases of uniform_fan_in
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        def dense(x, width):
            uniform = uniform_fan_in(x.shape[-1])
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
        x = dense(x, self.widths[-1])
        if self.normalized:
            plain = dict(use_bias=False, use_scale=False, dtype=self.dtype)
            x = nn.BatchNorm(use_running_average=not train, **plain)(x)
        return x
