"""Encoders and decoders of VAEs by residual blocks on a list of layers, as of CelebA.

A layer is (features, kernel, stride, padding), the same along each axis, as in
`vae_layers`; text is an image one pixel wide. The first layer of an encoder and the
last of a decoder are plain; each other is a block, 2 shortcut(x) + 0.3 branch(x): the
shortcut is the layer and a normalization; the branch a normalization, ReLU,
convolution of 1 x 1, normalization, ReLU and the layer. The layers of a decoder are
transposed.

For 64 x 64 images and 256 letters of 71 kinds the published layers are FACE and
FACE_BACK, TEXT and TEXT_BACK. Published blocks normalize over the batch and drop half
of the feature maps. Here they normalize over eight groups of the features of one row,
and drop none: what a row is encoded as must not depend on others, of which some lack
the modality.

Source: Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021, code,
https://github.com/thomassutter/MoPoE.
"""

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from repr_jax.models.conv import Conv, ConvTranspose
from repr_jax.models.initializers import uniform_fan_in
from repr_jax.models.vae import check_sizes, common, gaussian_log_var, linear
from repr_jax.models.vae_layers import along, heads, identity, latents, rows_of

FACE = ((128, 3, 2, 2), (256, 4, 2, 1), (384, 4, 2, 1), (512, 4, 2, 1), (640, 4, 2, 0))
FACE_BACK = ((512, 4, 1, 0), (384, 4, 2, 1), (256, 4, 2, 1), (128, 4, 2, 1))
FACE_BACK += ((3, 3, 2, 1, 1),)  # with a row and a column more at the end
TEXT = ((128, 4, 2, 1), (256, 4, 2, 1), (384, 4, 2, 1), (512, 4, 2, 1), (640, 4, 2, 1))
TEXT += ((640, 4, 2, 1), (640, 4, 2, 0))
TEXT_BACK = ((640, 4, 1, 0), (640, 4, 2, 1), (512, 4, 2, 1), (384, 4, 2, 1))
TEXT_BACK += ((256, 4, 2, 1), (128, 4, 2, 1), (71, 4, 2, 1))
GROUPS = 8  # of features, each normalized by itself
SHORTCUT, BRANCH = 2.0, 0.3


class ResidualLayersEncoder(nn.Module):
    """[batch, *shape] -> Posterior of [batch, latent_dim] arrays; see the module.

    shape is (height, width, channels), or (length, letters) of text. Two linear heads
    take what is left, flattened.
    """

    latent_dim: int
    layers: Sequence[Sequence[int]]  # (features, kernel, stride, padding) each
    shape: Sequence[int]
    log_var: Callable = gaussian_log_var  # of the second head, in float32
    initializer: Callable = uniform_fan_in  # fan_in -> initializer
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, x, *, train):
        del train  # nothing here differs in training
        check_sizes("ResidualLayersEncoder", self)
        x = rows_of("ResidualLayersEncoder", self.shape, x).astype(self.dtype)
        x = x[:, :, None] if len(self.shape) == 2 else x
        first, *others = self.layers
        x = layer(self, Conv, first, x)
        for one in others:
            x = block(self, Conv, one, x)
        return heads(self, x.reshape(x.shape[0], -1))


class ResidualLayersDecoder(nn.Module):
    """[batch, latent_dim] -> [batch, *shape] float32, from one pixel; see the module.

    A linear layer of `hidden` features makes the pixel.

    Raises:
      ValueError: what the layers make is not of `shape`.
    """

    layers: Sequence[Sequence[int]]  # (features, kernel, stride, padding) each, and
    # output padding where it is not 0
    shape: Sequence[int]
    hidden: int = 640
    output: Callable = identity  # of the last layer, such as nn.sigmoid
    initializer: Callable = uniform_fan_in  # fan_in -> initializer
    dtype: str = "float32"  # of the arithmetic; parameters and outputs stay float32

    @nn.compact
    def __call__(self, z, *, train):
        del train  # nothing here differs in training
        x = latents("ResidualLayersDecoder", z).astype(self.dtype)
        x = linear(self, self.hidden, x)[:, None, None]
        *others, last = self.layers
        for one in others:
            x = block(self, ConvTranspose, one, x)
        x = layer(self, ConvTranspose, last, x)
        x = x[:, :, 0] if len(self.shape) == 2 else x
        if x.shape[1:] != tuple(self.shape):
            raise ValueError(
                f"ResidualLayersDecoder: expected layers that make {tuple(self.shape)};"
                f" they make {x.shape[1:]}."
            )
        return self.output(x.astype(jnp.float32))


def block(module, kind, numbers, x):
    """A residual block of one layer, see the module; kind: Conv or ConvTranspose."""
    shortcut = normalized(module, layer(module, kind, numbers, x))
    branch = nn.relu(normalized(module, x))
    branch = layer(module, Conv, (x.shape[-1], 1, 1, 0), branch)
    branch = layer(module, kind, numbers, nn.relu(normalized(module, branch)))
    return SHORTCUT * shortcut + BRANCH * branch


def normalized(module, x):
    """Over groups of the features of each row."""
    return nn.GroupNorm(math.gcd(GROUPS, x.shape[-1]), dtype=module.dtype)(x)


def layer(module, kind, numbers, x):
    """A convolution, or a transposed one, of the numbers of a layer."""
    features, text = numbers[0], len(module.shape) == 2
    keywords = along(numbers[1:4], text)
    for extra in numbers[4:]:
        keywords["output_padding"] = (extra, 0 if text else extra)
    seen = features if kind is ConvTranspose else x.shape[-1]
    init = module.initializer(math.prod(keywords["kernel_size"]) * seen)
    return kind(features, **keywords, **common(module, init))(x)
