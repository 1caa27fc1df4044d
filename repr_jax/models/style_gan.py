"""A small style-based generator of images, its discriminator, and an encoder into it.

A latent becomes a style for every layer, which scales the channels of a convolution.
Noise for each pixel of each layer is part of the latent too, so that an image is a
function of it: `latent_dim` numbers for a generator of a given size.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020,
  https://arxiv.org/abs/1912.04958. Ours is smaller, scales images up by nearest
  neighbors without a filter, and has neither path length regularization nor minibatch
  deviations.
"""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from repr_jax.models.conv import Conv, conv, doubled

SLOPE = 0.2  # of leaky rectifiers


def num_styles(size: int) -> int:
    """Layers with a style of images size x size, a power of 2 from 8 on."""
    return 2 * _log2(size) - 2


def noise_sizes(size: int) -> tuple[int, ...]:
    """Sides of the noise maps: one of 4, then two of each scale."""
    return (4, *(2**n for n in range(3, _log2(size) + 1) for _ in range(2)))


def latent_dim(size: int, style_dim: int) -> int:
    """Numbers behind an image: of the style, and of all noise maps."""
    return style_dim + sum(n * n for n in noise_sizes(size))


def _log2(size: int) -> int:
    found = round(math.log2(size)) if size > 0 else 0
    if 2**found != size or size < 8:
        raise ValueError(f"style_gan: expected a size of 8, 16, 32, ...; got {size}.")
    return found


def activate(x):
    """Leaky rectifier that keeps the variance."""
    return math.sqrt(2) * nn.leaky_relu(x, SLOPE)


class ModulatedConv(nn.Module):
    """Images [batch, H, W, in] and style [batch, dim] -> [batch, H, W, features].

    Channel i of the input is scaled by s_i = (affine of the style)_i, 1 at first, and
    with `demodulate` channel o of the output by (sum (kernel s)^2 + 1e-8)^-1/2.
    """

    features: int
    kernel_size: int = 3
    demodulate: bool = True

    @nn.compact
    def __call__(self, x, style, *, train):
        ones = nn.initializers.ones_init()
        scale = nn.Dense(x.shape[-1], bias_init=ones, name="affine")(style)
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        pad = self.kernel_size // 2
        y = conv(x * scale[:, None, None], kernel, padding=(pad, pad))
        if self.demodulate:
            squares = jnp.sum(kernel**2, axis=(0, 1))
            y = y * lax.rsqrt(scale**2 @ squares + 1e-8)[:, None, None]
        return y


class StyledLayer(nn.Module):
    """A modulated convolution, noise by a learned gain, a bias, a leaky rectifier."""

    features: int

    @nn.compact
    def __call__(self, x, style, noise, *, train):
        x = ModulatedConv(self.features)(x, style, train=train)
        zeros = nn.initializers.zeros_init()
        gain = self.param("noise_gain", zeros, ())
        bias = self.param("bias", zeros, (self.features,))
        return activate(x + gain * noise[..., None] + bias[None, None, None])


class Generator(nn.Module):
    """[batch, latent_dim(size, style_dim)] -> [batch, size, size, channels].

    About in [0, 1], not clipped. `styles_of` and `synthesize` are its two halves.
    """

    size: int = 32
    style_dim: int = 64
    width: int = 32  # channels of the finest scale, doubled at each coarser one
    max_width: int = 64
    channels: int = 3

    def setup(self):
        scales = range(2, _log2(self.size) + 1)
        widths = [min(self.width * self.size // 2**n, self.max_width) for n in scales]
        self.mapping = [nn.Dense(self.style_dim) for _ in range(4)]
        normal = nn.initializers.normal(1.0)
        self.constant = self.param("constant", normal, (4, 4, widths[0]))
        counts = [1, *[2] * (len(widths) - 1)]
        self.layers = [StyledLayer(w) for w, n in zip(widths, counts) for _ in range(n)]
        self.to_color = [
            ModulatedConv(self.channels, 1, demodulate=False) for _ in widths
        ]
        zeros = nn.initializers.zeros_init()
        self.color_bias = self.param("color_bias", zeros, (self.channels,))

    def styles_of(self, z):
        """[batch, style_dim] -> [batch, style_dim], of all layers alike."""
        x = z * lax.rsqrt(jnp.mean(z**2, axis=-1, keepdims=True) + 1e-8)
        for layer in self.mapping:
            x = nn.leaky_relu(layer(x), SLOPE)
        return x

    def synthesize(self, styles, noise, *, train):
        """styles [batch, num_styles, style_dim]; noise: [batch, n, n], each layer."""
        x = jnp.broadcast_to(self.constant[None], (len(styles), *self.constant.shape))
        image, layer = 0.0, 0
        for number, to_color in enumerate(self.to_color):
            for part in range(2 if number else 1):
                if number and part == 0:
                    x, image = doubled(x), doubled(image)
                style = styles[:, layer]
                x = self.layers[layer](x, style, noise[layer], train=train)
                layer += 1
            image = image + to_color(x, styles[:, layer], train=train)
        return 0.5 + 0.5 * (image + self.color_bias[None, None, None])

    def __call__(self, z, *, train):
        if z.shape[-1] != latent_dim(self.size, self.style_dim):
            raise ValueError(
                f"style_gan.Generator: expected latents of "
                f"{latent_dim(self.size, self.style_dim)} numbers; got {z.shape}."
            )
        styles = self.styles_of(z[:, : self.style_dim])[:, None]
        styles = jnp.repeat(styles, num_styles(self.size), axis=1)
        noise = self.noise_of(z)
        return self.synthesize(styles, noise, train=train)

    def noise_of(self, z):
        """The maps, [batch, n, n] each, in a latent [batch, latent_dim]."""
        maps, start = [], self.style_dim
        for n in noise_sizes(self.size):
            maps.append(z[:, start : start + n * n].reshape(-1, n, n))
            start += n * n
        return tuple(maps)


class Discriminator(nn.Module):
    """[batch, size, size, channels] -> [batch, 1] logits; residual, halved to 4."""

    width: int = 32
    max_width: int = 64

    @nn.compact
    def __call__(self, x, *, train):
        width = self.width
        x = activate(Conv(width, (1, 1))(2 * x - 1))
        while x.shape[1] > 4:
            width = min(2 * width, self.max_width)
            y = activate(Conv(x.shape[-1], padding=(1, 1))(x))
            y = activate(Conv(width, strides=(2, 2), padding=(1, 1))(y))
            pooled = nn.avg_pool(x, (2, 2), (2, 2))
            x = (y + Conv(width, (1, 1))(pooled)) / math.sqrt(2)
        x = activate(Conv(width, padding=(1, 1))(x))
        x = activate(nn.Dense(width)(x.reshape(len(x), -1)))
        return nn.Dense(1)(x)


class Encoder(nn.Module):
    """[batch, size, size, channels] -> [batch, num_styles(size), style_dim].

    A feature pyramid, whose output is 0 at first: maps are halved down to 4 x 4; the
    last three, coarse to fine, get what the coarser ones know added. Styles 0 to 2 are
    read off the first of them, 3 to 6 off the second, the others off the third.

    Source: Richardson et al., "Encoding in Style: a StyleGAN Encoder for Image-to-Image
      Translation", 2021, section 3, https://arxiv.org/abs/2008.00951. Ours is small,
      and styles of one map share convolutions.
    """

    style_dim: int = 64
    width: int = 32  # channels of the finest map, doubled at each coarser one
    max_width: int = 64

    @nn.compact
    def __call__(self, x, *, train):
        count, width = num_styles(x.shape[1]), self.width
        x = activate(Conv(width, padding=(1, 1))(2 * x - 1))
        maps = [x]
        while x.shape[1] > 4:
            width = min(2 * width, self.max_width)
            x = activate(Conv(width, strides=(2, 2), padding=(1, 1))(x))
            x = activate(Conv(width, padding=(1, 1))(x))
            maps.append(x)
        styles, above = [], None
        for x, (first, last) in zip(maps[::-1], ((0, 3), (3, 7), (7, count))):
            if last > first:
                x = Conv(self.max_width, (1, 1))(x)
                above = x if above is None else x + doubled(above)
                styles.append(self._styles(above, min(last, count) - first))
        return jnp.concatenate(styles, axis=1)

    def _styles(self, x, count):
        """[batch, count, style_dim] of a map, which is halved down to 4 x 4."""
        while x.shape[1] > 4:
            x = activate(Conv(self.max_width, strides=(2, 2), padding=(1, 1))(x))
        zeros = nn.initializers.zeros_init()
        flat = activate(x).reshape(len(x), -1)
        found = nn.Dense(count * self.style_dim, kernel_init=zeros)(flat)
        return found.reshape(len(x), count, self.style_dim)
