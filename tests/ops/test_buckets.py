import jax
import numpy as np
import pytest

from repr_jax.ops import buckets

log_prob = jax.jit(buckets.log_prob)
BORDERS = np.array([-2, -1, 0, 0.5, 1.5, 3])


def logits():
    return np.random.default_rng(37).normal(size=5)


def test_values_of_an_independent_program():
    y = np.array([0.2, 4, -5])
    found = np.asarray(log_prob(np.tile(logits(), (3, 1)), y, BORDERS))
    np.testing.assert_allclose(-found, [2.686844, 2.767392, 5.425085], rtol=1e-6)
    mean = jax.jit(buckets.mean)(logits(), BORDERS)
    np.testing.assert_allclose(mean, 0.6116479, rtol=1e-6)


def test_the_density_integrates_to_the_distribution():
    y = np.linspace(-30, 40, 70_001)
    logs = log_prob(np.tile(logits(), (len(y), 1)), y, BORDERS)
    density = np.exp(np.asarray(logs, np.float64))
    mass = np.cumsum(density) * (y[1] - y[0])
    np.testing.assert_allclose(mass[-1], 1, atol=1e-3)
    np.testing.assert_allclose(np.sum(density * y) * (y[1] - y[0]), 0.6116, atol=2e-3)
    some = np.array([-6.0, -1.5, -1, 0.2, 1.2, 2, 5])
    rows = np.tile(logits(), (len(some), 1))
    found = jax.jit(buckets.cdf)(rows, some, BORDERS)
    np.testing.assert_allclose(found, np.interp(some, y, mass), atol=1e-3)
    back = jax.jit(buckets.quantile)(rows, found, BORDERS)
    np.testing.assert_allclose(back, some, rtol=1e-3, atol=1e-3)


def test_a_border_belongs_below_and_nan_to_nothing():
    on, under, nan = (
        log_prob(logits(), np.float32(y), BORDERS) for y in (0.5, 0.4999, np.nan)
    )
    assert np.isnan(nan) and float(on) == float(under)
    borders = buckets.borders_of(np.arange(101.0), 4)
    np.testing.assert_allclose(borders, [0, 25, 50, 75, 100])
    with pytest.raises(ValueError, match="so many equal"):
        buckets.borders_of(np.ones(9), 4)
