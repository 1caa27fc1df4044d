"""Ordered classes: loops, an independent program's fit, and the two limits."""

import jax
import numpy as np
import pytest

from repr_jax.estimators import logistic, ordinal

fit = jax.jit(ordinal.fit, static_argnames=("num_classes", "max_steps"))
log_probabilities = jax.jit(ordinal.log_probabilities)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def draw():
    rng = np.random.default_rng(63)
    x, e = rng.normal(size=(60, 2)), rng.uniform(size=60)
    slopes = np.array([[1, 1], [-0.5, -0.2]])
    below = np.sort(sigmoid(np.array([0.5, 2]) + x @ slopes), axis=1)
    return x, (below < e[:, None]).sum(axis=1)


def surprise_by_loops(intercepts, coefficients, x, labels):
    total = 0.0
    for row, y in zip(x, labels):
        below = [sigmoid(a + b @ row) for a, b in zip(intercepts, coefficients)]
        total -= np.log(np.diff([0, *below, 1])[y])
    return total / len(x)


def test_matches_loops_and_the_fit_of_an_independent_program():
    x, labels = draw()
    assert np.bincount(labels).tolist() == [44, 7, 9]
    theta = np.array([0.0, 1]), np.array([[0.5, -0.2], [0.4, -0.1]])
    found = ordinal.surprise(*theta, x, labels)
    for expected in (surprise_by_loops(*theta, x, labels), 0.8102159):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    found = fit(x, labels, num_classes=3, penalty=0.02)
    assert found.converged
    np.testing.assert_allclose(found.intercepts, [1.054681, 1.733753], rtol=1e-3)
    expected = [[0.8068416, 0], [0.5295518, -0.004303597]]
    np.testing.assert_allclose(found.coefficients, expected, rtol=1e-3, atol=1e-4)
    b = np.asarray(found.coefficients)
    penalty = 0.02 * (np.abs(b[0]).sum() + np.abs(b[1] - b[0]).sum())
    own = surprise_by_loops(np.asarray(found.intercepts), b, x, labels)
    for expected in (own + penalty, 0.6966705):
        np.testing.assert_allclose(found.objective, expected, rtol=1e-5)
    log_p = np.asarray(log_probabilities(found, x))
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-5)
    surprise = -log_p[np.arange(60), labels].mean()
    np.testing.assert_allclose(surprise, own, rtol=1e-5)


def test_a_large_penalty_leaves_the_shares_of_the_classes():
    x, labels = draw()
    found = fit(x, labels, num_classes=3, penalty=10.0)
    np.testing.assert_array_equal(found.coefficients, 0)
    log_p = np.asarray(log_probabilities(found, x[:1]))
    expected = np.log(np.array([44, 7, 9]) / 60)
    np.testing.assert_allclose(log_p[0], expected, rtol=1e-4)


def test_two_classes_without_a_penalty_are_logistic_regression():
    x, labels = draw()
    two = (labels > 0).astype(int)
    found = fit(x, two, num_classes=2, penalty=0.0)
    other = logistic.fit(x, two, num_classes=2, penalty=1e-4)
    weights = np.asarray(other.weights)
    expected = weights[:, 0] - weights[:, 1]
    coefficients = np.asarray(found.coefficients)[0]
    np.testing.assert_allclose(coefficients, expected, atol=2e-3)


def test_curves_that_cross_cost_everything_and_are_floored_on_new_rows():
    slopes = np.array([[1.0], [0.0]])
    x, labels = np.array([[2.0]]), np.array([1])
    assert np.isinf(ordinal.surprise(np.array([0.0, 1]), slopes, x, labels))
    fitted = ordinal.Ordinal(np.array([0.0, 1], "f"), slopes.astype("f"), 0.0, 1, True)
    found = np.asarray(log_probabilities(fitted, x))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.exp(found).sum(), 1, rtol=1e-6)


def test_a_class_without_rows_is_refused():
    x, labels = draw()
    with pytest.raises(ValueError, match=r"ordinal\.fit: expected rows of every clas"):
        ordinal.fit(x, labels, num_classes=4)
    with pytest.raises(TypeError, match=r"ordinal\.fit: expected labels of integers"):
        ordinal.fit(x, labels.astype(float), num_classes=3)
