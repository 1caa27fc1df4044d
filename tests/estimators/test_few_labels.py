"""Fits of few labels and many rows: loops, independent values, two moons."""

from functools import partial

import jax
import numpy as np
import pytest

from repr_jax.estimators import kernel_ridge, low_density, spectral_kernel

fit_spectral = jax.jit(spectral_kernel.fit, static_argnames="transform")
fit_polynomial = jax.jit(spectral_kernel.fit_polynomial, static_argnames="weights")
identity = partial(spectral_kernel.power, exponent=1)
cube = partial(spectral_kernel.power, exponent=3)


def draw_spectral():
    rng = np.random.default_rng(54)
    x, queries = rng.normal(size=(8, 2)), rng.normal(size=(2, 2))
    y = np.zeros((8, 1))
    y[:3, 0] = 1, -1, 0.5
    return x, np.arange(8) < 3, y, queries


def spectral_from_the_paper(x, labeled, y, queries, transform):
    def kernel(a, b):
        return np.exp(-np.array([[((p - q) ** 2).sum() for q in b] for p in a]))

    values, vectors = np.linalg.eigh(kernel(x, x) / len(x))
    transformed = len(x) * (vectors * transform(values)) @ vectors.T
    mapping = (vectors * (transform(values) / values)) @ vectors.T
    system = transformed[np.ix_(labeled, labeled)] + 0.1 * np.eye(labeled.sum())
    alpha = np.linalg.solve(system, y[labeled])
    return kernel(queries, x) @ mapping[:, labeled] @ alpha


@pytest.mark.parametrize(
    ("transform", "host", "printed"),
    [
        (identity, lambda v: v, [0.2228216, 0.5977477]),
        (cube, lambda v: v**3, [0.07654882, 0.2850248]),
        (
            spectral_kernel.inverse_laplacian,
            lambda v: v / (1 - 0.9 / v.max() * v),
            [0.1999643, 0.6067345],
        ),
    ],
)
def test_spectral_kernels_match_the_paper(transform, host, printed):
    x, labeled, y, queries = draw_spectral()
    expected = spectral_from_the_paper(x, labeled, y, queries, host)
    fitted = fit_spectral(x, labeled, y, transform=transform)
    found = spectral_kernel.predict(fitted, queries)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(found, np.array(printed)[:, None], rtol=1e-4)


def test_the_identity_is_kernel_ridge_and_a_polynomial_needs_no_eigenvectors():
    x, labeled, y, queries = draw_spectral()
    ridge = kernel_ridge.fit(x[labeled], y[labeled], penalty=0.1)
    expected = kernel_ridge.predict(ridge, queries)
    fitted = fit_spectral(x, labeled, y, transform=identity)
    found = spectral_kernel.predict(fitted, queries)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    polynomial = fit_polynomial(x, labeled, y, weights=(0.0, 0.0, 1.0))
    expected = fit_spectral(x, labeled, y, transform=cube).coefficients
    np.testing.assert_allclose(polynomial.coefficients, expected, rtol=1e-3, atol=1e-5)


def moons(noise_dims=0, num=100):
    rng, t = np.random.default_rng(0), np.linspace(0, np.pi, num // 2)
    first = np.stack([np.cos(t), np.sin(t)], axis=1)
    x = np.concatenate([first, [1, 0.5] - first]) + 0.05 * rng.normal(size=(num, 2))
    x = np.concatenate([x, rng.normal(size=(num, noise_dims))], axis=1)
    return x, np.where(np.arange(num) < num // 2, 1, -1)


def test_the_inverse_laplacian_has_the_stated_eta():
    x, _, _, _ = draw_spectral()
    kernel = np.exp(-((x[:, None] - x[None]) ** 2).sum(axis=2))
    values = np.linalg.eigvalsh(kernel / len(x)).astype("f")
    found = np.asarray(jax.jit(spectral_kernel.inverse_laplacian)(values))
    eta = (1 / values - 1 / found)[values > 0.1]  # of s = l / (1 - eta l)
    np.testing.assert_allclose(eta, 2.501408, rtol=1e-4)


def test_a_steeper_spectrum_labels_two_moons_better():
    x, kinds = moons()
    labeled = np.isin(np.arange(100), [25, 75])
    accuracy = []
    for exponent in (1, 8):
        transform = partial(spectral_kernel.power, exponent=exponent)
        fitted = fit_spectral(
            x, labeled, kinds[:, None].astype(float), transform=transform, gamma=20.0
        )
        found = np.asarray(spectral_kernel.predict(fitted, x))[:, 0]
        accuracy.append((np.sign(found) == kinds).mean())
    assert accuracy[1] > 0.9 > 0.8 > accuracy[0]


def test_one_target_a_row_is_wanted():
    x, labeled, y, _ = draw_spectral()
    with pytest.raises(TypeError, match=r"spectral_kernel\.fit: expected labeled bool"):
        spectral_kernel.fit(x, labeled.astype(int), y, transform=identity)
    with pytest.raises(ValueError, match=r"expected y with 8 rows"):
        spectral_kernel.fit(x, labeled, y[:3], transform=identity)


def draw_separated():
    rng = np.random.default_rng(51)
    x = np.concatenate([rng.normal(size=(4, 3)), rng.normal(size=(6, 3))])
    labels = np.array([1, -1, 1, -1, 0, 0, 0, 0, 0, 0])
    return x, labels, np.array([0.5, -0.2, 0.1])


def test_low_density_has_the_values_of_loops_and_of_an_independent_program():
    x, labels, w = draw_separated()
    bias = low_density.balanced_bias(w, x, labels)
    expected = labels[:4].mean() - (x[4:] @ w).mean()
    for value in (expected, 0.2020331):
        np.testing.assert_allclose(bias, value, rtol=1e-5)
    total = w @ w / 2
    for row, y in zip(x, labels):
        f = row @ w + expected
        total += max(0, 1 - y * f) ** 2 if y else 0.1 * np.exp(-3 * f**2)
    objective = jax.jit(low_density.objective)
    found = objective(w, bias, x, labels, cost=1.0, unlabeled_cost=0.1)
    for value in (total, 7.553147):
        np.testing.assert_allclose(found, value, rtol=1e-5)


def test_low_density_descends_to_a_plane_between_two_clouds():
    """Labels alone, of rows beside the clouds' axis, would turn the plane."""
    rng = np.random.default_rng(0)
    kinds = np.where(np.arange(60) % 2, 1, -1)
    x = rng.normal(size=(60, 2)) * [0.3, 1] + np.outer(kinds, [1, 0]) + [5, 0]
    x[:2] = [4.2, -1], [5.8, 1]
    labels = np.where(np.arange(60) < 2, kinds, 0)
    fitted = jax.jit(low_density.fit)(x, labels)
    assert (np.sign(low_density.score(fitted, x)) == kinds).mean() > 0.98
    gradient = jax.jit(jax.grad(at_balance))(fitted.weights, x, labels)
    np.testing.assert_allclose(gradient, 0, atol=1e-2)
    with pytest.raises(ValueError, match=r"low_density\.fit: expected labels \+ 1 in"):
        low_density.fit(x, 3 * labels)


def at_balance(weights, x, labels):
    cost = 1 / x.var(axis=0).sum()
    bias = low_density.balanced_bias(weights, x, labels)
    costs = dict(cost=cost, unlabeled_cost=cost)
    return low_density.objective(weights, bias, x, labels, **costs)
