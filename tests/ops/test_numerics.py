import functools

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
    x = np.array([-30.0, -3.0, -1e-6, 0.0, 1e-6, 3.0, 30.0], "f")
    far = np.array([31.0, 100.0, 1e4], "f")
    tangent = np.exp(30.0) * (1 + far - 30)
    exp, expm1 = jax.jit(numerics.bounded_exp), jax.jit(numerics.bounded_expm1)
    np.testing.assert_allclose(exp(x), np.exp(x), rtol=1e-6)
    np.testing.assert_allclose(expm1(x), np.expm1(x), rtol=1e-6)
    for function in (exp, expm1):
        np.testing.assert_allclose(function(far), tangent, rtol=1e-6)
        slope = jax.jit(jax.vmap(jax.grad(function)))(far)
        np.testing.assert_allclose(slope, np.exp(30.0), rtol=1e-6)
    np.testing.assert_allclose(np.multiply(exp(-far), exp(far)), 1.0, rtol=1e-6)
    slope = jax.jit(jax.vmap(jax.grad(exp)))(-far)
    assert (np.asarray(slope) > 0).all()


def test_l2_normalize_has_unit_length_and_a_gradient_at_zero():
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    found = jax.jit(numerics.l2_normalize)(x)
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]], rtol=1e-6)
    pull = jax.grad(lambda x: numerics.l2_normalize(x).sum())
    assert np.isfinite(jax.jit(pull)(x)).all()


def normalized(x):
    """In float64, by numpy."""
    x = np.asarray(x, np.float64)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("scale", [1e-36, 1e-30, 1e-6, 1.0, 1e6, 1e30, 1e36])
def test_l2_normalize_gives_unit_rows_at_any_scale(scale):
    x = np.random.default_rng(0).normal(size=(6, 9)).astype("f")
    x[1, :] = 0
    x[2, 1:] = 0
    found = np.asarray(jax.jit(numerics.l2_normalize)(x * np.float32(scale)))
    some = np.array([0, 2, 3, 4, 5])
    tolerance = 3e-7 if scale > 1e-35 else 1e-2  # entries below 1e-38 are lost
    np.testing.assert_allclose(found[some], normalized(x[some]), atol=tolerance)
    assert (found[1] == 0).all()
    pull = jax.jit(jax.grad(lambda x: numerics.l2_normalize(x)[:, 0].sum()))
    assert np.isfinite(pull(x * np.float32(scale))).all()


def test_l2_normalize_has_the_first_and_second_derivative_of_its_formula():
    x = np.array([1.5, -2.0, 0.5])
    unit, length = normalized(x), float(np.linalg.norm(x))
    away = np.eye(3) - np.outer(unit, unit)
    jacobian = jax.jit(jax.jacobian(numerics.l2_normalize))(x)
    np.testing.assert_allclose(jacobian, away / length, atol=1e-6)
    hessian = jax.jit(jax.hessian(numerics.l2_normalize))
    second = hessian(x)
    terms = [np.einsum("ij,k->ijk", away, unit), np.einsum("ik,j->ijk", away, unit)]
    expected = -(sum(terms) + np.einsum("i,jk->ijk", unit, away)) / length**2
    np.testing.assert_allclose(second, expected, atol=1e-6)
    assert np.isfinite(hessian(np.zeros(3))).all()


def test_l2_normalize_of_what_is_not_finite_is_nan():
    x = np.array([[1.0, np.nan], [np.inf, 1.0], [1.0, 0.0]], "f")
    found = np.asarray(jax.jit(numerics.l2_normalize)(x))
    assert np.isnan(found[:2]).any(axis=1).all()
    np.testing.assert_array_equal(found[2], [1, 0])


def test_argmax_never_takes_a_nan():
    nan = np.nan
    scores = jnp.array([[1.0, nan, 3.0], [nan, nan, nan], [2.0, 2.0, nan]])
    found = jax.jit(numerics.argmax)(scores)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, [2, -1, 0])


def test_class_ids_stay_apart():
    far = np.array([1, 1, 2**32 + 1, -(2**40)])
    found = np.asarray(numerics.class_ids(far))
    same = far[:, None] == far[None]
    np.testing.assert_array_equal(found[:, None] == found[None], same)
    np.testing.assert_array_equal(numerics.class_ids(np.array([5, 3])), [5, 3])


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_a_label_of_64_bits_is_no_class_that_it_is_narrowed_to(dtype):
    labels = np.array([1, 2**32 + 1, 2, 3], dtype)
    expected = [[0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]]
    one_hot = functools.partial(numerics.one_hot, labels, 3, jnp.float32)
    for call in (one_hot, jax.jit(one_hot)):  # labels of numpy within a program
        np.testing.assert_array_equal(call(), expected)
    few = jnp.array([1, -1, 2, 3])
    found = jax.jit(lambda x: numerics.one_hot(x, 3))(few)
    np.testing.assert_array_equal(found, expected)


def test_classes_of_64_bits_equal_themselves_alone():
    far, near = np.array([1, 2**32 + 1]), np.array([1, 1])
    same = numerics.same_class
    for a, b in [(far, far), (near, near), (jnp.array(near), jnp.array(near))]:
        assert np.asarray(same(a, b)).all()
    for b in (near, jnp.array(near)):
        np.testing.assert_array_equal(same(far, b), [True, False])
        np.testing.assert_array_equal(jax.jit(lambda b: same(far, b))(b), [True, False])
        np.testing.assert_array_equal(jax.jit(lambda b: same(b, far))(b), [True, False])


def test_pairwise_dot_takes_rows_with_rows():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    expected = [[row @ other for other in b[:2]] for row in a]
    np.testing.assert_allclose(numerics.pairwise_dot(a, b[:2]), expected, rtol=1e-5)


@pytest.mark.parametrize("dim", [3, numerics.WIDE])
def test_products_of_rows_with_themselves_have_the_derivatives_of_any(dim):
    a, weights = np.random.default_rng(0).normal(size=(2, 5, dim))
    weights = weights @ weights.T + np.arange(5)[None]  # not symmetric

    def alone(a):
        return jnp.sum(weights * numerics.pairwise_dot(a, a) ** 2)

    def apart(a):
        return jnp.sum(weights * numerics.pairwise_dot(a, 1 * a) ** 2)

    def derivatives(f):
        along = jax.jvp(jax.grad(f), (a,), (np.cos(a),))  # a second one, forward
        return f(a), *along

    with jax.enable_x64():
        for found, expected in zip(derivatives(alone), derivatives(apart), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9)
        products = [
            str(jax.make_jaxpr(jax.grad(f))(a)).count("dot_general")
            for f in (alone, apart)
        ]
    assert products == [2 if dim == numerics.WIDE else 3, 3]
