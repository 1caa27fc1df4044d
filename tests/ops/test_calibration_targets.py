from functools import partial

import jax
import numpy as np
import pytest

from repr_jax.ops import calibration_targets

binned = jax.jit(calibration_targets.binned, static_argnames="num_bins")
kernel = jax.jit(
    calibration_targets.kernel, static_argnames=("bandwidth", "half_window")
)


def draw():
    rng = np.random.default_rng(36)
    return rng.uniform(size=12), rng.integers(2, size=12)


def test_values_of_an_independent_program():
    found = binned(*draw(), num_bins=4)
    thirds = np.array([0, 2, 1, 2, 1, 0, 0, 1, 0, 0, 2, 0]) / 3
    np.testing.assert_allclose(found, thirds, rtol=1e-6)
    found = np.asarray(kernel(*draw(), half_window=3))
    np.testing.assert_allclose(found[:3], [0, 0.4774606, 0.477773], rtol=1e-6)


def test_targets_of_bins_average_to_the_labels_and_a_wide_kernel_to_their_mean():
    p, y = draw()
    for num_bins in (1, 4, 5, 30):
        found = binned(p, y, num_bins=num_bins)
        np.testing.assert_allclose(np.mean(found), y.mean(), rtol=1e-5)
    found = kernel(p, y, bandwidth=1e4, half_window=50)
    np.testing.assert_allclose(found, y.mean(), rtol=1e-5)
    narrow = kernel(p, y, bandwidth=1e-6)
    np.testing.assert_allclose(narrow, y, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (calibration_targets.binned, dict(num_bins=3)),
        (calibration_targets.kernel, dict(half_window=2)),
    ],
)
def test_absent_rows_are_deleted(function, options):
    p, y = draw()
    where = np.arange(12) % 3 > 0
    spoiled = np.where(where, p, np.nan)
    jitted = jax.jit(partial(function, **options))
    found = jitted(spoiled, y, where=where)
    expected = jitted(p[where], y[where])
    np.testing.assert_allclose(np.asarray(found)[where], expected, rtol=1e-6)
    assert (np.asarray(found)[~where] == 0).all()
    with pytest.raises(ValueError, match="probabilities finite; got nan in row 0"):
        function(spoiled, y, **options)
