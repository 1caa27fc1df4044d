"""The residual VAE: published numbers of parameters, and a block against loops."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.models.vae_residual import ResidualDecoder, ResidualEncoder


def size(module, *shape):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(
        lambda x: module.init(jax.random.key(0), x, train=False), x
    )
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


def test_published_sizes():
    """MMVAE+ encodes shared and private latents of 32 apart, and decodes both."""
    image = (1, 28, 28, 3)
    assert 2 * size(ResidualEncoder(32), *image) == 2_946_048
    assert size(ResidualDecoder(), 1, 64) == 1_485_251
    assert 5 * (2_946_048 + 1_485_251) == 22_156_495
    assert size(ResidualEncoder(512), *image) == 13_516_224
    assert size(ResidualDecoder(), 1, 512) == 7_104_963


def test_a_picture_of_64_pixels():
    widths = (64, 128, 256, 256, 256, 256)
    posterior = jax.eval_shape(
        lambda x: ResidualEncoder(8, widths=widths, shape=(64, 64, 3)).init_with_output(
            jax.random.key(0), x, train=False
        )[0],
        jnp.zeros((2, 64, 64, 3)),
    )
    assert posterior.mean.shape == posterior.log_var.shape == (2, 8)
    image = jax.eval_shape(
        lambda z: ResidualDecoder(
            widths=(256, 256, 256, 128, 64, 64), shape=(64, 64, 3)
        ).init_with_output(jax.random.key(0), z, train=False)[0],
        jnp.zeros((2, 8)),
    )
    assert image.shape == (2, 64, 64, 3) and image.dtype == jnp.float32


def lrelu(x):
    return np.where(x > 0, x, 0.2 * x)


def conv3(x, layer):
    """[H, W, n] -> [H, W, m] by loops over the pixels."""
    kernel, bias = np.asarray(layer["kernel"], float), np.asarray(layer["bias"], float)
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    y = np.zeros((*x.shape[:2], kernel.shape[-1]))
    for i, j in np.ndindex(*x.shape[:2]):
        y[i, j] = np.tensordot(padded[i : i + 3, j : j + 3], kernel, 3) + bias
    return y


def halved(x):
    """Means over 3 x 3, every other one; zeros around the image count."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    height, width = -(-x.shape[0] // 2), -(-x.shape[1] // 2)
    rows = [
        [
            padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3].sum(axis=(0, 1)) / 9
            for j in range(width)
        ]
        for i in range(height)
    ]
    return np.array(rows)


def test_the_encoder_against_loops():
    module = ResidualEncoder(2, width=2, widths=(2, 3), shape=(4, 6, 3))
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 3)).astype(np.float32)
    variables = jax.jit(lambda: module.init(jax.random.key(1), x, train=False))()
    p = variables["params"]
    h = conv3(x[0].astype(float), p["Conv_0"])
    h = h + 0.1 * conv3(lrelu(conv3(lrelu(h), p["Conv_1"])), p["Conv_2"])
    h = halved(h)
    branch = conv3(lrelu(conv3(lrelu(h), p["Conv_3"])), p["Conv_4"])
    assert p["Conv_3"]["kernel"].shape == (3, 3, 2, 2)  # min(2, 3) between
    assert set(p["Dense_0"]) == {"kernel"}  # the shortcut has no bias
    h = h @ np.asarray(p["Dense_0"]["kernel"], float) + 0.1 * branch
    apply = jax.jit(partial(module.apply, train=True))
    for head, actual in zip(("mean_head", "log_var_head"), apply(variables, x)):
        expected = h.reshape(-1) @ np.asarray(p[head]["kernel"], float) + np.asarray(
            p[head]["bias"]
        )
        np.testing.assert_allclose(np.asarray(actual)[0], expected, atol=1e-5)


def test_the_decoder_against_loops():
    module = ResidualDecoder(width=2, widths=(2, 3), shape=(4, 6, 1))
    z = np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32)
    variables = jax.jit(lambda: module.init(jax.random.key(1), z, train=False))()
    p = variables["params"]
    first = jax.tree.map(np.asarray, p["Dense_0"])
    h = (z[0].astype(float) @ np.asarray(first["kernel"]) + first["bias"]).reshape(
        2, 3, 2
    )
    h = h + 0.1 * conv3(lrelu(conv3(lrelu(h), p["Conv_0"])), p["Conv_1"])
    h = h.repeat(2, axis=0).repeat(2, axis=1)
    branch = conv3(lrelu(conv3(lrelu(h), p["Conv_2"])), p["Conv_3"])
    h = h @ np.asarray(p["Dense_1"]["kernel"], float) + 0.1 * branch
    expected = conv3(lrelu(h), p["Conv_4"])
    found = np.asarray(jax.jit(partial(module.apply, train=True))(variables, z))
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    "module, shape, message",
    [
        (ResidualEncoder(4), (2, 32, 32, 3), r"ResidualEncoder: expected \[batch"),
        (ResidualDecoder(), (2, 3, 4), r"ResidualDecoder: expected z \[batch"),
        (ResidualDecoder(shape=(30, 28, 3)), (2, 4), r"4 divides, for 2 doublings"),
        (ResidualEncoder(4, widths=(0,)), (2, 28, 28, 3), "widths of 1 or more"),
    ],
)
def test_wrong_shapes_are_refused(module, shape, message):
    with pytest.raises(ValueError, match=message):
        size(module, *shape)
