import jax
import numpy as np

from repr_jax.ops.planar import invertible, planar


def draw():
    rng = np.random.default_rng(10)
    return *(rng.normal(size=3) for _ in range(3)), rng.normal()


def test_values_of_an_independent_program():
    y, log_det = jax.jit(planar)(*draw())
    np.testing.assert_allclose(y, [-1.365729, -0.4807129, -0.9061162], rtol=1e-6)
    np.testing.assert_allclose(log_det, 0.002445627, rtol=1e-4)  # about log 1


def test_the_determinant_is_that_of_the_jacobian_and_rows_have_their_own_planes():
    rng = np.random.default_rng(0)
    z, u, w = rng.normal(size=(3, 5, 4))
    b = rng.normal(size=5)
    u = jax.jit(invertible)(u, w)
    jacobians = jax.jit(jax.vmap(jax.jacfwd(lambda *a: planar(*a)[0])))(z, u, w, b)
    expected = np.log(np.abs(np.linalg.det(np.asarray(jacobians))))
    _, log_det = jax.jit(planar)(z, u, w, b)
    np.testing.assert_allclose(log_det, expected, rtol=1e-4, atol=1e-5)


def test_the_new_u_is_never_folded():
    u, w = 5 * np.random.default_rng(0).normal(size=(2, 200, 3))
    found = np.asarray(jax.jit(invertible)(u, w))
    products = np.sum(found * w, axis=1)
    assert np.sum(u * w, axis=1).min() < -1 <= products.min() + 1e-4
    kept = jax.jit(invertible)(u, 0 * w)
    np.testing.assert_array_equal(kept, u.astype("f"))
