"""Average precision, smooth: loops, by hand, and what it tends to."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses, metrics

smooth = jax.jit(losses.smooth_ap)
fast = jax.jit(losses.fast_ap, static_argnames="num_bins")
LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 2])  # 3 is alone


def draw(*shape, seed=0):
    x = np.random.default_rng(seed).normal(size=shape or (8, 4))
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def smooth_in_loops(x, labels, temperature):
    s, rows, terms = x @ x.T, range(len(x)), []
    for i in rows:
        own = [p for p in rows if labels[p] == labels[i]]
        total = 0.0
        for p in own:
            ahead = {
                j: 1 / (1 + math.exp((s[i, p] - s[i, j]) / temperature))
                for j in rows
                if j != p
            }
            among = sum(g for j, g in ahead.items() if j in own)
            total += (1 + among) / (1 + sum(ahead.values()))
        if len(own) > 1:
            terms.append(1 - total / len(own))
    return np.mean(terms)


def fast_in_loops(x, labels, num_bins):
    rows, terms = range(len(x)), []
    for i in rows:
        same, every = np.zeros(num_bins + 1), np.zeros(num_bins + 1)
        for j in rows:
            for b in range(num_bins + 1):
                place = math.dist(x[i], x[j]) ** 2 * num_bins / 4
                weight = max(0, 1 - abs(place - b)) * (j != i)
                every[b] += weight
                same[b] += weight * (labels[i] == labels[j])
        count = sum(labels[j] == labels[i] for j in rows) - 1
        found = sum(
            same[b] * same[: b + 1].sum() / every[: b + 1].sum()
            for b in range(num_bins + 1)
            if same[b]
        )
        if count:
            terms.append(1 - found / count)
    return np.mean(terms)


@pytest.mark.parametrize(("temperature", "num_bins"), [(0.01, 10), (0.3, 4), (1.0, 1)])
def test_losses_match_the_papers(temperature, num_bins):
    x = draw()
    found = smooth(np.float32(7 * x), LABELS, temperature=temperature)
    expected = smooth_in_loops(x, LABELS, temperature)
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    found = fast(np.float32(7 * x), LABELS, num_bins=num_bins)
    np.testing.assert_allclose(found, fast_in_loops(x, LABELS, num_bins), rtol=1e-5)


def test_values_by_hand():
    """Of four equal rows of two classes, any rank is the mean of what it may be."""
    x, labels = np.ones((4, 3), "f"), np.array([0, 0, 1, 1])
    np.testing.assert_allclose(smooth(x, labels), 1 - 1.5 / 2.5, rtol=1e-6)
    np.testing.assert_allclose(fast(x, labels), 1 - 1 / 3, rtol=1e-6)


def test_classes_apart_cost_nothing_and_a_low_temperature_gives_the_metric():
    x = np.float32(np.eye(4)[LABELS])
    assert smooth(x, LABELS) < 1e-6 and fast(x, LABELS) < 1e-6
    x, labels = draw(9, 3, seed=4), np.arange(9) % 3
    found = smooth(np.float32(x), labels, temperature=1e-4)
    precisions = []
    for i in range(9):
        relevant = labels == labels[i]
        precisions.append(metrics.average_precision(x @ x[i], relevant))
    np.testing.assert_allclose(found, 1 - np.mean(precisions), rtol=1e-5)


def test_rows_without_another_of_their_class_do_not_count():
    x = np.float32(draw())
    for loss in (smooth, fast):
        assert loss(x[:3], np.arange(3)) == 0
        assert loss(x[[0, 2, 6]], LABELS[[0, 2, 6]]) > 0
