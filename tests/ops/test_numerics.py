import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.ops import numerics


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_to_float_gives_float32(dtype):
    assert numerics.to_float(jnp.ones(2, dtype)).dtype == jnp.float32


def test_to_float_keeps_float64():
    with jax.enable_x64(True):
        assert numerics.to_float(np.ones(2)).dtype == jnp.float64


def test_bounded_exponentials_are_exact_up_to_the_limit_and_straight_beyond():
    x = jnp.array([-30.0, -3.0, -1e-6, 0.0, 1e-6, 3.0, 30.0])
    np.testing.assert_allclose(numerics.bounded_exp(x), np.exp(x), rtol=1e-6)
    np.testing.assert_allclose(numerics.bounded_expm1(x), np.expm1(x), rtol=1e-6)
    far = jnp.array([31.0, 100.0, 1e4])
    tangent = np.exp(30.0) * (1 + far - 30)
    for function in (numerics.bounded_exp, numerics.bounded_expm1):
        np.testing.assert_allclose(function(far), tangent, rtol=1e-6)
        slope = jax.vmap(jax.grad(function))(far)
        np.testing.assert_allclose(slope, np.exp(30.0), rtol=1e-6)
    product = numerics.bounded_exp(-far) * numerics.bounded_exp(far)
    np.testing.assert_allclose(product, 1.0, rtol=1e-6)
    assert (jax.vmap(jax.grad(numerics.bounded_exp))(-far) > 0).all()


def test_l2_normalize_has_unit_length_and_a_gradient_at_zero():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(
        numerics.l2_normalize(x), [[0.6, 0.8], [0, 0]], rtol=1e-6
    )
    gradient = jax.grad(lambda x: numerics.l2_normalize(x).sum())(x)
    assert np.isfinite(gradient).all()


def test_pairwise_dot_takes_rows_with_rows():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    expected = [[row @ other for other in b[:2]] for row in a]
    np.testing.assert_allclose(numerics.pairwise_dot(a, b[:2]), expected, rtol=1e-5)
