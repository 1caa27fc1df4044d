"""Cross-entropy: loops, by hand, properties."""

import math

import jax
import numpy as np
import pytest
from scipy.special import digamma

from repr_jax import losses

cross_entropy, evidential_cross_entropy = map(
    jax.jit, (losses.cross_entropy, losses.evidential_cross_entropy)
)


def cross_entropy_from_the_paper(logits, labels, smoothing):
    total, classes = 0.0, logits.shape[1]
    for row, label in zip(logits.astype(np.float64), labels):
        share = [math.exp(x) / sum(math.exp(y) for y in row) for x in row]
        for c in range(classes):
            q = (1 - smoothing) * (c == label) + smoothing / classes
            total -= q * math.log(share[c])
    return total / len(labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_matches_the_paper(smoothing):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, size=(7, 4)).astype(np.float32)
    labels = rng.integers(4, size=7)
    actual = jax.jit(losses.cross_entropy)(logits, labels, label_smoothing=smoothing)
    expected = cross_entropy_from_the_paper(logits, labels, smoothing)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_soft_targets_are_weights_of_classes_and_have_no_gradient():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(5, 4)), rng.uniform(size=(5, 4))
    expected = 0.0
    for row, target in zip(logits, targets):
        share = np.exp(row) / np.exp(row).sum()
        expected -= sum(t * math.log(p) for t, p in zip(target, share)) / 5
    arguments = logits.astype("f"), targets.astype("f")
    found = jax.jit(losses.soft_cross_entropy)(*arguments)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    gradient = jax.jit(jax.grad(losses.soft_cross_entropy, argnums=1))(*arguments)
    np.testing.assert_array_equal(gradient, 0)
    hard = np.eye(4)[[0, 2, 1, 1, 3]]
    np.testing.assert_allclose(
        jax.jit(losses.soft_cross_entropy)(logits, hard),
        cross_entropy(logits, np.array([0, 2, 1, 1, 3])),
        rtol=1e-6,
    )


def test_equal_logits_cost_log_num_classes_and_certainty_nothing():
    labels = np.array([0, 2])
    value = cross_entropy(np.zeros((2, 5), "f"), labels)
    np.testing.assert_allclose(value, math.log(5), rtol=1e-6)
    sure = 1e4 * np.eye(5, dtype=np.float32)[labels]
    assert cross_entropy(sure, labels) == 0


def test_the_gradient_is_softmax_minus_one_hot():
    logits = np.array([[1.0, 2.0, 0.5]], np.float32)
    gradient = jax.jit(jax.grad(losses.cross_entropy))(logits, np.array([1]))
    expected = np.exp(logits) / np.exp(logits).sum() - np.eye(3)[[1]]
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_exchanged_arguments_by_hand():
    """Seven classes, 0.4 of the label: the published code's value, and the proper."""
    p = np.array([[0.4, *[0.1] * 6]])
    logits, labels = np.log(p).astype("f"), np.array([0])
    value = jax.jit(losses.swapped_cross_entropy)(logits, labels)
    np.testing.assert_allclose(value, 1.76542, atol=1e-5)
    np.testing.assert_allclose(cross_entropy(logits, labels), 0.91629, atol=1e-5)
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, size=(7, 4)).astype("f")
    labels = rng.integers(4, size=7)
    total = 0.0
    for row, label in zip(logits.astype(float), labels):
        share = np.exp(row) / np.sum(np.exp(row))
        code = np.eye(4)[label]
        log_q = code - np.log(np.sum(np.exp(code)))
        total -= np.sum(share * log_q)
    actual = jax.jit(losses.swapped_cross_entropy)(logits, labels)
    np.testing.assert_allclose(actual, total / 7, rtol=1e-5)


def test_other_inputs_are_refused():
    with pytest.raises(TypeError, match="labels of integers"):
        losses.cross_entropy(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(ValueError, match="labels of shape"):
        losses.cross_entropy(np.zeros((2, 3)), np.zeros(3, int))


def test_evidence_matches_the_paper_and_the_values_of_an_independent_program():
    evidence = np.exp(np.random.default_rng(26).normal(size=(2, 4)))
    each = [evidential_cross_entropy(row[None], np.zeros(1, int)) for row in evidence]
    np.testing.assert_allclose(each, [2.814582, 0.8068975], rtol=1e-5)
    labels, expected = np.array([2, 1]), 0.0
    for row, y in zip(evidence + 1, labels):
        expected += (digamma(row.sum()) - digamma(row[y])) / 2
    found = jax.jit(losses.evidential_cross_entropy)(evidence, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_without_evidence_it_costs_a_harmonic_sum_and_with_much_the_cross_entropy():
    none = evidential_cross_entropy(np.zeros((3, 4)), np.array([0, 1, 3]))
    np.testing.assert_allclose(none, 1 + 1 / 2 + 1 / 3, rtol=1e-5)
    shares = np.array([[0.7, 0.2, 0.1]])
    much = evidential_cross_entropy(1e6 * shares, np.array([1]))
    np.testing.assert_allclose(much, -math.log(0.2), rtol=1e-3)


def test_soft_cross_entropy_with_the_mean_of_several_members():
    """Distills them into one; an independent program's value."""
    rng = np.random.default_rng(56)
    e = np.exp(rng.normal(size=(3, 4, 3)))
    members, logits = e / e.sum(axis=-1, keepdims=True), rng.normal(size=(4, 3))
    loss = jax.jit(losses.soft_cross_entropy)
    found = loss(logits, members.mean(axis=0))
    np.testing.assert_allclose(found, 1.624125, rtol=1e-5)
    each = np.mean([loss(logits, member) for member in members])
    np.testing.assert_allclose(found, each, rtol=1e-5)
