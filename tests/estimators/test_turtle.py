"""TURTLE's steps against plain float64, and what it finds."""

import functools

import jax
import numpy as np
import pytest

from repr_jax import metrics
from repr_jax.estimators import logistic, turtle

KEY = jax.random.key(0)


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class Adam:
    """Kingma and Ba, of a list of arrays that it changes in place."""

    def __init__(self, rate):
        self.rate, self.count, self.first, self.second = rate, 0, None, None

    def step(self, params, gradient):
        if self.first is None:
            self.first = [np.zeros_like(p) for p in params]
            self.second = [np.zeros_like(p) for p in params]
        self.count += 1
        for p, g, m, v in zip(params, gradient, self.first, self.second):
            m += 0.1 * (g - m)
            v += 0.001 * (g**2 - v)
            mean, square = m / (1 - 0.9**self.count), v / (1 - 0.999**self.count)
            p -= self.rate * mean / (np.sqrt(square) + 1e-8)


def float64(tree):
    return jax.tree.map(lambda a: np.array(a, np.float64), tree)


def turtle_in_float64(features, classes, key, *, steps, inner_steps, weight, rates):
    """Gradients by hand; the random draws are those of the estimator."""
    x = float64(features)
    rows, spaces = len(x[0]), len(x)
    start_key, key = jax.random.split(key)
    drawn = float64(turtle._draw(start_key, features, classes))
    task = [
        [linear.directions, np.linalg.norm(linear.directions, axis=0), linear.biases]
        for linear in drawn
    ]
    outer, losses = [Adam(rates[0]) for _ in x], []
    for step in range(steps):
        _, inner_key = jax.random.split(jax.random.fold_in(key, step))
        p = [
            softmax(a @ (g * v / np.linalg.norm(v, axis=0)) + b)
            for a, (v, g, b) in zip(x, task)
        ]
        labels = sum(p) / spaces
        log_s = []
        for a, linear in zip(x, float64(turtle._draw(inner_key, features, classes))):
            w, b = linear.directions, linear.biases
            inner = Adam(rates[1])
            for _ in range(inner_steps):
                error = (softmax(a @ w + b) - labels) / rows
                inner.step([w, b], [a.T @ error, error.sum(axis=0)])
            log_s.append(np.log(softmax(a @ w + b)))
        marginals = [q.mean(axis=0) for q in p]
        loss = -sum((labels * s).sum() for s in log_s) / rows
        losses.append(loss + weight * sum((m * np.log(m)).sum() for m in marginals))
        for r, (v, g, b) in enumerate(task):
            by_p = (
                -sum(log_s) / spaces / rows + weight * (np.log(marginals[r]) + 1) / rows
            )
            by_logit = p[r] * (by_p - (p[r] * by_p).sum(axis=1, keepdims=True))
            by_weight, length = x[r].T @ by_logit, np.linalg.norm(v, axis=0)
            along = (by_weight * v / length).sum(axis=0)
            by_v = g / length * (by_weight - along * v / length)
            outer[r].step([v, g, b], [by_v, along, by_logit.sum(axis=0)])
    weights = [g * v / np.linalg.norm(v, axis=0) for v, g, _ in task]
    return weights, [b for _, _, b in task], losses


def test_steps_match_float64():
    rng = np.random.default_rng(0)
    features = tuple(rng.normal(size=(20, dim)).astype(np.float32) for dim in (3, 5))
    found = turtle.fit(
        KEY,
        features,
        num_classes=4,
        num_steps=6,
        num_inner_steps=3,
        entropy_weight=2.0,
        learning_rate=0.03,
        inner_learning_rate=0.1,
    )
    weights, biases, losses = turtle_in_float64(
        features, 4, KEY, steps=6, inner_steps=3, weight=2.0, rates=(0.03, 0.1)
    )
    np.testing.assert_allclose(found.losses, losses, rtol=1e-5)
    for r in range(2):
        np.testing.assert_allclose(found.weights[r], weights[r], atol=1e-4)
        np.testing.assert_allclose(found.biases[r], biases[r], atol=1e-4)


@pytest.fixture(scope="module")
def fitted(blobs):
    """Of the blobs, by two spaces of features, in batches of some of the rows."""
    features = (blobs.x, blobs.x[:, ::-1] ** 3)
    calls = []
    found = turtle.fit(
        KEY,
        features,
        num_classes=4,
        num_steps=100,
        batch_size=128,
        learning_rate=0.03,
        inner_learning_rate=0.03,
        progress=lambda done, of: calls.append((done, of)),
    )
    return features, found, calls


def test_blobs_are_recovered(fitted, blobs):
    features, found, calls = fitted
    assigned = turtle.assign(found, features)
    assert assigned.dtype == np.int32
    table = metrics.contingency(assigned, blobs.labels)
    assert metrics.hungarian_accuracy(table) == 1
    assert found.losses[-1] < found.losses[0]
    assert calls == [(5 * i, 100) for i in range(1, 21)]


def test_logits_are_log_mean_probabilities(fitted):
    features, found, _ = fitted
    p = [
        softmax(np.asarray(x, np.float64) @ np.asarray(w) + np.asarray(b))
        for x, w, b in zip(features, found.weights, found.biases)
    ]
    logits = turtle.logits(found, features)
    np.testing.assert_allclose(np.exp(logits), (p[0] + p[1]) / 2, atol=1e-5)


def test_the_score_prefers_the_labeling_that_generalizes(fitted):
    """Gaps between blobs leave margins; a cut through one cloud does not."""
    features, found, _ = fitted
    assert turtle.generalization_score(found, features, num_folds=4) == 1
    cloud = np.random.default_rng(0).normal(size=(2, 160, 8)).astype(np.float32)
    score = turtle.generalization_score(found, tuple(cloud), num_folds=4)
    assert 0.3 < score < 0.9


def test_the_score_warns_once_of_fits_that_stopped_early(fitted, monkeypatch):
    features, found, _ = fitted
    stopped = functools.partial(logistic.fit, max_steps=1)
    monkeypatch.setattr(logistic, "fit", stopped)
    words = rf"{4 * len(features)} of {4 * len(features)} logistic regressions had not"
    with pytest.warns(UserWarning, match=words) as warned:
        turtle.generalization_score(found, features, num_folds=4)
    assert len([w for w in warned if w.category is UserWarning]) == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(features=np.ones((4, 2))), TypeError, "a tuple of arrays"),
        (dict(features=()), ValueError, "features of 1 spaces; got 0"),
        (dict(features=(np.ones((4, 2)), np.ones((3, 2)))), ValueError, "4 rows"),
        (dict(features=(np.ones((4, 2), int),)), TypeError, "of floats"),
        (dict(num_classes=1), ValueError, "num_classes >= 2"),
        (dict(num_steps=0), ValueError, "num_steps >= 1"),
        (dict(entropy_weight=-1.0), ValueError, "entropy_weight >= 0"),
        (dict(learning_rate=0.0), ValueError, "learning_rate > 0"),
    ],
)
def test_wrong_inputs_are_refused(change, error, message):
    options = dict(features=(np.ones((4, 2), np.float32),), num_classes=2) | change
    with pytest.raises(error, match=message):
        turtle.fit(KEY, **options)


def test_other_features_than_those_fitted_are_refused(fitted):
    features, found, _ = fitted
    with pytest.raises(ValueError, match="features of 2 spaces; got 1"):
        turtle.logits(found, features[:1])
    with pytest.raises(ValueError, match=r"features\[1\] of shape \(160, 8\)"):
        turtle.logits(found, (features[0], features[1][:, :3]))
