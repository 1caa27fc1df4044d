import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.ops import similarity

APART = (similarity.negative_squared_distance, similarity.negative_distance)
APART += (similarity.signal_to_noise,)
EVERY = (similarity.dot, similarity.cosine, *APART)


def from_the_definition(kind, a, b):
    a, b = a.astype(float), b.astype(float)
    if kind is similarity.negative_squared_distance:
        return -((a - b) ** 2).sum()
    if kind is similarity.negative_distance:
        return -np.linalg.norm(a - b)
    if kind is similarity.signal_to_noise:
        return -np.var(b - a) / np.var(a)
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return a @ b / (lengths if kind is similarity.cosine else 1)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_rows_and_pairs_match_the_definition(kind):
    a, b = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("f")
    expected = np.array([[from_the_definition(kind, x, y) for y in b[:4]] for x in a])
    a, b = (np.asarray(jax.jit(kind.prepare)(x)) for x in (a, b))
    pairs = jax.jit(kind.of_pairs)(a, b[:4])
    np.testing.assert_allclose(pairs, expected, rtol=2e-5, atol=1e-6)
    rows = jax.jit(kind.of_rows)(a[:4], b[:4])
    np.testing.assert_allclose(rows, np.diag(expected[:4]), rtol=2e-5, atol=1e-6)


def test_distances_are_right_far_from_the_origin_and_never_positive():
    a, b = np.random.default_rng(0).normal(size=(2, 64, 3)).astype("f")
    of_pairs = jax.jit(similarity.negative_squared_distance.of_pairs)
    near = of_pairs(a, b)
    far = of_pairs(a + 1024, b + 1024)
    np.testing.assert_allclose(far, near, rtol=1e-3, atol=2e-3)
    padded = np.concatenate([b + 1024, np.zeros((64, 3), "f")])  # and absent rows
    far = np.asarray(of_pairs(a + 1024, padded))
    np.testing.assert_allclose(far[:, :64], near, rtol=1e-3, atol=2e-3)
    padded[64] = np.nan  # makes its own column NaN and no other
    lost = np.asarray(of_pairs(a + 1024, padded))
    np.testing.assert_allclose(lost[:, :64], near, rtol=1e-3, atol=2e-3)
    assert np.isnan(lost[:, 64]).all()
    same = np.asarray(of_pairs(a, a))
    assert (same <= 0).all()
    np.testing.assert_allclose(np.diag(same), 0.0, atol=1e-5)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_zero_rows_have_a_finite_gradient(kind):
    zero = jnp.zeros((3, 2))
    for function in (kind.of_rows, kind.of_pairs):

        def total(a, function=function):
            return function(kind.prepare(a), kind.prepare(a)).sum()

        gradient = jax.jit(jax.grad(total))(zero)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("kind", APART, ids=lambda kind: kind.__name__)
def test_of_equal_rows_it_is_0_with_gradient_0(kind):
    def total(x):
        x = kind.prepare(x)
        return kind.of_rows(x, x).sum() + kind.of_pairs(x, x).sum()

    for x in (np.zeros((3, 2), "f"), np.ones((3, 2), "f")):
        value, gradient = jax.value_and_grad(total)(x)
        assert value == 0 and not np.any(gradient)


def test_signals_and_noise_ignore_a_shift_and_a_common_scale():
    kind = similarity.signal_to_noise
    a, b = np.random.default_rng(1).normal(size=(2, 5, 4)).astype("f")

    def found(a, b):
        return kind.of_pairs(kind.prepare(a), kind.prepare(b))

    np.testing.assert_allclose(found(a + 2, b - 1), found(a, b), rtol=1e-3)
    np.testing.assert_allclose(found(3 * a, 3 * b), found(a, b), rtol=1e-3)
    assert not np.allclose(found(a, b), found(b, a).T, rtol=0.1)  # the row asks
