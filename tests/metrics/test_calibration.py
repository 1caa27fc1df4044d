"""Calibration errors against the definitions in float64 loops, and by hand."""

from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import metrics

ERRORS = {
    name: jax.jit(
        getattr(metrics, f"{name}_calibration_error"), static_argnames="num_bins"
    )
    for name in ("expected", "adaptive", "maximum")
}
brier = jax.jit(metrics.brier)


def draw():
    rng = np.random.default_rng(1)
    logits = 2 * rng.normal(size=(50, 4))
    guesses = rng.integers(4, size=50)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.where(np.arange(50) % 2 == 0, p.argmax(axis=1), guesses)
    return p, labels, p.max(axis=1), p.argmax(axis=1) == labels


def from_the_definition(name, confidence, correct, num_bins):
    """One loop over rows by bin; edges (a, b], or ranks of a stable sort."""
    n = len(confidence)
    members = [[] for _ in range(num_bins)]
    if name == "adaptive":
        order = sorted(range(n), key=lambda i: confidence[i])
        for i in range(num_bins):
            members[i] = order[i * n // num_bins : (i + 1) * n // num_bins]
    else:
        for i, c in enumerate(confidence):
            members[max(int(np.ceil(c * num_bins - 1e-12)), 1) - 1].append(i)
    gaps = [
        (len(m), abs(np.mean(confidence[m]) - np.mean(correct[m])))
        for m in members
        if m
    ]
    if name == "maximum":
        return max(gap for _, gap in gaps)
    return sum(count * gap for count, gap in gaps) / n


def test_values_of_an_independent_program():
    p, labels, confidence, correct = draw()
    found = ERRORS["expected"](confidence, correct, num_bins=10)
    np.testing.assert_allclose(found, 0.20253, rtol=1e-5)
    found = ERRORS["adaptive"](confidence, correct, num_bins=5)
    np.testing.assert_allclose(found, 0.1785947, rtol=1e-5)
    np.testing.assert_allclose(brier(p, labels), 0.6525291, rtol=1e-5)


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("num_bins", [1, 4, 15, 80])
def test_errors_match_the_definition(name, num_bins):
    _, _, confidence, correct = draw()
    confidence = np.round(confidence, 1)  # ties, and many on the edges
    expected = from_the_definition(name, confidence, correct, num_bins)
    found = ERRORS[name](confidence, correct, num_bins=num_bins)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ERRORS)
def test_absent_rows_are_deleted_and_none_at_all_gives_0(name):
    _, _, confidence, correct = draw()
    where = np.arange(50) % 5 > 0
    spoiled = np.where(where, confidence, np.nan)
    expected = ERRORS[name](confidence[where], correct[where])
    found = ERRORS[name](spoiled, correct, where=where)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert ERRORS[name](spoiled, correct, where=np.zeros(50, bool)) == 0


def test_by_hand():
    confidence, correct = np.array([0.0, 0.5, 0.75, 1.0]), np.array([0, 1, 0, 1], bool)
    bins = jax.jit(partial(metrics.reliability, num_bins=2))(confidence, correct)
    np.testing.assert_array_equal(bins.count, [2, 2])  # 0.5 ends the first
    np.testing.assert_allclose(bins.confidence, [0.25, 0.875])
    np.testing.assert_allclose(bins.accuracy, [0.5, 0.5])
    assert ERRORS["expected"](confidence, correct, num_bins=2) == 0.3125
    assert ERRORS["maximum"](confidence, correct, num_bins=2) == 0.375
    adaptive = partial(metrics.adaptive_reliability, num_bins=3)
    bins = jax.jit(adaptive)(confidence, correct)
    np.testing.assert_array_equal(bins.count, [1, 1, 2])
    found = float(brier(np.eye(3), np.array([0, 1, 1])))
    assert found == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ["expected", "adaptive"])
def test_true_probabilities_are_calibrated_up_to_the_floor(name):
    rng = np.random.default_rng(0)
    p = rng.uniform(size=20_000)
    found = ERRORS[name](p, rng.uniform(size=20_000) < p)
    assert found < 0.4 * np.sqrt(15 / 20_000)
    assert ERRORS[name](p**2, rng.uniform(size=20_000) < p) > 0.1


def test_what_cannot_be_measured():
    with pytest.raises(ValueError, match=r"confidence in \[0, 1\]; got nan in row 1"):
        metrics.reliability(np.array([0.5, np.nan]), np.ones(2, bool))
    with pytest.raises(ValueError, match=r"confidence in \[0, 1\]; got 3.0 in row 0"):
        metrics.expected_calibration_error(np.array([3.0]), np.ones(1, bool))
    with pytest.raises(TypeError, match="reliability: expected correct of floats"):
        metrics.reliability(np.ones(2), np.ones(2, int))
    traced = jax.jit(metrics.adaptive_calibration_error)
    where = np.array([True, True, False])
    assert np.isnan(traced(np.array([0.5, np.nan, 1.0]), np.ones(3, bool), where=where))
