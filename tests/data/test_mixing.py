"""Mixings: against loops, invertible, and conditioned as the rule demands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.data import mixing


def mix_in_loops(weights, z):
    """W_L s(... s(W_1 z)), number by number in float64."""
    for layer, matrix in enumerate(weights):
        y = [
            sum(matrix[i, j] * z[j] for j in range(len(z))) for i in range(len(matrix))
        ]
        last = layer == len(weights) - 1
        z = [v if v >= 0 or last else 0.2 * v for v in y]
    return np.array(z)


@pytest.mark.parametrize(("dim", "num_layers"), [(3, 3), (5, 1), (4, 2)])
def test_mix_matches_loops(dim, num_layers):
    rng = np.random.default_rng(0)
    drawn = mixing.draw(rng, dim, num_layers=num_layers, pool=200, num_best=4)
    z = rng.normal(size=(6, dim)).astype(np.float32)
    expected = [mix_in_loops(drawn.weights, row.astype(np.float64)) for row in z]
    x = jax.jit(lambda z: mixing.mix(drawn, z))(z)
    assert x.dtype == jnp.float32
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-6)


def test_one_mixture_by_hand():
    two = np.array([[[1.0, 0.0], [0.0, -1.0]], [[2.0, 1.0], [0.0, 1.0]]])
    by_hand = mixing.Mixing(two, np.ones(2), 1.0)
    z = np.array([3.0, 5.0], "f")
    x = jax.jit(lambda z: mixing.mix(by_hand, z))(z)  # inner layer: 3, -5 * 0.2 = -1
    np.testing.assert_allclose(x, [5.0, -1.0], rtol=1e-6)
    np.testing.assert_allclose(mixing.unmix(by_hand, x), [3.0, 5.0], rtol=1e-6)


@pytest.mark.parametrize("dim", [6, 15])
def test_inverse_undoes_the_mixing(dim):
    drawn = mixing.of_seed((0, dim), dim)
    z = np.random.default_rng(1).normal(size=(500, dim)).astype(np.float32)
    mixed = jax.jit(lambda z: mixing.mix(drawn, z))(z)
    back = mixing.unmix(drawn, mixed)
    np.testing.assert_allclose(back, z, atol=1e-4)


def test_layers_are_among_the_best_of_the_pool():
    drawn = mixing.of_seed((3,), 9)
    assert drawn.weights.shape == (3, 9, 9)
    np.testing.assert_allclose(np.linalg.norm(drawn.weights, axis=1), 1.0)  # columns
    for matrix, condition in zip(drawn.weights, drawn.condition):
        np.testing.assert_allclose(np.linalg.cond(matrix), condition)
        assert condition < drawn.threshold
    assert len(set(drawn.condition)) == 3
    assert 4.0 < drawn.threshold < 5.0  # the best thousandth at this size: about 4.5


def test_threshold_leaves_exactly_the_best_below():
    class Fixed:
        """A generator that remembers what it drew."""

        def __init__(self):
            self.rng = np.random.default_rng(0)

        def uniform(self, low, high, size):
            self.pool = self.rng.uniform(low, high, size)
            return self.pool.copy()

        def permutation(self, n):
            return self.rng.permutation(n)

    rng = Fixed()
    drawn = mixing.draw(rng, 4, pool=300, num_best=7)
    scaled = rng.pool / np.sqrt(np.sum(rng.pool**2, axis=1, keepdims=True))
    conditions = [np.linalg.cond(matrix) for matrix in scaled]
    assert sum(c < drawn.threshold * (1 - 1e-12) for c in conditions) == 7


def test_orientation_is_kept():
    """det J has one sign everywhere, as slopes are positive: an invertible map."""
    drawn = mixing.of_seed((0,), 6)
    z = np.random.default_rng(0).normal(size=(1000, 6)).astype(np.float32)
    jacobian = jax.jit(jax.vmap(jax.jacobian(lambda z: mixing.mix(drawn, z))))(z)
    signs = np.sign(np.linalg.det(np.asarray(jacobian, np.float64)))
    assert np.all(signs == signs[0]) and signs[0] != 0


def test_a_seed_draws_the_same_and_another_does_not():
    again = mixing.draw(np.random.default_rng((3,)), 6)
    np.testing.assert_array_equal(mixing.of_seed((3,), 6).weights, again.weights)
    assert np.any(mixing.of_seed((4,), 6).weights != again.weights)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        (dict(dim=0), "dim >= 1; got 0"),
        (dict(dim=3, num_layers=5, num_best=4, pool=9), "num_layers <= num_best"),
        (dict(dim=3, num_best=9, pool=9), "num_best < pool; got 3, 9 and 9"),
    ],
)
def test_impossible_pools_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        mixing.draw(np.random.default_rng(0), **keywords)
