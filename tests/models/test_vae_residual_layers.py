"""Residual encoders and decoders on lists of layers: shapes, sizes, what a block is."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.models import vae_residual_layers as residual
from repr_jax.models.conv import Conv
from repr_jax.models.initializers import uniform_fan_in
from repr_jax.models.vae_residual_layers import (
    ResidualLayersDecoder,
    ResidualLayersEncoder,
)

FACE, TEXT = (64, 64, 3), (256, 71)
SMALL = ((8, 3, 2, 1), (16, 4, 2, 1), (8, 4, 2, 0))  # 16 pixels to 8, 4 and 1
SMALL_BACK = ((16, 4, 1, 0), (8, 4, 2, 1), (3, 3, 2, 1, 1))


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def of_block(before, after, taps):
    """Weights, biases and scales of a block, counted by hand."""
    branch = (
        2 * before + before**2 + before + 2 * before + taps * before * after + after
    )
    return branch + taps * before * after + after + 2 * after


@pytest.mark.parametrize(
    ("layers", "back", "shape", "taps"),
    [
        (residual.FACE, residual.FACE_BACK, FACE, lambda k: k * k),
        (residual.TEXT, residual.TEXT_BACK, TEXT, lambda k: k),
    ],
    ids=["face", "text"],
)
def test_published_layers_fit_their_data(layers, back, shape, taps):
    """Traced alone: they are large."""
    encoder, decoder = (
        ResidualLayersEncoder(32, layers, shape),
        ResidualLayersDecoder(back, shape),
    )
    x, z = jnp.zeros((2, *shape)), jnp.zeros((2, 32))
    key = jax.random.key(0)
    init = [
        jax.eval_shape(lambda m=m, a=a: m.init(key, a, train=False))
        for m, a in ((encoder, x), (decoder, z))
    ]
    decoded = jax.eval_shape(lambda p: decoder.apply(p, z, train=False), init[1])
    assert decoded.shape == x.shape
    widths = [one[0] for one in layers]
    first = taps(layers[0][1]) * shape[-1] * widths[0] + widths[0]
    blocks = [
        of_block(a, b, taps(one[1]))
        for a, b, one in zip(widths, widths[1:], layers[1:])
    ]
    assert size(init[0]) == first + sum(blocks) + 2 * (640 * 32 + 32)
    widths = [640, *(one[0] for one in back)]
    blocks = [
        of_block(a, b, taps(one[1])) for a, b, one in zip(widths, widths[1:], back[:-1])
    ]
    last = taps(back[-1][1]) * widths[-2] * widths[-1] + widths[-1]
    assert size(init[1]) == 32 * 640 + 640 + sum(blocks) + last


def test_rows_do_not_depend_on_each_other():
    x = np.random.default_rng(0).random((3, 16, 16, 3), np.float32)
    encoder = ResidualLayersEncoder(4, SMALL, (16, 16, 3))
    decoder = ResidualLayersDecoder(SMALL_BACK, (16, 16, 3), hidden=8)

    @jax.jit
    def both(x):
        params = encoder.init(jax.random.key(0), x, train=False)
        mean = encoder.apply(params, x, train=True).mean
        params = decoder.init(jax.random.key(1), mean, train=False)
        return mean, decoder.apply(params, mean, train=True)

    together, alone = both(x), both(np.concatenate([x[1:2], 9 * x[:1], 0 * x[:1]]))
    for a, b in zip(together, alone):
        np.testing.assert_allclose(a[1], b[0], atol=1e-5)
    assert together[1].shape == x.shape and np.ptp(together[1]) > 0


class Both(nn.Module):
    """A block, and its shortcut by hand."""

    shape = (6, 6, 8)
    dtype = "float32"
    initializer = staticmethod(uniform_fan_in)

    @nn.compact
    def __call__(self, x):
        shortcut = residual.layer(self, Conv, (8, 4, 2, 1), x)
        shortcut = residual.normalized(self, shortcut)
        return shortcut, residual.block(self, Conv, (8, 4, 2, 1), x)


def test_a_block_is_twice_its_shortcut_where_the_branch_is_silent():
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 8)).astype("f")
    params = Both().init(jax.random.key(0), x)["params"]
    same = {**params, "Conv_1": params["Conv_0"]}  # the block's shortcut
    silent = {**same, "Conv_3": jax.tree.map(jnp.zeros_like, params["Conv_3"])}
    shortcut, block = Both().apply({"params": silent}, x)
    np.testing.assert_allclose(block, 2 * shortcut, atol=1e-5)
    _, whole = Both().apply({"params": same}, x)
    assert np.abs(whole - block).max() > 0.01


def test_layers_of_another_size_are_named():
    decoder = ResidualLayersDecoder(SMALL_BACK[:1] + SMALL_BACK[-1:], (16, 16, 3))
    with pytest.raises(ValueError, match=r"expected layers that make \(16, 16, 3\)"):
        decoder.init(jax.random.key(0), jnp.zeros((1, 4)), train=False)
