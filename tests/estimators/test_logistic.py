"""Multinomial logistic regression against scikit-learn, by hand, and its masks."""

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from repr_jax.estimators import logistic


def clouds(seed, num_rows, spread, dim=6, num_classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(num_classes, size=num_rows)
    centers = np.random.default_rng(0).normal(size=(num_classes, dim))
    x = spread * centers[labels] + rng.normal(size=(num_rows, dim))
    return x.astype(np.float32), labels


@pytest.mark.parametrize("penalty", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("spread", [0.5, 2.0])  # overlapping, and nearly separable
def test_fit_equals_scikit_learn(penalty, spread):
    x, y = clouds(1, 120, spread)
    x_test, _ = clouds(2, 120, spread)
    expected = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000)
    expected.fit(x.astype(np.float64), y)
    actual = logistic.fit(x, y, num_classes=3, penalty=penalty)
    np.testing.assert_allclose(actual.weights, expected.coef_.T, atol=1e-3)
    bias = actual.bias - np.mean(actual.bias)  # a shift of all logits changes nothing
    intercept = expected.intercept_ - np.mean(expected.intercept_)
    np.testing.assert_allclose(bias, intercept, atol=1e-3)
    predictions = logistic.predict(actual, x_test)
    assert predictions.dtype == np.int32
    np.testing.assert_array_equal(predictions, expected.predict(x_test))
    probabilities = jax.nn.softmax(logistic.logits(actual, x_test), axis=-1)
    np.testing.assert_allclose(probabilities, expected.predict_proba(x_test), atol=1e-3)
    assert actual.num_steps < 20 and actual.gradient < 1e-6
    fits = ((actual.weights, actual.bias), (expected.coef_.T, expected.intercept_))
    ours, theirs = (objective(x, y, *map(np.float64, fit), penalty) for fit in fits)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def objective(x, y, weights, bias, penalty):
    logits = x @ weights + bias
    log_z = np.log(np.exp(logits).sum(axis=1))
    errors = log_z - logits[np.arange(len(y)), y]
    return errors.sum() + penalty / 2 * np.sum(weights**2)


def test_fit_by_hand():
    """Two points at +-1: w_1 = -w_0 = w solves penalty w = 2 sigmoid(-2 w)."""
    x, y = np.array([[-1.0], [1.0]], np.float32), np.array([0, 1])
    fitted = logistic.fit(x, y, num_classes=2)
    (w0, w1), (b0, b1) = fitted.weights[0], fitted.bias
    np.testing.assert_allclose([w0 + w1, b1 - b0], 0, atol=1e-5)
    np.testing.assert_allclose(w1, 2 / (1 + np.exp(2 * w1)), rtol=1e-4)


def newton(x, y, num_classes, penalty=1.0):
    """In float64, of centered rows: the probabilities of the classes."""
    x = np.c_[x - x.mean(axis=0), np.ones(len(x))]
    n, dim = x.shape
    target, theta = np.eye(num_classes)[y], np.zeros((dim, num_classes))
    ridge = np.diag([penalty / n] * (dim - 1) + [0.0])
    for _ in range(30):
        p = np.exp(x @ theta)
        p /= p.sum(axis=1, keepdims=True)
        gradient = x.T @ (p - target) / n + ridge @ theta
        spread = np.einsum("nk,kl->nkl", p, np.eye(num_classes))
        spread -= np.einsum("nk,nl->nkl", p, p)
        curvature = np.einsum("ni,nj,nkl->ikjl", x, x, spread) / n
        curvature += np.einsum("ij,kl->ikjl", ridge, np.eye(num_classes))
        size = dim * num_classes
        curvature = curvature.reshape(size, size)
        step = np.linalg.lstsq(curvature, gradient.ravel(), rcond=1e-12)[0]
        theta -= step.reshape(theta.shape)
    return p


@pytest.mark.parametrize("offset", [0, 100, 2000, 1e5])
def test_features_far_from_0(offset):
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=200)
    x = rng.normal(size=(200, 6)) + rng.normal(size=(3, 6))[y]
    x = (offset + x).astype(np.float32)
    fitted = logistic.fit(x, y, num_classes=3)
    assert fitted.converged and fitted.num_steps < 12
    found = jax.nn.softmax(logistic.logits(fitted, x), axis=-1)
    expected = newton(x.astype(np.float64), y, 3)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    logits = x @ np.asarray(fitted.weights, np.float64) + np.asarray(fitted.bias)
    exact = np.asarray(logistic.logits(fitted, x))
    np.testing.assert_allclose(logits, exact, atol=1e-5 + 1e-6 * offset)


def test_features_of_unlike_scales():
    x, y = clouds(1, 120, 1.0)
    x = (x * np.logspace(-3, 3, 6)).astype(np.float32)
    fitted = logistic.fit(x, y, num_classes=3)
    assert fitted.converged
    found = jax.nn.softmax(logistic.logits(fitted, x), axis=-1)
    np.testing.assert_allclose(found, newton(x.astype(float), y, 3), atol=5e-6)


def test_a_fit_that_was_stopped_has_not_converged():
    x, y = clouds(1, 120, 0.5)
    assert logistic.fit(x, y, num_classes=3).converged
    assert not logistic.fit(x, y, num_classes=3, max_steps=2).converged


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(x=np.zeros(4)), ValueError, r"logistic.fit: expected .* rank 2"),
        (dict(labels=np.zeros(3, int)), ValueError, r"labels of shape \(4,\)"),
        (dict(labels=np.zeros(4)), TypeError, "labels of integers"),
        (dict(labels=np.arange(4)), ValueError, r"in \[0, 2\); got 2 in row 2"),
        (dict(labels=np.arange(4) // 2 - 1), ValueError, "got -1 in row 0"),
        (dict(labels=np.arange(4) // 2 << 32), ValueError, "got 4294967296 in row 2"),
        (dict(where=np.ones(4)), TypeError, "where bool"),
        (dict(x=np.zeros((4, 2), int)), TypeError, "x of floats"),
        (dict(penalty=0.0), ValueError, "penalty > 0"),
        (dict(num_classes=1), ValueError, "num_classes >= 2"),
        (dict(where=np.ones(3, bool)), ValueError, r"where of shape \(4,\)"),
    ],
)
def test_wrong_inputs_are_refused(change, error, message):
    good = dict(x=np.zeros((4, 2)), labels=np.zeros(4, int), num_classes=2)
    good |= change
    with pytest.raises(error, match=message):
        logistic.fit(good.pop("x"), good.pop("labels"), **good)


def test_a_row_of_weight_2_is_a_row_twice():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(30, 3)), np.arange(30) % 3
    weights = 1.0 + (np.arange(30) < 7)
    found = logistic.fit(x, labels, num_classes=3, weights=weights)
    twice = np.concatenate([x, x[:7]]), np.concatenate([labels, labels[:7]])
    expected = logistic.fit(*twice, num_classes=3)
    for name in ("weights", "bias"):
        a, b = (getattr(fitted, name) for fitted in (found, expected))
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match=r"logistic\.fit: expected weights of shape"):
        logistic.fit(x, labels, num_classes=3, weights=weights[:-1])
