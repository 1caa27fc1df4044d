"""Canonical correlations: eigenvectors in float64, by hand, invariances."""

import jax
import numpy as np
import pytest

from repr_jax import losses

deep_cca = jax.jit(losses.deep_cca)

RIDGE = 1e-3


def draw(rows=40, dim=3, seed=0):
    """Two views with something in common."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(rows, dim))
    a, b = (shared @ rng.normal(size=(dim, dim)) for _ in range(2))
    return np.float32(a), np.float32(b + rng.normal(size=b.shape))


def from_the_paper(a, b, ridge):
    """Symmetric inverse roots of the covariances; the trace norm of what is left."""

    def centered(x):
        x = np.asarray(x, np.float64)
        return x - x.mean(axis=0)

    def inverse_root(x):
        s = x.T @ x / len(x)
        s = s + ridge * np.trace(s) / len(s) * np.eye(len(s))
        values, vectors = np.linalg.eigh(s)
        return vectors @ np.diag(values**-0.5) @ vectors.T

    a, b = centered(a), centered(b)
    t = inverse_root(a) @ (a.T @ b / len(a)) @ inverse_root(b)
    return -np.sum(np.sqrt(np.maximum(np.linalg.eigvalsh(t.T @ t), 0)))


@pytest.mark.parametrize("ridge", [1e-4, 1e-2, 0.5])
def test_deep_cca_matches_the_paper(ridge):
    a, b = draw()
    actual = jax.jit(losses.deep_cca)(a, b, ridge=ridge)
    np.testing.assert_allclose(actual, from_the_paper(a, b, ridge), rtol=1e-4)


def test_gradient_is_that_of_differences():
    a, b = draw(rows=12, dim=2)
    gradient = jax.jit(jax.grad(losses.deep_cca))(a, b, ridge=RIDGE)
    for row, column in ((0, 0), (5, 1)):
        step = np.zeros_like(a, np.float64)
        step[row, column] = 1e-5
        values = [from_the_paper(a + s * step, b, RIDGE) for s in (1, -1)]
        expected = (values[0] - values[1]) / 2e-5
        np.testing.assert_allclose(gradient[row, column], expected, rtol=1e-3)


def test_equal_and_unrelated_views_by_hand():
    """Uncorrelated features of variance 1: 1 / (1 + ridge) for each of the three."""
    signs = np.array([[i, j, i * j] for i in (1, -1) for j in (1, -1)], "f")
    equal = deep_cca(signs, signs, ridge=RIDGE)
    np.testing.assert_allclose(equal, -3 / (1 + RIDGE), rtol=1e-5)
    one = np.array([[1], [1], [-1], [-1]], "f")
    other = np.array([[1], [-1], [1], [-1]], "f")
    np.testing.assert_allclose(deep_cca(one, other), 0, atol=1e-6)


def test_linear_maps_of_a_view_hardly_change_it():
    a, b = draw()
    turned = a @ np.random.default_rng(3).normal(size=(3, 3)).astype("f") + 5
    values = [deep_cca(x, b, ridge=1e-6) for x in (a, turned)]
    np.testing.assert_allclose(*values, rtol=1e-3)
    scaled = deep_cca(1e3 * a, b, ridge=0.1)  # the ridge grows with them
    np.testing.assert_allclose(scaled, deep_cca(a, b, ridge=0.1), rtol=1e-4)


def test_what_it_refuses():
    with pytest.raises(ValueError, match="deep_cca: expected one shape of rank 2; got"):
        losses.deep_cca(np.zeros((3, 2), "f"), np.zeros((3, 1), "f"))
    with pytest.raises(ValueError, match="deep_cca: expected ridge > 0; got 0"):
        losses.deep_cca(np.zeros((3, 2), "f"), np.zeros((3, 2), "f"), ridge=0.0)


@pytest.mark.parametrize("scale", [1e-6, 1e-18, 1e20])
def test_any_scale_has_the_value_and_the_gradient_of_scale_1(scale):
    a, b = draw()
    compiled = jax.jit(jax.value_and_grad(losses.deep_cca))
    (expected, gradient), (found, scaled) = compiled(a, b), compiled(a * scale, b)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    if scale < 1:  # of 1e20 it is too small for float32
        np.testing.assert_allclose(scaled * scale, gradient, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(deep_cca(a, 2000 + b), expected, rtol=1e-4)
