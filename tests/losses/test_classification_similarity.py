"""SDM: loops, an oracle, and the cross-entropy that it starts as."""

import jax
import numpy as np
import pytest

from repr_jax import losses

sdm = jax.jit(losses.sdm)


def sdm_from_the_paper(logits, labels, q, d):
    total = 0.0
    for z, label, matches, close in zip(logits, labels, q, d):
        powers = [(2.0 + matches) ** (close * v) for v in z]
        total -= np.log(powers[label] / sum(powers)) / np.log(2 + matches)
    return total / len(labels)


def test_matches_the_paper():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(7, 4)).astype("f")
    labels, q = rng.integers(4, size=7), rng.integers(25, size=7)
    d = rng.uniform(size=7).astype("f")
    expected = sdm_from_the_paper(logits.astype(float), labels, q, d.astype(float))
    np.testing.assert_allclose(
        jax.jit(losses.sdm)(logits, labels, q, d), expected, rtol=1e-5
    )


def test_value_of_an_independent_program():
    logits = np.random.default_rng(40).normal(size=(2, 3))[:1]
    found = sdm(logits, np.array([1]), np.array([3]), np.array([0.7]))
    np.testing.assert_allclose(found, 0.7498006, rtol=1e-6)


def test_by_hand_and_without_gradient_to_what_is_measured():
    logits, labels = np.array([[5.0, -3.0]]), np.array([1])
    found = sdm(logits, labels, np.array([0]), np.array([0.0]))
    np.testing.assert_allclose(found, 1, rtol=1e-6)  # bit
    usual = sdm(logits, labels, np.array([np.e - 2]), np.array([1.0]))
    expected = jax.jit(losses.cross_entropy)(logits, labels)
    np.testing.assert_allclose(usual, expected, rtol=1e-6)
    slopes = jax.jit(jax.grad(losses.sdm, argnums=(2, 3)))(
        logits, labels, np.array([1.0]), np.array([0.5])
    )
    assert not any(np.any(g) for g in slopes)
    with pytest.raises(ValueError, match="expected closeness of shape"):
        losses.sdm(logits, labels, np.array([1.0]), np.array([0.5, 1]))
