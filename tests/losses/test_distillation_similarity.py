"""Calibrated similarities against float64 loops, by hand, and where they are 0."""

import jax
import numpy as np
import pytest
from scipy.stats import beta

from repr_jax import losses
from repr_jax.ops import quantiles as ops_quantiles

similarity_calibration = jax.jit(losses.similarity_calibration)
code_quantization = jax.jit(losses.code_quantization)


def draw():
    rng = np.random.default_rng(41)
    features, codes = rng.normal(size=(8, 5)), rng.normal(size=(8, 6))
    return features[:4], features[4:], codes[:4], codes[4:]


def cosines(a, b):
    return np.array([x @ y / np.sqrt(x @ x * (y @ y)) for x, y in zip(a, b)])


def in_loops(features_a, features_b, codes_a, codes_b, shape):
    """As the authors' code: both sorted by the features, then compared by place."""
    order = np.argsort(cosines(features_a, features_b))
    found = cosines(codes_a, codes_b)[order]
    n, total = len(order), 0.0
    for i in range(n):
        target = max(0, 2 * beta.ppf((2 * i + 1) / (2 * n), shape, shape) - 1)
        total += abs(found[i] - target)
    return total / n


@pytest.mark.parametrize("shape", [0.7, 5.0])
def test_it_matches_the_paper(shape):
    found = similarity_calibration(*draw(), shape=shape)
    np.testing.assert_allclose(found, in_loops(*draw(), shape), rtol=1e-4)
    three = [x[:3] for x in draw()]
    where = np.arange(4) < 3
    found = similarity_calibration(*draw(), shape=shape, where=where)
    np.testing.assert_allclose(found, in_loops(*three, shape), rtol=1e-4)


def test_it_has_the_stated_values():
    np.testing.assert_allclose(similarity_calibration(*draw()), 0.6248029, rtol=1e-5)
    codes = np.concatenate(draw()[2:])
    np.testing.assert_allclose(code_quantization(codes), 0.1855127, rtol=1e-5)
    quantiles = jax.jit(ops_quantiles.beta)(np.array([1, 3, 5, 7], "f") / 8, 5.0)
    targets = np.maximum(2 * np.asarray(quantiles) - 1, 0)
    np.testing.assert_allclose(targets, [0, 0, 0.1030318, 0.3602623], rtol=1e-4)


def test_codes_at_the_quantiles_in_the_order_of_features_cost_nothing():
    angles = np.array([2.0, 0.3, 1.0])  # the second pair is nearest, then the third
    features = [np.stack([np.cos(a), np.sin(a)], axis=1) for a in (0 * angles, angles)]
    targets = np.maximum(2 * beta.ppf([1 / 6, 5 / 6, 3 / 6], 5, 5) - 1, 0)
    turn = np.arccos(targets)
    codes = [np.stack([np.cos(a), np.sin(a)], axis=1) for a in (0 * turn, turn)]
    found = similarity_calibration(*features, *codes)
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_signs_by_hand_and_features_without_a_gradient():
    assert abs(code_quantization(np.array([[2.0, -2.0, 2.0]], "f"))) < 1e-6
    found = code_quantization(np.array([[3.0, 0.0]], "f"))
    np.testing.assert_allclose(found, 1 - np.sqrt(0.5), rtol=1e-6)
    slope = jax.jit(jax.grad(losses.similarity_calibration, argnums=(0, 1, 2, 3)))
    by_feature_a, by_feature_b, *by_codes = slope(*(x.astype("f") for x in draw()))
    assert not by_feature_a.any() and not by_feature_b.any()
    assert all(gradient.any() for gradient in by_codes)
    with pytest.raises(ValueError, match="similarity_calibration: expected shape > 0"):
        losses.similarity_calibration(*draw(), shape=0)
