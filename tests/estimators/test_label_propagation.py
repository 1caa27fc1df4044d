"""Label propagation against the closed form, on graphs and on rows."""

import jax
import numpy as np
import pytest

from repr_jax.estimators import label_propagation

fit = jax.jit(label_propagation.fit, static_argnames="num_classes")
propagate = jax.jit(label_propagation.propagate, static_argnames="num_classes")


def from_the_paper(weights, labels, num_classes, alpha):
    """F <- alpha S F + (1 - alpha) Y until nothing changes."""
    n = len(weights)
    d = weights.sum(axis=1)
    known = np.array([[float(y == c) for c in range(num_classes)] for y in labels])
    found = known.copy()
    for _ in range(3000):
        spread = np.zeros_like(found)
        for i in range(n):
            for j in range(n):
                if weights[i, j]:
                    spread[i] += weights[i, j] / np.sqrt(d[i] * d[j]) * found[j]
        found = alpha * spread + (1 - alpha) * known
    return found / found.sum(axis=1, keepdims=True)


def draw():
    x = np.random.default_rng(70).normal(size=(8, 2))
    labels = np.full(8, -1)
    labels[:2] = 0, 1
    squares = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    weights = np.exp(-squares) * (1 - np.eye(8))
    return x, weights, labels


def test_has_the_fixed_point_of_the_paper_and_of_an_independent_program():
    x, weights, labels = draw()
    found = np.asarray(propagate(weights, labels, num_classes=2))
    np.testing.assert_allclose(found[2], [0.419557, 0.580443], rtol=1e-4)
    np.testing.assert_allclose(found[7], [0.4189923, 0.5810077], rtol=1e-4)
    fitted = fit(x, labels, num_classes=2)
    np.testing.assert_allclose(fitted.shares, found, rtol=1e-4)
    expected = from_the_paper(weights, labels, 3, 0.9)
    found = propagate(weights, labels, num_classes=3, alpha=0.9)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_pair_by_hand_and_nodes_that_nothing_reaches():
    """S swaps the two: F is (Y + alpha S Y) over a constant."""
    weights = np.zeros((5, 5))
    weights[0, 1] = weights[1, 0] = 3.0
    weights[2, 3] = weights[3, 2] = 1.0
    labels = np.array([1, 0, -1, -1, -1])
    found = np.asarray(propagate(weights, labels, num_classes=2, alpha=0.5))
    np.testing.assert_allclose(found[0], [1 / 3, 2 / 3], rtol=1e-6)
    np.testing.assert_array_equal(found[2:], 0.5)
    kept = propagate(weights, np.array([1, 0, 1, 0, 1]), num_classes=2, alpha=0.0)
    np.testing.assert_allclose(kept[:, 1], [1, 0, 1, 0, 1], atol=1e-6)


def test_two_moons_are_labeled_from_two_rows():
    rng, t = np.random.default_rng(0), np.linspace(0, np.pi, 50)
    moons = [
        np.stack([np.cos(t), np.sin(t)], 1),
        np.stack([1 - np.cos(t), 0.4 - np.sin(t)], 1),
    ]
    x = np.concatenate(moons) + 0.03 * rng.normal(size=(100, 2))
    kinds = np.arange(100) // 50
    labels = np.where(np.isin(np.arange(100), [25, 75]), kinds, -1)
    fitted = fit(x, labels, num_classes=2, gamma=30.0)
    assert (np.argmax(fitted.shares, axis=1) == kinds).mean() > 0.97
    new = label_propagation.predict(fitted, x + 0.02)
    assert (new == kinds).mean() > 0.97
    far = label_propagation.shares(fitted, np.full((1, 2), 100.0))
    np.testing.assert_allclose(np.sum(far), 1, rtol=1e-5)


def test_what_it_refuses():
    x, weights, labels = draw()
    with pytest.raises(ValueError, match=r"propagate: expected weights of shape"):
        label_propagation.propagate(weights[:4], labels, num_classes=2)
    with pytest.raises(ValueError, match=r"fit: expected labels in \[0, 1\); got 1"):
        label_propagation.fit(x, labels, num_classes=1)
    with pytest.raises(ValueError, match=r"fit: expected 1 - alpha > 0; got 0"):
        label_propagation.fit(x, labels, num_classes=2, alpha=1.0)
