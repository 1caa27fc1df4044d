"""Draws on the sphere against Bessel functions, and an angle against its quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from repr_jax.ops import von_mises_fisher

ROWS, SAMPLES = 4, 5_000


def resultant(dim, k):
    """E w, the ratio of Bessel functions of orders dim / 2 and dim / 2 - 1."""
    return special.ive(dim / 2, k) / special.ive(dim / 2 - 1, k)


def slope(dim, k):
    """d E w / d k, which is the variance of w."""
    a = resultant(dim, k)
    return 1 - a**2 - (dim - 1) * a / k


def keys_of(rows):
    return jax.random.split(jax.random.key(0), rows)


CASES = [(2, 0.3), (2, 20.0), (3, 0.01), (3, 2.0), (3, 1e4), (8, 5.0), (64, 100.0)]
CASES += [(64, 3000.0), (64, 1e5), (512, 100.0)]


@pytest.mark.parametrize(("dim", "k"), CASES)
def test_mean_length_and_its_slope_are_those_of_bessel_functions(dim, k):
    mean = np.zeros((ROWS, dim), "f")
    mean[:, 0] = 3

    @jax.jit
    def cosines(keys, mean, k):
        def of_all(k):
            k = jnp.full(ROWS, k)
            return von_mises_fisher.sample(keys, mean, k, num_samples=SAMPLES)

        z, slopes = jax.jvp(of_all, (k,), (jnp.ones_like(k),))
        return z.reshape(-1, dim), slopes[..., 0].ravel()

    z, slopes = (np.asarray(a) for a in cosines(keys_of(ROWS), mean, jnp.float32(k)))
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-5)
    exact, variance = resultant(dim, k), slope(dim, k)
    error = 5 * (variance / len(z)) ** 0.5
    assert np.mean(z[:, 0]) == pytest.approx(exact, abs=error + 3e-6)
    error = 5 * float(np.std(slopes)) / len(z) ** 0.5
    assert np.mean(slopes) == pytest.approx(variance, abs=error + 0.01 * variance)
    others = z[:, 1:] / (1 - exact**2) ** 0.5
    np.testing.assert_allclose(others.mean(axis=0), 0, atol=5 / len(z) ** 0.5)


@pytest.mark.parametrize(("dim", "k"), [(3, 2.0), (64, 100.0)])
def test_quantiles_of_the_angle_are_those_of_fine_sums(dim, k):
    angles = np.linspace(0, np.pi, 400_001)
    with np.errstate(divide="ignore"):
        density = np.exp((dim - 2) * np.log(np.sin(angles)) + k * (np.cos(angles) - 1))
    below = np.cumsum(density) / density.sum()
    u = np.array([0.001, 0.1, 0.5, 0.9, 0.999], "f")
    expected = angles[np.searchsorted(below, u)]
    found = jax.jit(von_mises_fisher._angles, static_argnums=2)(u, np.float32(k), dim)
    np.testing.assert_allclose(found, expected, atol=2e-4)  # 1 / 30 of a cell


def test_draws_turn_with_the_mean_and_belong_to_their_row():
    mean = np.random.default_rng(0).normal(size=(5, 4)).astype("f")
    k = np.full(5, 50.0, "f")

    @jax.jit
    def draws(mean, k):
        sample, keys = von_mises_fisher.sample, keys_of(5)
        z = sample(keys, mean, k, num_samples=7)
        again = sample(keys[2:3], 9 * mean[2:3], k[2:3], num_samples=7)
        return z, again, sample(keys_of(1), mean[:1], k[:1], num_samples=4000)

    z, again, many = map(np.asarray, draws(mean, k))
    assert z.shape == (7, 5, 4)
    np.testing.assert_allclose(again[:, 0], z[:, 2], rtol=1e-4, atol=1e-6)
    direction = many.mean(axis=(0, 1))
    unit = mean[0] / np.linalg.norm(mean[0])
    np.testing.assert_allclose(direction, resultant(4, 50.0) * unit, atol=0.02)


def test_what_does_not_fit_is_refused():
    mean, k = jnp.ones((3, 4)), jnp.ones(3)
    with pytest.raises(ValueError, match=r"fisher\.sample: expected concentration of"):
        von_mises_fisher.sample(keys_of(3), mean, k[:2])
    with pytest.raises(ValueError, match="expected mean with 2 rows"):
        von_mises_fisher.sample(keys_of(2), mean, k)
    with pytest.raises(ValueError, match="expected dim >= 2"):
        von_mises_fisher.sample(keys_of(3), mean[:, :1], k)
    with pytest.raises(TypeError, match="expected concentration of floats"):
        von_mises_fisher.sample(keys_of(3), mean, jnp.ones(3, int))
