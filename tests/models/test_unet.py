"""The U-Net: shapes, that it starts at 0, and that the level of a row reaches it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.models import unet


def test_levels_and_images_reach_the_output():
    model = unet.UNet(widths=(8, 16))
    x = jax.random.normal(jax.random.key(0), (3, 8, 12, 3))
    level = jnp.array([0.0, 5.0, 500.0])
    params = jax.jit(lambda x: model.init(jax.random.key(1), x, level, train=False))(x)
    apply = jax.jit(lambda p, x, level: model.apply(p, x, level, train=False))
    np.testing.assert_array_equal(apply(params, x, level), 0 * x)
    keys = iter(jax.random.split(jax.random.key(2), 200))
    params = jax.tree.map(
        lambda p: p + 0.1 * jax.random.normal(next(keys), p.shape), params
    )
    out = apply(params, x, level)
    assert out.shape == x.shape and out.dtype == jnp.float32
    other = apply(params, x, level.at[1].set(50.0))
    changed = jnp.max(jnp.abs(other - out), axis=(1, 2, 3))
    assert changed[1] > 1e-3
    np.testing.assert_allclose(changed[jnp.array([0, 2])], 0, atol=1e-5)
    moved = apply(params, x.at[0, 7, 11].add(1.0), level)
    assert jnp.abs(moved - out)[0, 0, 0].max() > 1e-6  # by attention, from far away


def test_sinusoids():
    found = unet.sinusoids(jnp.array([0.0, 2.0]), 4)
    expected = [[0, 0, 1, 1], [np.sin(2), np.sin(0.02), np.cos(2), np.cos(0.02)]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_sides_that_cannot_be_halved_are_refused():
    with pytest.raises(
        ValueError, match="UNet: expected sides that are multiples of 4"
    ):
        unet.UNet().init(
            jax.random.key(0), jnp.zeros((1, 6, 8, 1)), jnp.zeros(1), train=False
        )
