"""Linear operators against the matrices that they stand for."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.ops import measurement

KNOWN = np.random.default_rng(0).uniform(size=(4, 6)) < 0.5
OPERATORS = {
    "pool_2": (measurement.average_pool(2), (4, 6, 2)),
    "pool_4": (measurement.average_pool(4), (4, 8, 1)),
    "pool_1": (measurement.average_pool(1), (3, 2, 1)),
    "inpaint": (measurement.inpaint(KNOWN), (4, 6, 2)),
    "colorize": (measurement.colorize(), (2, 3, 3)),
    "dense": (measurement.dense(np.random.default_rng(1).normal(size=(3, 5))), (5,)),
    "deficient": (measurement.dense(np.outer([1, 2, 3], [1, -1, 2, 0])), (4,)),
}


def matrix_of(function, shape):
    """[outputs, inputs] of a linear function, a column an input."""
    columns = np.eye(int(np.prod(shape)), dtype="f").reshape(-1, *shape)
    out = np.asarray(jax.jit(function)(columns))
    return out.reshape(len(columns), -1).T.astype(np.float64)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_decomposition_is_that_of_the_matrix(name):
    operator, shape = OPERATORS[name]
    h = matrix_of(operator.forward, shape)
    v = matrix_of(operator.to_spectrum, shape).T
    y_shape = jax.eval_shape(operator.forward, jnp.zeros((1, *shape))).shape[1:]
    spectrum = jax.eval_shape(operator.to_spectrum, jnp.zeros((1, *shape))).shape[1:]
    np.testing.assert_allclose(v.T @ v, np.eye(len(v)), atol=1e-5)
    np.testing.assert_allclose(
        matrix_of(operator.from_spectrum, spectrum), v, atol=1e-6
    )
    singular = np.broadcast_to(operator.singular, spectrum).ravel()
    gram = v @ np.diag(singular.astype(float) ** 2) @ v.T
    np.testing.assert_allclose(h.T @ h, gram, atol=1e-5)
    pseudo = matrix_of(lambda y: measurement.pseudo_inverse(operator, y), y_shape)
    np.testing.assert_allclose(pseudo, np.linalg.pinv(h, rcond=1e-5), atol=1e-5)
    np.testing.assert_allclose((pseudo @ h) @ (pseudo @ h), pseudo @ h, atol=1e-5)


def test_average_pooling_is_means_with_one_singular_value():
    x = np.random.default_rng(0).normal(size=(2, 6, 9, 3)).astype("f")
    operator = measurement.average_pool(3)
    expected = x.reshape(2, 2, 3, 3, 3, 3).mean(axis=(2, 4))
    found = jax.jit(operator.forward)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(operator.singular[:, 0], [1 / 3, *[0] * 8])
    spread = jax.jit(partial(measurement.pseudo_inverse, operator))(expected)
    nearest = expected.repeat(3, axis=1).repeat(3, axis=2)
    np.testing.assert_allclose(spread, nearest, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OPERATORS)
def test_consistent_images_give_what_was_measured(name):
    operator, shape = OPERATORS[name]
    x, other = np.random.default_rng(0).normal(size=(2, 3, *shape)).astype("f")
    forward = jax.jit(operator.forward)
    y = forward(x)
    moved = jax.jit(partial(measurement.consistent, operator))(other, y)
    np.testing.assert_allclose(forward(moved), y, atol=1e-5)


def test_noise_is_of_the_row_and_its_key():
    operator = measurement.average_pool(2)
    x = np.zeros((500, 4, 4, 3), "f")

    @jax.jit
    def draws(key):
        keys, noisy = jax.random.split(key, 500), measurement.noisy
        whole = noisy(keys, operator, x, noise=0.5)
        return whole, noisy(keys[3:5], operator, x[3:5], noise=0.5)

    y, part = map(np.asarray, draws(jax.random.key(0)))
    assert y.shape == (500, 2, 2, 3) and np.std(y) == pytest.approx(0.5, rel=0.03)
    np.testing.assert_array_equal(part, y[3:5])


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected sides that are multiples of 3"):
        measurement.average_pool(3).forward(jnp.zeros((1, 6, 8, 1)))
    with pytest.raises(ValueError, match=r"expected images of \(4, 6\) pixels"):
        measurement.inpaint(KNOWN).forward(jnp.zeros((1, 6, 4, 1)))
    with pytest.raises(ValueError, match="expected three channels"):
        measurement.colorize().forward(jnp.zeros((1, 6, 4, 1)))
    with pytest.raises(TypeError, match="known"):
        measurement.inpaint(np.ones((2, 2)))
