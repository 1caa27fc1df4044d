"""The U-Net: shapes, that it starts at 0, and that the level of a row reaches it."""

from functools import partial

import jax
import numpy as np
import pytest

from repr_jax.models import unet


def test_levels_and_images_reach_the_output():
    model = unet.UNet(widths=(8, 16))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 8, 12, 3)).astype("f")
    level = np.array([0.0, 5.0, 500.0], "f")
    params = jax.jit(lambda x: model.init(jax.random.key(1), x, level, train=False))(x)
    apply = jax.jit(partial(model.apply, train=False))
    np.testing.assert_array_equal(apply(params, x, level), 0 * x)
    params = jax.tree.map(
        lambda p: np.asarray(p) + 0.1 * rng.normal(size=p.shape).astype("f"), params
    )
    out = np.asarray(apply(params, x, level))
    assert out.shape == x.shape and out.dtype == np.float32
    other = apply(params, x, np.array([0.0, 50.0, 500.0], "f"))
    changed = np.max(np.abs(np.asarray(other) - out), axis=(1, 2, 3))
    assert changed[1] > 1e-3
    np.testing.assert_allclose(changed[[0, 2]], 0, atol=1e-5)
    x[0, 7, 11] += 1
    moved = np.abs(np.asarray(apply(params, x, level)) - out)
    assert moved[0, 0, 0].max() > 1e-6  # by attention, from far away


def test_sinusoids():
    found = jax.jit(partial(unet.sinusoids, dim=4))(np.array([0.0, 2.0]))
    expected = [[0, 0, 1, 1], [np.sin(2), np.sin(0.02), np.cos(2), np.cos(0.02)]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_sides_that_cannot_be_halved_are_refused():
    with pytest.raises(
        ValueError, match="UNet: expected sides that are multiples of 4"
    ):
        unet.UNet().init(
            jax.random.key(0), np.zeros((1, 6, 8, 1), "f"), np.zeros(1), train=False
        )
