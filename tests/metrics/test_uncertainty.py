from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import metrics

inverse_entropy = jax.jit(metrics.inverse_entropy)


def network():
    rng = np.random.default_rng(39)
    w1, b1 = rng.normal(size=(8, 2)), rng.normal(size=8)
    w2, b2 = rng.normal(size=(3, 8)), rng.normal(size=3)

    def apply(x, bias=1.0):
        hidden = jax.nn.relu(x @ w1.T + bias * b1[None])
        return hidden @ w2.T + bias * b2[None]

    return apply, rng.normal(size=2)[None]


def test_slopes_and_confidence_of_an_independent_program():
    apply, x = network()
    found = jax.jit(partial(metrics.ray_slopes, apply, scale=1000.0))(x)
    np.testing.assert_allclose(found, [[0.4965768, 0.1903322, -3.115646]], rtol=1e-5)
    sure = jax.jit(lambda x: jax.nn.softmax(apply(x)).max())
    confidence = [sure(a * x) for a in (1, 10, 1000)]
    np.testing.assert_allclose(confidence, [0.9342251, 0.5988047, 1], rtol=1e-5)


def test_slopes_are_those_of_the_last_polytope_and_of_a_homogeneous_net_everywhere():
    apply, x = network()
    slopes = jax.jit(metrics.ray_slopes, static_argnums=0, static_argnames="scale")
    far = slopes(apply, x, scale=1e4)
    rise = np.subtract(*map(jax.jit(apply), (2e4 * x, 1e4 * x)))
    np.testing.assert_allclose(far, rise / 1e4, rtol=1e-3, atol=1e-3)
    through = [slopes(partial(apply, bias=0.0), x, scale=a) for a in (0.1, 9.0)]
    np.testing.assert_allclose(*through, rtol=1e-5)


def test_inverse_entropy_of_an_independent_program():
    rng = np.random.default_rng(42)
    x, y = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    found = inverse_entropy(x, y)
    np.testing.assert_allclose(found, 1.686598, rtol=1e-6)
    signs = np.array([1, -1, 1, -1, -1])[:, None]
    np.testing.assert_allclose(inverse_entropy(signs * x, y), found, rtol=1e-6)
    same = np.ones((5, 3)) * np.arange(1, 6)[:, None]
    np.testing.assert_allclose(inverse_entropy(same, y), np.log(5), rtol=1e-6)


def test_inverse_entropy_of_absent_and_orthogonal_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 6, 4))
    where = np.arange(6) % 3 > 0
    spoiled = np.where(where[:, None], x, np.nan)
    found = inverse_entropy(spoiled, y, where=where)
    np.testing.assert_allclose(found, inverse_entropy(x[where], y[where]), rtol=1e-6)
    assert inverse_entropy(np.eye(4), np.eye(4)) == 0  # P = I
    with pytest.raises(ValueError, match="expected y with 6 rows"):
        metrics.inverse_entropy(x, y[:5])
