"""Mixtures of examples and labels: loops, independent values, who wins."""

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import label_mixing

mixed = jax.jit(label_mixing.mixed)
rebalanced_share = jax.jit(label_mixing.rebalanced_share, static_argnames="ratio")


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_mixed_has_the_values_of_loops_and_of_an_independent_program():
    rng = np.random.default_rng(55)
    x = rng.normal(size=(5, 2))
    targets = np.concatenate([np.eye(3)[[0, 2]], softmax(rng.normal(size=(3, 3)))])
    logits, order = rng.normal(size=(2, 3)), np.array([3, 0, 4, 1, 2])
    found, labels = (np.asarray(a) for a in mixed(x, targets, order, share=0.7))
    for i, j in enumerate(order):
        np.testing.assert_allclose(found[i], 0.7 * x[i] + 0.3 * x[j], rtol=1e-5)
        expected = 0.7 * targets[i] + 0.3 * targets[j]
        np.testing.assert_allclose(labels[i], expected, rtol=1e-5)
    np.testing.assert_allclose(found[0], [1.039541, -2.433739], rtol=1e-5)
    printed = [0.7791765, 0.1922408, 0.02858276]
    np.testing.assert_allclose(labels[0], printed, rtol=1e-5)
    surprise = jax.jit(losses.soft_cross_entropy)
    np.testing.assert_allclose(surprise(logits, labels[:2]), 1.416374, rtol=1e-5)
    alone = mixed(x, targets, order, share=1.0)[1]
    plain = jax.jit(losses.cross_entropy)(logits, np.array([0, 2]))
    np.testing.assert_allclose(surprise(logits, alone[:2]), plain, rtol=1e-6)


def test_mixup_keeps_the_larger_part_and_the_sum_of_the_targets():
    x = np.eye(6, dtype="f")
    mixup = jax.jit(label_mixing.mixup)
    for seed in range(5):
        found, targets = mixup(jax.random.key(seed), x, x, alpha=0.75)
        assert (np.diagonal(found) >= 0.5).all()
        np.testing.assert_allclose(np.sum(targets, axis=1), 1, rtol=1e-5)
        np.testing.assert_array_equal(found, targets)
    with pytest.raises(ValueError, match="mixup: expected alpha > 0; got 0"):
        label_mixing.mixup(jax.random.key(0), x, x, alpha=0.0)


def test_a_part_of_the_joints_is_of_another_clip():
    clips = np.zeros((2, 4, 3)), np.ones((2, 4, 3))
    upper = np.array([True, False, False])
    found = np.asarray(label_mixing.splice(*clips, upper, axis=2))
    assert not found[..., 0].any()
    assert found[..., 1:].all()
    with pytest.raises(ValueError, match=r"splice: expected subset of shape \(4,\)"):
        label_mixing.splice(*clips, upper, axis=1)


def test_the_rarer_label_wins_as_in_an_independent_program():
    counts = np.array([104, 24, 9])
    pairs = np.array([[0, 2], [2, 0], [0, 1], [1, 2]])
    found = rebalanced_share(counts, *pairs.T, ratio=5.0)
    np.testing.assert_array_equal(found, [0, 1, 0.5, 0.5])
    plain = rebalanced_share(counts, *pairs.T, ratio=np.inf)
    np.testing.assert_array_equal(plain, 0.5)
    for strict in (2.0, 5.0):
        both = rebalanced_share(counts, *pairs.T, ratio=strict)
        both += rebalanced_share(counts, *pairs.T[::-1], ratio=strict)
        np.testing.assert_array_equal(both, 1)
