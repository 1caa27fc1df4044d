"""Vision transformers, of all patches of an image or of some, and a decoder of them.

Layers are those of the published networks: each block normalizes before attention and
before its perceptron (epsilon 1e-6), the activation is the exact GELU, and the class
token or tokens go first. Parameters are float32; `dtype` is of the arithmetic, in which
normalization and softmax stay float32.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.patches import patch_grid, patchify

EPSILON = 1e-6  # of layer normalization


class ViTOutput(NamedTuple):
    """What a vision transformer makes of a batch, after the last normalization."""

    representation: Array  # [batch, dim] float32, of the first class token
    tokens: Array  # [batch, num_class_tokens + patches, dim] float32


def sine_cosine_positions(grid: tuple[int, int], dim: int) -> np.ndarray:
    """[1 + rows * columns, dim] float32: fixed positions, zeros for the class token.

    Half of the entries are of the column, then half of the row; each half is the sines
    and then the cosines of place * 10000^(-i / (dim / 4)), i = 0, 1, ... dim / 4 - 1.

    Raises:
      ValueError: dim is not a multiple of 4.

    Source: He et al., "Masked Autoencoders Are Scalable Vision Learners", 2022,
      appendix A.1, https://arxiv.org/abs/2111.06377, and code.
    """
    if dim % 4:
        raise ValueError(
            f"sine_cosine_positions: expected dim a multiple of 4; got {dim}."
        )
    rates = 10_000.0 ** (-np.arange(dim // 4) / (dim / 4))
    row, column = (place.reshape(-1) for place in np.indices(grid))
    angles = [place[:, None] * rates[None] for place in (column, row)]
    found = np.concatenate([f(a) for a in angles for f in (np.sin, np.cos)], axis=1)
    return np.concatenate([np.zeros((1, dim)), found]).astype(np.float32)


def resize_positions(
    positions: Array, grid: tuple[int, int], wanted: tuple[int, int]
) -> Array:
    """[1 + rows * columns, dim] of `grid` -> those of the grid `wanted`.

    Cubic interpolation (a = -0.5) that is smoothed where the grid gets smaller; the
    position of the class token stays. DINO's code has a = -0.75 and does not smooth.
    """
    if grid == wanted:
        return positions
    dim = positions.shape[-1]
    image = positions[1:].reshape(*grid, dim)
    image = jax.image.resize(image, (*wanted, dim), "cubic")
    return jnp.concatenate([positions[:1], image.reshape(-1, dim)])


def gelu(x: Array) -> Array:
    """x times the normal distribution function, by erf; jax.nn's takes two branches."""
    return x * (0.5 + 0.5 * jax.lax.erf(x * np.sqrt(0.5).astype(x.dtype)))


class Attention(nn.Module):
    """[batch, tokens, dim] -> the same; softmax(q k^T / sqrt(dim / num_heads)) v."""

    num_heads: int
    kernel_init: Callable = nn.initializers.normal(0.02)
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x):
        dim, options = x.shape[-1], dict(kernel_init=self.kernel_init, dtype=self.dtype)
        if dim % self.num_heads:
            raise ValueError(
                f"Attention: expected dim a multiple of num_heads {self.num_heads}; "
                f"got {dim}."
            )
        parts = jnp.split(nn.Dense(3 * dim, **options, name="qkv")(x), 3, axis=-1)
        heads = (*x.shape[:2], self.num_heads, dim // self.num_heads)
        queries, keys, values = (part.reshape(heads) for part in parts)
        x = jax.nn.dot_product_attention(queries, keys, values)
        x = x.reshape(*x.shape[:2], dim)
        return nn.Dense(dim, **options, name="output")(x)


class Block(nn.Module):
    """[batch, tokens, dim] -> the same: x + attention, then x + a perceptron."""

    num_heads: int
    hidden: int  # features of the perceptron
    kernel_init: Callable = nn.initializers.normal(0.02)
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, scale=None):
        """scale: [2, batch] factors of the two summands of each row; None for 1."""
        options = dict(kernel_init=self.kernel_init, dtype=self.dtype)
        norms = [
            nn.LayerNorm(epsilon=EPSILON, dtype=self.dtype, name=f"norm_{i}")
            for i in range(2)
        ]

        def scaled(y, i):
            return y if scale is None else scale[i][:, None, None].astype(y.dtype) * y

        attention = Attention(self.num_heads, **options, name="attention")
        x = x + scaled(attention(norms[0](x)), 0)
        y = nn.Dense(self.hidden, **options, name="hidden")(norms[1](x))
        y = nn.Dense(x.shape[-1], **options, name="output")(gelu(y))
        return x + scaled(y, 1)


class ViT(nn.Module):
    """[batch, height, width, channels] -> ViTOutput.

    Images may be of another size than `shape`: positions are then interpolated, see
    `resize_positions`. ViT-S/16 is (16, 384, 12, 6), ViT-B/16 (16, 768, 12, 12).

    Raises:
      ValueError: sides that patches do not fill, dim that heads do not divide, keep of
        another shape, or no key where one is needed.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021,
      https://arxiv.org/abs/2010.11929. Stochastic depth: Huang et al., 2016,
      https://arxiv.org/abs/1603.09382.
    """

    patch_size: int
    dim: int
    depth: int
    num_heads: int
    shape: Sequence[int]  # (height, width, channels) that positions are of
    mlp_ratio: int = 4  # width of the perceptrons is mlp_ratio * dim
    fixed_positions: bool = False  # `sine_cosine_positions`, as MAE's; else learned
    drop_path: float = 0.0  # rate of left out summands: 0 in the first block, growing
    mean: Sequence[float] = (0.0,)  # subtracted from each channel, or from all
    std: Sequence[float] = (1.0,)  # which are then divided by these
    kernel_init: Callable = nn.initializers.normal(0.02)
    dtype: str = "float32"  # of the arithmetic; parameters stay float32
    num_class_tokens: int = 1  # all at the position of the first

    @nn.compact
    def __call__(self, images, *, train, keep=None, key=None):
        """See the class.

        Args:
          images: [batch, height, width, channels] float.
          train: whether summands are left out.
          keep: [batch, kept] int, different places of the patches to look at, counted
            row by row; the others cost nothing. None for all.
          key: PRNG key, needed in training with drop_path above 0.
        """
        mean, std = (jnp.array([[[a]]], jnp.float32) for a in (self.mean, self.std))
        x = patchify(((images - mean) / std).astype(self.dtype), self.patch_size)
        grid = patch_grid("ViT", images.shape[1:3], self.patch_size)
        positions = jnp.asarray(self._positions(grid), self.dtype)
        places = positions[None, 1:]
        if keep is not None:
            check_keep("ViT", keep, *x.shape[:2])
            x = jnp.take_along_axis(x, keep[:, :, None], axis=1)
            places = positions[1:][keep]
        options = dict(kernel_init=self.kernel_init, dtype=self.dtype)
        x = nn.Dense(self.dim, **options, name="embed")(x) + places
        init = nn.initializers.normal(0.02)
        checks.count("ViT", num_class_tokens=self.num_class_tokens)
        shape = (self.num_class_tokens, self.dim)
        shape = shape[1:] if self.num_class_tokens == 1 else shape
        token = self.param("class_token", init, shape).astype(self.dtype)
        x = with_class_tokens(jnp.atleast_2d(token) + positions[:1], x)
        for number, scale in enumerate(self._scales(train, key, len(x))):
            hidden = self.mlp_ratio * self.dim
            block = Block(self.num_heads, hidden, **options, name=f"block_{number}")
            x = block(x, scale)
        x = nn.LayerNorm(epsilon=EPSILON, dtype=self.dtype, name="norm")(x)
        x = x.astype(jnp.float32)
        return ViTOutput(x[:, 0], x)

    def _positions(self, grid):
        """[1 + patches, dim] float32, of images of this grid."""
        known = patch_grid("ViT", self.shape, self.patch_size)
        if self.fixed_positions:
            positions = jnp.asarray(sine_cosine_positions(known, self.dim))
        else:
            init = nn.initializers.normal(0.02)
            shape = (1 + known[0] * known[1], self.dim)
            positions = self.param("positions", init, shape)
        return resize_positions(positions, known, grid)

    def _scales(self, train, key, batch):
        """Of each block, [2, batch] factors of its summands, or None for 1."""
        if not train or self.drop_path == 0:
            return [None] * self.depth
        if key is None:
            raise ValueError(
                "ViT: expected a key in training with drop_path; got None."
            )
        rates = np.linspace(0, self.drop_path, self.depth)
        keys = jax.random.split(key, self.depth)
        return [
            jax.random.bernoulli(k, 1 - rate, (2, batch)) / (1 - rate)
            for k, rate in zip(keys, rates)
        ]


class ClassToken(nn.Module):
    """[batch, height, width, channels] -> [batch, dim] float32: a ViT as an encoder.

    Where a network of one output is expected; `vit` must not need a key.
    """

    vit: ViT

    def __call__(self, images, *, train):
        return self.vit(images, train=train).representation


class Tokens(nn.Module):
    """[batch, height, width, channels] -> [batch, tokens, dim]: `ClassToken` of all."""

    vit: ViT

    def __call__(self, images, *, train):
        return self.vit(images, train=train).tokens


class MaskedDecoder(nn.Module):
    """Tokens of the kept patches -> all patches [batch, patches, patch_dim] float32.

    A linear layer to `dim` features, one learned token at the hidden places, fixed
    positions, blocks, and a linear layer to the patch_size^2 * channels numbers of a
    patch, in the order of `patchify`. MAE's has 512 features, 8 blocks and 16 heads.

    Source: He et al., "Masked Autoencoders Are Scalable Vision Learners", 2022,
      https://arxiv.org/abs/2111.06377.
    """

    patch_size: int
    dim: int
    depth: int
    num_heads: int
    shape: Sequence[int]  # (height, width, channels) of the images
    mlp_ratio: int = 4  # width of the perceptrons is mlp_ratio * dim
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, tokens, keep, *, train):
        """See the class.

        Args:
          tokens: [batch, 1 + kept, width] float, as `ViTOutput.tokens` of one class
            token.
          keep: [batch, kept] int, the places of the tokens after the first.
        """
        del train  # nothing here differs in training
        grid = patch_grid("MaskedDecoder", self.shape, self.patch_size)
        patches, kept = grid[0] * grid[1], tokens.shape[1] - 1
        check_keep("MaskedDecoder", keep, len(tokens), patches)
        if keep.shape[1] != kept:
            raise ValueError(
                f"MaskedDecoder: expected keep {(len(tokens), kept)}, one place per "
                f"token but the first; got {keep.shape}."
            )
        options = dict(kernel_init=self.kernel_init, dtype=self.dtype)
        x = nn.Dense(self.dim, **options, name="embed")(tokens.astype(self.dtype))
        init = nn.initializers.normal(0.02)
        hidden = self.param("mask_token", init, (self.dim,)).astype(self.dtype)
        rows = jnp.arange(len(x))[:, None]
        images = jnp.broadcast_to(hidden, (len(x), patches, self.dim))
        images = images.at[rows, keep].set(x[:, 1:])
        positions = sine_cosine_positions(grid, self.dim)[None].astype(self.dtype)
        x = jnp.concatenate([x[:, :1], images], axis=1) + positions
        for number in range(self.depth):
            width = self.mlp_ratio * self.dim
            x = Block(self.num_heads, width, **options, name=f"block_{number}")(x)
        x = nn.LayerNorm(epsilon=EPSILON, dtype=self.dtype, name="norm")(x[:, 1:])
        patch_dim = self.patch_size**2 * self.shape[2]
        return nn.Dense(patch_dim, **options, name="output")(x).astype(jnp.float32)


def with_class_tokens(tokens, x):
    """[tokens, dim] and [batch, patches, dim] -> [batch, tokens + patches, dim]."""
    first = jnp.broadcast_to(tokens[None], (len(x), *tokens.shape))
    return jnp.concatenate([first, x], axis=1)


def check_keep(who, keep, batch, patches):
    """TypeError or ValueError unless keep is [batch, at most patches] int."""
    checks.integers(who, keep=keep)
    if keep.ndim != 2 or len(keep) != batch or not 1 <= keep.shape[1] <= patches:
        raise ValueError(
            f"{who}: expected keep [{batch}, 1 to {patches}]; got {keep.shape}."
        )
