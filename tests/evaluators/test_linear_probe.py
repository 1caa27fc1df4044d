"""The logistic regression against scikit-learn, and the protocol around it."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from repr_jax.data import synthetic
from repr_jax.evaluators import linear_probe
from repr_jax.evaluators.common import Trained


def clouds(seed, num_rows, spread, dim=6, num_classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(num_classes, size=num_rows)
    centers = np.random.default_rng(0).normal(size=(num_classes, dim))
    x = spread * centers[labels] + rng.normal(size=(num_rows, dim))
    return x.astype(np.float32), labels


@pytest.mark.parametrize("inverse_penalty", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("spread", [0.5, 2.0])  # overlapping, and nearly separable
def test_fit_equals_scikit_learn(inverse_penalty, spread):
    x, y = clouds(1, 120, spread)
    x_test, _ = clouds(2, 120, spread)
    expected = LogisticRegression(C=inverse_penalty, tol=1e-10, max_iter=10_000)
    expected.fit(x.astype(np.float64), y)
    actual = linear_probe.fit(x, y, num_classes=3, inverse_penalty=inverse_penalty)
    np.testing.assert_allclose(actual.weights, expected.coef_.T, atol=1e-3)
    bias = actual.bias - np.mean(actual.bias)  # a shift of all logits changes nothing
    intercept = expected.intercept_ - np.mean(expected.intercept_)
    np.testing.assert_allclose(bias, intercept, atol=1e-3)
    predictions = linear_probe.predict(actual, x_test)
    np.testing.assert_array_equal(predictions, expected.predict(x_test))
    assert actual.num_steps < 20 and actual.gradient < 1e-6


def test_fit_by_hand():
    """Two points at +-1: w_1 = -w_0 = w solves 2 w / C = sigmoid(-2 w)."""
    x, y = np.array([[-1.0], [1.0]], np.float32), np.array([0, 1])
    probe = linear_probe.fit(x, y, num_classes=2)
    (w0, w1), (b0, b1) = probe.weights[0], probe.bias
    np.testing.assert_allclose([w0 + w1, b1 - b0], 0, atol=1e-5)
    np.testing.assert_allclose(w1, 2 / (1 + np.exp(2 * w1)), rtol=1e-4)


def test_fit_names_wrong_shapes():
    with pytest.raises(ValueError, match=r"linear_probe.fit: expected .* rank 2"):
        linear_probe.fit(np.zeros(4), np.zeros(4, int), num_classes=2)
    with pytest.raises(ValueError, match="expected labels with 4 rows"):
        linear_probe.fit(np.zeros((4, 2)), np.zeros(3, int), num_classes=2)


def test_stratified_keeps_proportions():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    rows = linear_probe.stratified(labels, 50)
    assert len(np.unique(rows)) == 50
    np.testing.assert_array_equal(np.bincount(labels[rows]), [30, 15, 5])
    assert set(rows) != set(linear_probe.stratified(labels, 50, seed=1))
    assert len(linear_probe.stratified(labels, 5000)) == 1000


def test_score_with_labels_that_skip_a_class():
    x = np.eye(3, dtype=np.float32)
    y = np.array([2, 5, 9])
    assert linear_probe.score(x, y, x, y) == 1
    with pytest.raises(ValueError, match="two or more classes"):
        linear_probe.score(x, y * 0, x, y)


def test_one_hot_features_are_perfect(perfect, dataset):
    found = linear_probe.evaluate(perfect, dataset, num_train=12, batch_size=8)
    assert set(found.values()) == {1.0}
    assert len(found) == 2 * (7 + 3)
    assert {"linear_probe/m0+m2", "linear_probe_12/m0+m1+m2"} <= set(found)
    assert {"linear_probe/1_view", "linear_probe_12/3_views"} <= set(found)


def test_subsets_are_scored_apart_and_averaged(perfect, dataset):
    """m0 tells everything, the others nothing: chance is the largest class, 6 of 21."""

    def represent(batch):
        here = batch["present"][:, :1]
        return np.where(here, np.eye(4)[batch["label"]], 0.0)

    model = perfect._replace(represent=represent)
    found = linear_probe.evaluate(model, dataset, num_train=8, batch_size=8)
    assert found["linear_probe/m0"] == found["linear_probe/m0+m1"] == 1
    guess = found["linear_probe/m1"]
    assert guess < 0.5 and guess == found["linear_probe/m1+m2"]
    one_view = (1 + 2 * guess) / 3
    assert found["linear_probe/1_view"] == pytest.approx(one_view)
    assert found["linear_probe/2_views"] == pytest.approx((2 + guess) / 3)


def test_a_model_with_one_input():
    blobs = synthetic.blobs(num_examples=32)
    model = Trained(
        represent=lambda batch: batch["image"].reshape(len(batch["image"]), -1),
        generate=None,
        bound=None,
        prepare=blobs.prepare,
        modalities=(),
        workdir="",
    )
    found = linear_probe.evaluate(model, blobs, num_train=16, batch_size=8)
    assert found == {"accuracy": 1.0, "accuracy_16": 1.0}
