"""Two-dimensional convolutions over NHWC images, in one place.

Parameters, shapes and values are those of `flax.linen.Conv` and
`flax.linen.ConvTranspose`.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def conv(x, kernel, *, strides, padding):
    """Strided convolution: [batch, H, W, in] with [kh, kw, in, out]."""
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        [(pad, pad) for pad in padding],
        dimension_numbers=DIMENSIONS,
    )


def conv_transpose(x, kernel, *, strides, padding, output_padding):
    """Transposed convolution: [batch, H, W, in] with [kh, kw, in, out]."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        [
            (k - 1 - p, k - 1 - p + extra)
            for k, p, extra in zip(kernel.shape[:2], padding, output_padding)
        ],
        lhs_dilation=strides,
        dimension_numbers=DIMENSIONS,
    )


class Conv(nn.Module):
    """[batch, H, W, in] -> [batch, (H + 2p - k) // s + 1, ..., features]."""

    features: int
    kernel_size: Sequence[int] = (3, 3)
    strides: Sequence[int] = (1, 1)
    padding: Sequence[int] = (0, 0)
    dtype: str = "float32"  # of the arithmetic; parameters stay float32
    kernel_init: Callable = nn.initializers.lecun_normal()
    bias_init: Callable = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x):
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", self.bias_init, (self.features,))
        x, kernel, bias = (jnp.asarray(a, self.dtype) for a in (x, kernel, bias))
        y = conv(x, kernel, strides=self.strides, padding=self.padding)
        return y + bias[None, None, None, :]


class ConvTranspose(nn.Module):
    """[batch, H, W, in] -> [batch, (H - 1) s - 2p + k + op, ..., features]."""

    features: int
    kernel_size: Sequence[int] = (3, 3)
    strides: Sequence[int] = (1, 1)
    padding: Sequence[int] = (0, 0)
    output_padding: Sequence[int] = (0, 0)
    dtype: str = "float32"  # of the arithmetic; parameters stay float32
    kernel_init: Callable = nn.initializers.lecun_normal()
    bias_init: Callable = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x):
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", self.bias_init, (self.features,))
        x, kernel, bias = (jnp.asarray(a, self.dtype) for a in (x, kernel, bias))
        y = conv_transpose(
            x,
            kernel,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
        )
        return y + bias[None, None, None, :]
