"""Matches against a float64 loop, by hand, and their symmetry."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses

pair_match = jax.jit(losses.pair_match)


def draw():
    rng = np.random.default_rng(45)
    return rng.normal(size=(6, 3)), rng.normal(size=(6, 3)), np.arange(6) % 2


@pytest.mark.parametrize(("bias", "scale"), [(1.5, 1.2), (0.0, 3.0), (-2.0, 0.1)])
def test_it_matches_a_loop(bias, scale):
    terms = []
    for a, b, match in zip(*draw()):
        p = 1 / (1 + math.exp(-(bias - scale * math.dist(a, b))))
        terms.append(-math.log(p if match else 1 - p))
    found = pair_match(*draw(), bias=bias, scale=scale)
    np.testing.assert_allclose(found, np.mean(terms), rtol=1e-5)


def test_it_has_the_stated_value_and_is_symmetric():
    a, b, matches = draw()
    options = dict(bias=1.5, scale=1.2)
    found = pair_match(a, b, matches, **options)
    np.testing.assert_allclose(found, 0.8523538, rtol=1e-5)
    assert pair_match(b, a, matches > 0, **options) == found


def test_without_bias_and_scale_it_is_log_2_and_by_hand():
    a, b, matches = draw()
    found = pair_match(a, b, matches, bias=0.0, scale=0.0)
    np.testing.assert_allclose(found, math.log(2), rtol=1e-6)
    found = pair_match(a, a, np.ones(6, int), bias=2.0, scale=1.0)
    np.testing.assert_allclose(found, math.log1p(math.exp(-2)), rtol=1e-6)
    with pytest.raises(TypeError, match="pair_match: expected matches of integers"):
        losses.pair_match(a, b, matches / 2, bias=0.0, scale=1.0)
    with pytest.raises(ValueError, match="pair_match: expected scale >= 0; got -1"):
        losses.pair_match(a, b, matches, bias=0.0, scale=-1)
