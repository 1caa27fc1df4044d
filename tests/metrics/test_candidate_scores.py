"""Likelihoods less what candidates owe to their prior."""

import jax
import numpy as np
import pytest

from repr_jax import metrics

prior_normalized, blend = jax.jit(metrics.prior_normalized), jax.jit(metrics.blend)


def recall(scores):
    return np.mean(np.argmax(scores, axis=1) == np.arange(len(scores)))


def draw():
    rng = np.random.default_rng(42)
    prior = rng.normal(size=5)
    candidate = 2 * np.eye(5) + rng.normal(size=(5, 5)) + 2 * prior
    return candidate, prior, 2 * np.eye(5) + rng.normal(size=(5, 5))


def test_the_values_of_an_independent_program():
    candidate, prior, query = draw()
    found = np.asarray(prior_normalized(candidate, prior, strength=0.9))
    np.testing.assert_allclose(found[0, 0], 1.033009, rtol=1e-5)
    expected = [[candidate[i, j] - 0.9 * prior[j] for j in range(5)] for i in range(5)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    both = np.asarray(blend(query, found, weight=0.6))
    np.testing.assert_allclose(both[0, 1], -0.6503059, rtol=1e-5)
    assert recall(candidate) == 0.2
    assert recall(found) == 0.4


def test_a_constant_prior_changes_no_rank_and_a_strength_of_0_nothing():
    candidate, prior, query = draw()
    found = prior_normalized(candidate, np.full(5, 3.0), strength=1.0)
    np.testing.assert_allclose(found, candidate - 3, rtol=1e-5, atol=1e-6)
    found = prior_normalized(candidate, prior, strength=0.0)
    np.testing.assert_allclose(found, candidate, rtol=1e-6)
    each = prior_normalized(candidate, np.tile(prior, (5, 1)), strength=0.5)
    one = prior_normalized(candidate, prior, strength=0.5)
    np.testing.assert_array_equal(each, one)
    np.testing.assert_allclose(blend(query, candidate, weight=1.0), query, rtol=1e-6)
    with pytest.raises(ValueError, match=r"prior_normalized: expected prior of shape"):
        metrics.prior_normalized(candidate, prior[:3], strength=1.0)


def test_the_best_strength_is_that_of_the_prior_in_the_scores():
    rng = np.random.default_rng(0)
    prior, own = rng.normal(size=100), 2 * np.eye(100) + rng.normal(size=(100, 100))
    scores = own + 1.5 * prior
    found = [
        recall(prior_normalized(scores, prior, strength=strength))
        for strength in (0.0, 1.0, 1.5)
    ]
    assert found[0] < found[1] <= found[2]
