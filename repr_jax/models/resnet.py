"""Residual networks of images.

Batch normalization has the statistics of the whole batch: under `jit` a batch that is
split over devices is normalized as one (what torch calls SyncBatchNorm), and so is each
view that is encoded by a call of its own. Running variances are those of the batch,
divided by its size n; torch divides by n - 1.

`models.from_torch` converts published weights of ResNet-18, 34 and 50. Decoders that
mirror them are `vae.ConvDecoder` and `vae_residual.ResidualDecoder`.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from repr_jax.models.conv import conv
from repr_jax.models.initializers import uniform_fan_in


class NormalizedConv(nn.Module):
    """[batch, H, W, in] -> [batch, H / stride, W / stride, features].

    A convolution without bias, its kernel drawn with variance 2 / fan-out, and batch
    normalization.
    """

    features: int
    kernel_size: int = 3  # odd
    stride: int = 1
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        variance = 2.0 / (self.kernel_size**2 * self.features)
        kernel = self.param("kernel", nn.initializers.normal(variance**0.5), shape)
        x, kernel = (jnp.asarray(a, self.dtype) for a in (x, kernel))
        pad = self.kernel_size // 2
        strides = (self.stride, self.stride)
        x = conv(x, kernel, strides=strides, padding=(pad, pad))
        norm = nn.BatchNorm(
            use_running_average=not train, momentum=0.9, dtype=self.dtype
        )
        return norm(x)


class Block(nn.Module):
    """[batch, H, W, in] -> [batch, H / stride, W / stride, features].

    Two convolutions of 3 x 3, added to the input, which passes through one of 1 x 1
    where its shape changes.
    """

    features: int
    stride: int = 1
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        first = NormalizedConv(self.features, 3, self.stride, dtype=self.dtype)
        second = NormalizedConv(self.features, dtype=self.dtype)
        y = second(nn.relu(first(x, train=train)), train=train)
        if y.shape != x.shape:
            change = NormalizedConv(self.features, 1, self.stride, dtype=self.dtype)
            x = change(x, train=train)
        return nn.relu(x + y)


class Bottleneck(nn.Module):
    """[batch, H, W, in] -> [batch, H / stride, W / stride, 4 * features].

    Convolutions of 1 x 1, 3 x 3 and 1 x 1, added to the input, which passes through one
    of 1 x 1 where its shape changes. The stride is that of the 3 x 3, as in torchvision
    and later networks; the paper has it before.
    """

    features: int  # of the first two
    stride: int = 1
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        y, wide = x, 4 * self.features
        for size, stride in ((1, 1), (3, self.stride)):
            layer = NormalizedConv(self.features, size, stride, dtype=self.dtype)
            y = nn.relu(layer(y, train=train))
        y = NormalizedConv(wide, 1, dtype=self.dtype)(y, train=train)
        if y.shape != x.shape:
            change = NormalizedConv(wide, 1, self.stride, dtype=self.dtype)
            x = change(x, train=train)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """[batch, height, width, channels] -> [batch, features] float32.

    A stem, stages of blocks, the mean over the image, and a linear layer; with
    `hidden`, two of them with a leaky ReLU between. Every stage but the first halves
    the image and doubles the width. The defaults are ResNet-18; ResNet-50 has blocks
    (3, 4, 6, 3) of `Bottleneck`. With features 0 there is no layer after the mean, as
    where a projector follows: [batch, 512], or 2048 of ResNet-50.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2016, table 1,
      https://arxiv.org/abs/1512.03385. Daunhawer et al., 2023,
      https://arxiv.org/abs/2303.09166, encode images with ResNet-18 and hidden=100.
    """

    features: int  # 0 for the mean itself
    blocks: Sequence[int] = (2, 2, 2, 2)  # of each stage; ResNet-34: (3, 4, 6, 3)
    block: Callable = Block  # or Bottleneck
    width: int = 64  # of the first stage
    small_images: bool = False  # a 3 x 3 stem of stride 1 and no pooling, as for CIFAR
    hidden: int = 0  # of a layer before the last; 0 for none
    negative_slope: float = 0.01  # of the leaky ReLU after the hidden layer
    mean: Sequence[float] = (0.0, 0.0, 0.0)  # subtracted from the image's channels
    std: Sequence[float] = (1.0, 1.0, 1.0)  # which are then divided by these
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        mean, std = (jnp.array([[[a]]], jnp.float32) for a in (self.mean, self.std))
        x = ((x - mean) / std).astype(self.dtype)
        size, stride = (3, 1) if self.small_images else (7, 2)
        stem = NormalizedConv(self.width, size, stride, dtype=self.dtype)
        x = nn.relu(stem(x, train=train))
        if not self.small_images:
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage, count in enumerate(self.blocks):
            for number in range(count):
                stride = 2 if stage > 0 and number == 0 else 1
                block = self.block(self.width * 2**stage, stride, dtype=self.dtype)
                x = block(x, train=train)
        x = jnp.mean(x, axis=(1, 2))
        if not self.features:
            return x.astype(jnp.float32)
        if self.hidden:
            x = nn.leaky_relu(self.linear(x, self.hidden), self.negative_slope)
        return self.linear(x, self.features).astype(jnp.float32)

    def linear(self, x, features):
        init = uniform_fan_in(x.shape[-1])
        return nn.Dense(features, dtype=self.dtype, kernel_init=init, bias_init=init)(x)
