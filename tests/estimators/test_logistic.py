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


def test_fit_by_hand():
    """Two points at +-1: w_1 = -w_0 = w solves penalty w = 2 sigmoid(-2 w)."""
    x, y = np.array([[-1.0], [1.0]], np.float32), np.array([0, 1])
    fitted = logistic.fit(x, y, num_classes=2)
    (w0, w1), (b0, b1) = fitted.weights[0], fitted.bias
    np.testing.assert_allclose([w0 + w1, b1 - b0], 0, atol=1e-5)
    np.testing.assert_allclose(w1, 2 / (1 + np.exp(2 * w1)), rtol=1e-4)


def test_absent_rows_are_as_good_as_deleted():
    x, y = clouds(1, 160, 1.0)
    where = np.arange(160) % 4 > 0
    spoiled = np.where(where[:, None], x, np.nan)
    labels = np.where(where, y, -7)
    found = logistic.fit(spoiled, labels, num_classes=3, where=where)
    rest = logistic.fit(x[where], y[where], num_classes=3)
    np.testing.assert_allclose(
        logistic.logits(found, x), logistic.logits(rest, x), atol=1e-4
    )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(x=np.zeros(4)), ValueError, r"logistic.fit: expected .* rank 2"),
        (dict(labels=np.zeros(3, int)), ValueError, r"labels of shape \(4,\)"),
        (dict(labels=np.zeros(4)), TypeError, "labels of integers"),
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
