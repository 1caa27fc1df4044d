"""Quantiles along directions: loops, an oracle, and what the minimum is."""

import jax
import numpy as np
import pytest
from scipy.stats import norm

from repr_jax import losses

bucketed_nll = jax.jit(losses.bucketed_nll)
directional_pinball = jax.jit(losses.directional_pinball, static_argnames="level")


def pinball_in_loops(projections, quantiles, level):
    terms = []
    for row, predicted in zip(projections, quantiles):
        for z, q in zip(row, predicted):
            terms.append(level * (z - q) if z > q else (1 - level) * (q - z))
    return np.mean(terms)


@pytest.mark.parametrize("level", [0.02, 0.5, 0.9])
def test_matches_the_definition(level):
    projections, quantiles = np.random.default_rng(0).normal(size=(2, 9, 5)).astype("f")
    found = directional_pinball(projections, quantiles, level=level)
    expected = pinball_in_loops(projections, quantiles, level)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_value_of_an_independent_program():
    rng = np.random.default_rng(41)
    z = rng.normal(size=(12, 2))
    quantiles = np.tile(-0.8 + 0.1 * rng.normal(size=4), (12, 1))
    projections = z @ np.array([[1, 0, -1, 0], [0, 1, 0, -1]])
    found = directional_pinball(projections, quantiles, level=0.1)
    np.testing.assert_allclose(found, 0.1764091, rtol=1e-6)


def test_by_hand_and_the_least_is_at_the_quantile():
    y = np.arange(11.0)[:, None]
    found = directional_pinball(y, np.full_like(y, 5), level=0.5)
    np.testing.assert_allclose(found, np.abs(y - 5).mean() / 2, rtol=1e-6)
    values = [directional_pinball(y, np.full_like(y, q), level=0.2) for q in y]
    assert np.argmin(values) == 2
    with pytest.raises(ValueError, match=r"level in \(0, 1\); got 1"):
        losses.directional_pinball(y, y, level=1)


def bucketed_in_loops(logits, y, borders):
    """Uniform inside, half-normal outside, in float64."""
    total = 0.0
    for row, value in zip(logits, y):
        p = np.exp(row - row.max())
        p /= p.sum()
        k = sum(value > b for b in borders[1:-1])
        width = borders[k + 1] - borders[k]
        if 0 < k < len(p) - 1:
            density = 1 / width
        else:
            away = borders[1] - value if k == 0 else value - borders[-2]
            density = 2 * norm.pdf(away, scale=width / norm.ppf(0.75))
        total -= np.log(p[k] * density)
    return total / len(y)


def test_bucketed_nll_matches_loops():
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(20, 6)), 3 * rng.normal(size=20)
    borders = np.array([-3, -2, -0.5, 0.1, 1, 2, 4])
    found = bucketed_nll(logits, y, borders)
    expected = bucketed_in_loops(logits, y, borders)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    tasks = bucketed_nll(logits.reshape(4, 5, 6), y.reshape(4, 5), borders)
    np.testing.assert_allclose(tasks, found, rtol=1e-5)


def test_bucketed_nll_by_hand_and_of_an_independent_program():
    borders = np.array([0.0, 1, 3, 4])
    found = bucketed_nll(np.zeros((1, 3)), np.array([2.0]), borders)
    np.testing.assert_allclose(found, np.log(3 * 2), rtol=1e-6)
    logits = np.random.default_rng(37).normal(size=(1, 5))
    borders = np.array([-2, -1, 0, 0.5, 1.5, 3])
    found = bucketed_nll(logits, np.array([0.2]), borders)
    np.testing.assert_allclose(found, 2.686844, rtol=1e-6)
    with pytest.raises(ValueError, match="expected logits of shape"):
        losses.bucketed_nll(logits, np.array([0.2]), borders[1:])
