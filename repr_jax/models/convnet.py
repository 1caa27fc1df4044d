"""A small convolutional encoder of images, where a ResNet would be too slow.

`vae.ConvDecoder` with the widths in reverse order is its mirror.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from repr_jax.models.conv import Conv


class ConvNet(nn.Module):
    """[batch, height, width, channels] -> [batch, features] float32.

    Convolutions of 3 x 3 and stride 2, each followed by batch normalization and ReLU;
    one hidden layer, or none; no activation at the end. Every width halves the image.
    """

    features: int
    widths: Sequence[int] = (32, 64, 128)
    hidden: int = 256  # 0: a linear layer alone
    negative_slope: float = 0.0  # of the leaky ReLU after the hidden layer
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        x = x.astype(self.dtype)
        for width in self.widths:
            x = Conv(width, (3, 3), (2, 2), (1, 1), dtype=self.dtype)(x)
            x = nn.BatchNorm(use_running_average=not train, dtype=self.dtype)(x)
            x = nn.relu(x)
        x = x.reshape(x.shape[0], -1)
        if self.hidden:
            x = nn.Dense(self.hidden, dtype=self.dtype)(x)
            x = nn.leaky_relu(x, self.negative_slope)
        return nn.Dense(self.features, dtype=self.dtype)(x).astype(jnp.float32)
