"""Reshaped features by hand, and what each leaves as it is."""

from functools import partial

import jax
import numpy as np
import pytest

from repr_jax.ops import activations


def test_by_hand():
    x = np.array([[4.0, 1.0, 3.0, 2.0]])  # half of them has 7 of 10
    factor = np.exp(10 / 7)
    for shape, expected in (
        (activations.ash_s, factor * np.array([[4, 0, 3, 0]])),
        (activations.ash_b, [[5, 0, 5, 0]]),
        (activations.scale, factor * x),
    ):
        found = jax.jit(partial(shape, share=0.5))(x)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    found = jax.jit(activations.react)(x, 2.5)
    np.testing.assert_array_equal(found, [[2.5, 1, 2.5, 2]])
    weights, mean = np.array([[1.0, -1.0], [2.0, 3.0]]), np.array([2.0, 1.0])
    dice = jax.jit(partial(activations.dice, share=0.5))
    found = dice(weights, mean)  # products 2, -1, 4, 3
    np.testing.assert_array_equal(found, [[0, 0], [2, 3]])


@pytest.mark.parametrize("shape", ["ash_s", "ash_b", "scale"])
def test_of_equal_features_the_first_are_kept_and_rows_of_zeros_stay(shape):
    function = getattr(activations, shape)
    x = np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], np.float32)
    reshape = jax.jit(partial(function, share=0.34))
    found = np.asarray(reshape(x))
    np.testing.assert_array_equal(found[1], 0)
    assert (found[0, :2] > 1).all() and (found[0, 2] > 0) == (shape == "scale")
    np.testing.assert_array_equal(np.asarray(reshape(x))[0], found[0])
    with pytest.raises(ValueError, match=rf"{shape}: expected \(1 - share\) dim"):
        function(x, share=0.9)
    with pytest.raises(TypeError, match=f"{shape}: expected features of floats"):
        function(np.ones((2, 3), int))


def test_the_threshold_is_a_quantile_of_present_rows():
    bank = np.random.default_rng(0).uniform(size=(10, 4))
    where = np.arange(10) % 3 > 0
    dirty = np.where(where[:, None], bank, np.nan)
    found = activations.react_threshold(dirty, quantile=0.7, where=where)
    np.testing.assert_allclose(found, np.quantile(bank[where], 0.7), rtol=1e-6)
    with pytest.raises(
        ValueError, match=r"react_threshold: expected quantile in \[0, 1\]"
    ):
        activations.react_threshold(bank, quantile=1.5)
