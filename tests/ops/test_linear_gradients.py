"""Gradients in a linear head against automatic differentiation, row by row."""

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import linear_gradients


def test_rows_are_what_differentiation_finds():
    rng = np.random.default_rng(0)
    features, weights = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    bias, labels = rng.normal(size=4), np.array([0, 3, 1, 1, 2])

    def loss(weights, h, label):
        return losses.cross_entropy((weights @ h + bias)[None], label[None])

    by_row = jax.jit(jax.vmap(jax.grad(loss), (None, 0, 0)))
    expected = by_row(weights, features, labels)
    logits = features @ weights.T + bias
    of_cross_entropy = jax.jit(linear_gradients.of_cross_entropy)
    found = of_cross_entropy(logits, features, labels)
    expected = np.reshape(expected, (5, 12))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    predicted = jax.jit(linear_gradients.of_predicted_class)(logits, features)
    expected = of_cross_entropy(logits, features, logits.argmax(axis=1))
    np.testing.assert_array_equal(predicted, expected)


def test_wrong_inputs_are_refused():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="features with 2 rows"):
        linear_gradients.of_cross_entropy(x, x[:1], np.zeros(2, int))
    with pytest.raises(TypeError, match="labels of integers"):
        linear_gradients.of_cross_entropy(x, x, np.zeros(2))
