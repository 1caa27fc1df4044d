"""Aligned and sharpened predictions against loops, and weights of classes."""

import jax
import numpy as np
import pytest

from repr_jax.ops import class_weights, pseudo_labels

align, sharpen = jax.jit(pseudo_labels.align), jax.jit(pseudo_labels.sharpen)
effective = jax.jit(class_weights.effective_number)
beta_by_count = jax.jit(class_weights.beta_by_count)
TARGET, RUNNING = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])


def draw():
    e = np.exp(2 * np.random.default_rng(7).normal(size=(4, 3)))
    return e / e.sum(axis=1, keepdims=True)


def over_sum(rows):
    return np.array([row / row.sum() for row in rows])


def test_aligned_and_sharpened_match_loops_and_an_independent_program():
    p = draw()
    found = np.asarray(align(p, TARGET, RUNNING))
    np.testing.assert_allclose(found, over_sum(p * TARGET / RUNNING), rtol=1e-5)
    np.testing.assert_allclose(found[0], [0.5502128, 0.3990334, 0.05075385], rtol=1e-5)
    np.testing.assert_allclose(sharpen(p, 0.5), over_sum(p**2), rtol=1e-5)
    found = np.asarray(sharpen(found, 0.5))
    np.testing.assert_allclose(found[0], [0.651689, 0.3427658, 0.005545199], rtol=1e-5)


def test_a_class_that_never_was_and_a_sure_row():
    p = np.array([[0.0, 0.5, 0.5]])
    found = align(p, TARGET, np.array([0.0, 0.5, 0.5]))
    np.testing.assert_allclose(found, [[0, 0.6, 0.4]], rtol=1e-6)
    found = sharpen(np.array([[0.0, 1, 0]]), 0.5)
    np.testing.assert_array_equal(found, [[0, 1, 0]])
    np.testing.assert_allclose(sharpen(draw(), 1.0), draw(), rtol=1e-5)
    gradient = jax.jit(jax.grad(lambda p: pseudo_labels.sharpen(p, 0.5)[0, 0]))
    assert not gradient(draw()).any()


def test_shares_of_each_class_are_wanted():
    with pytest.raises(ValueError, match=r"align: expected target of shape \(3,\)"):
        pseudo_labels.align(draw(), TARGET[:2], RUNNING)
    with pytest.raises(ValueError, match="sharpen: expected temperature > 0; got 0"):
        pseudo_labels.sharpen(draw(), 0.0)


def test_effective_numbers_match_loops_and_an_independent_program():
    counts = np.array([104, 34, 9])
    for beta in (np.full(3, 0.99), np.array([0.5, 0.9, 0.999])):
        weights = np.array([(1 - b) / (1 - b**n) for b, n in zip(beta, counts)])
        expected = 3 * weights / weights.sum()
        np.testing.assert_allclose(effective(counts, beta), expected, rtol=1e-4)
    printed = [0.2793961, 0.6258761, 2.094728]
    np.testing.assert_allclose(effective(counts, 0.99), printed, rtol=1e-5)
    beta = beta_by_count(counts)
    np.testing.assert_allclose(beta, [0.9999, 0.99 + 0.0099 * 25 / 95, 0.99], rtol=1e-6)
    printed = [0.1829906, 0.6277464, 2.189263]
    np.testing.assert_allclose(effective(counts, beta), printed, rtol=1e-5)


def test_effective_numbers_from_equal_to_inverse_counts():
    counts = np.array([4, 0, 1])
    np.testing.assert_allclose(effective(counts, 0.0), [1.5, 0, 1.5], rtol=1e-6)
    found = effective(counts, 0.99999)
    np.testing.assert_allclose(found, [0.6, 0, 2.4], rtol=1e-3)
    np.testing.assert_array_equal(effective(0 * counts, 0.9), 0)
    np.testing.assert_allclose(beta_by_count(np.array([5, 5])), 0.99, rtol=1e-6)
    with pytest.raises(ValueError, match="effective_number: expected 1 - beta > 0"):
        class_weights.effective_number(counts, 1.0)
