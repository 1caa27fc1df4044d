"""Losses of rare and of wrong labels: loops, independent values, limits."""

import math
from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses

COUNTS = np.array([100, 20, 5])
LABELS = np.array([0, 1, 2, 0, 0])
logit_adjusted, ldam = jax.jit(losses.logit_adjusted), jax.jit(losses.ldam)
focal_binary = jax.jit(losses.focal_binary, static_argnames="alpha")
generalized = jax.jit(losses.generalized_cross_entropy, static_argnames="power")
gaussian_affinity = jax.jit(losses.gaussian_affinity)
cross_entropy = jax.jit(losses.cross_entropy)


def draw():
    return np.random.default_rng(68).normal(size=(5, 3))


def surprise(row, label):
    return math.log(sum(math.exp(v - row[label]) for v in row))


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_logit_adjusted_matches_the_paper(strength):
    total = sum(
        surprise([v + strength * math.log(n / 125) for v, n in zip(row, COUNTS)], y)
        for row, y in zip(draw(), LABELS)
    )
    found = logit_adjusted(draw(), LABELS, COUNTS, strength=strength)
    np.testing.assert_allclose(found, total / 5, rtol=1e-5)


@pytest.mark.parametrize(("margin", "scale"), [(0.5, 30.0), (0.2, 3.0)])
def test_ldam_matches_the_paper(margin, scale):
    total = 0.0
    for row, y in zip(draw() / 5, LABELS):
        row = row.copy()
        row[y] -= margin * (5 / COUNTS[y]) ** 0.25
        total += surprise(scale * row, y)
    found = ldam(draw() / 5, LABELS, COUNTS, margin=margin, scale=scale)
    np.testing.assert_allclose(found, total / 5, rtol=1e-5)


def test_rare_labels_have_the_values_of_an_independent_program():
    found = logit_adjusted(draw(), LABELS, COUNTS)
    np.testing.assert_allclose(found, 1.203881, rtol=1e-5)
    found = ldam(draw() / 5, LABELS, COUNTS)
    np.testing.assert_allclose(found, 8.766167, rtol=1e-5)


def test_rare_labels_by_hand():
    """The rarest class has the whole margin, and shares are the loss of no logits."""
    zeros = np.zeros((1, 2))
    found = ldam(zeros, np.array([1]), np.array([16, 1]), margin=0.5, scale=2.0)
    np.testing.assert_allclose(found, math.log(1 + math.e), rtol=1e-6)
    found = ldam(zeros, np.array([0]), np.array([16, 1]), margin=0.5, scale=2.0)
    np.testing.assert_allclose(found, math.log(1 + math.exp(0.5)), rtol=1e-6)
    found = logit_adjusted(zeros, np.array([1]), np.array([3, 1]))
    np.testing.assert_allclose(found, math.log(4), rtol=1e-6)


def test_equal_counts_are_cross_entropy():
    equal, plain = np.array([7, 7, 7]), cross_entropy(draw(), LABELS)
    np.testing.assert_allclose(logit_adjusted(draw(), LABELS, equal), plain, rtol=1e-6)
    found = ldam(draw(), LABELS, COUNTS, margin=0.0, scale=1.0)
    np.testing.assert_allclose(found, plain, rtol=1e-6)
    with pytest.raises(ValueError, match=r"ldam: expected counts of shape \(3,\)"):
        losses.ldam(draw(), LABELS, COUNTS[:2])


@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_binary_matches_the_paper(alpha, gamma):
    logits = 2 * np.random.default_rng(5).normal(size=8)
    targets, total = np.arange(8) % 2 == 1, 0.0
    for z, target in zip(logits, targets):
        p = 1 / (1 + math.exp(-z if target else z))
        weight = 1 if alpha is None else alpha if target else 1 - alpha
        total -= weight * (1 - p) ** gamma * math.log(p)
    found = focal_binary(logits, targets, gamma=gamma, alpha=alpha)
    np.testing.assert_allclose(found, total / 8, rtol=1e-5)
    printed = {0.0: 1.092319, 2.0: 0.7203759}
    if alpha is None and gamma in printed:
        np.testing.assert_allclose(found, printed[gamma], rtol=1e-5)


def test_focal_binary_of_zeros_by_hand_and_of_numbers_for_targets():
    targets = np.arange(8) % 2 == 1
    found = focal_binary(np.zeros(8), targets)
    np.testing.assert_allclose(found, math.log(2) / 4, rtol=1e-6)
    with pytest.raises(TypeError, match="focal_binary: expected targets bool; got int"):
        losses.focal_binary(np.zeros(8), targets.astype(int))
    with pytest.raises(ValueError, match=r"focal_binary: expected alpha in \[0, 1\]"):
        losses.focal_binary(np.zeros(8), targets, alpha=3.0)


def drawn_for_noise():
    rng = np.random.default_rng(62)
    rng.normal(size=(2, 4, 3))
    logits, _, x = (rng.normal(size=shape) for shape in ((4, 5), (4, 5), (3, 2)))
    return logits, x


@pytest.mark.parametrize("power", [0.1, 0.7, 1.0])
def test_generalized_cross_entropy_matches_the_paper(power):
    logits, _ = drawn_for_noise()
    labels = np.arange(4)
    p = [math.exp(-surprise(row, y)) for row, y in zip(logits, labels)]
    expected = np.mean([(1 - v**power) / power for v in p])
    found = generalized(logits, labels, power=power)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    if power == 0.7:
        np.testing.assert_allclose(found, 1.186057, rtol=1e-5)


def test_generalized_cross_entropy_from_the_error_to_cross_entropy():
    logits, _ = drawn_for_noise()
    labels = np.arange(4)
    near = generalized(logits, labels, power=1e-4)
    np.testing.assert_allclose(near, cross_entropy(logits, labels), rtol=1e-3)
    by_hand = generalized(np.zeros((2, 4)), np.array([0, 3]), power=0.5)
    np.testing.assert_allclose(by_hand, 1.0, rtol=1e-6)  # (1 - 1/2) / (1/2)
    with pytest.raises(ValueError, match="expected power > 0; got 0"):
        losses.generalized_cross_entropy(logits, labels, power=0.0)


def affinity_by_loops(x, labels, means, covariances):
    total = 0.0
    for row, y in zip(x, labels):
        near = []
        for mean, covariance in zip(means, covariances):
            away = row - mean
            square = away @ np.linalg.inv(covariance + 0.01 * np.eye(len(row))) @ away
            near.append(math.exp(-square / 2))
        others = [a for c, a in enumerate(near) if c != y]
        total += np.mean(others) - near[y]
    return total / len(x)


def test_gaussian_affinity_matches_loops_and_an_independent_program():
    _, x = drawn_for_noise()
    means = np.array([[0.0, 0], [1, 1]])
    covariances = np.array([np.eye(2), [[2, 0.5], [0.5, 1]]])
    labels = np.array([0, 1, 1])
    found = gaussian_affinity(x, labels, means, covariances)
    for expected in (affinity_by_loops(x, labels, means, covariances), 0.2176667):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    three = np.concatenate([means, [[-1, 0.5]]])
    wide = np.concatenate([covariances, [3 * np.eye(2)]])
    found = gaussian_affinity(x, labels, three, wide)
    expected = affinity_by_loops(x, labels, three, wide)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    where = np.array([True, True, False])
    found = gaussian_affinity(x, labels, three, wide, class_where=where)
    np.testing.assert_allclose(found, 0.2176667, rtol=1e-5)


def test_gaussian_affinity_of_rows_at_their_means_by_hand():
    means, eyes = np.array([[0.0, 0], [30, 0]]), np.array([np.eye(2)] * 2)
    found = gaussian_affinity(means, np.array([0, 1]), means, eyes)
    np.testing.assert_allclose(found, -1, rtol=1e-6)
    loss = partial(losses.gaussian_affinity, labels=np.array([0, 1]))
    gradient = jax.jit(jax.grad(lambda m: loss(means, means=m, covariances=eyes)))
    assert not gradient(means + 0.1).any()
    with pytest.raises(ValueError, match=r"covariances of shape \(2, 2, 2\)"):
        losses.gaussian_affinity(means, np.array([0, 1]), means, eyes[:1])
