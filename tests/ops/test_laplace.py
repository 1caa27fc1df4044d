import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.ops import laplace
from repr_jax.ops.batch import row_keys

kl, log_prob = jax.jit(laplace.kl), jax.jit(laplace.log_prob)


def log_var_of(scale):
    """Variance 2 * scale^2."""
    return np.log(2 * np.square(np.asarray(scale, "f"))).astype("f")


def integrated(function, center):
    """Midpoint rule in float64, to 1e-6 for densities of scale about 1."""
    x = center + np.linspace(-40, 40, 400_001)
    return np.sum(function(x)) * (x[1] - x[0])


def density(x, mean, scale):
    return np.exp(-abs(x - mean) / scale) / (2 * scale)


@pytest.mark.parametrize(
    "mean, scale, prior_mean, prior_scale, expected",
    [(1, 1, 0, 1, 0.367879), (0, 0.5, 0, 1, 0.193147), (0.3, 0.7, 0.3, 0.7, 0.0)],
)
def test_kl_by_hand(mean, scale, prior_mean, prior_scale, expected):
    mean, prior_mean = np.full((1, 1), mean, "f"), np.full((1, 1), prior_mean, "f")
    scale, prior_scale = np.full((1, 1), scale, "f"), np.full((1, 1), prior_scale, "f")
    actual = kl(mean, log_var_of(scale), prior_mean, log_var_of(prior_scale))
    np.testing.assert_allclose(actual, [expected], atol=1e-6)


def test_kl_matches_its_integral():
    def integrand(x):
        q, p = density(x, 0.4, 0.8), density(x, -0.5, 1.3)
        return np.where(q > 0, q * np.log(np.maximum(q, 1e-300) / p), 0)

    expected = integrated(integrand, 0.4)
    mean, log_var = np.full((1, 1), 0.4, "f"), log_var_of([[0.8]])
    actual = kl(mean, log_var, np.full((1, 1), -0.5, "f"), log_var_of([[1.3]]))
    np.testing.assert_allclose(actual, [expected], rtol=1e-4)


def test_log_prob_matches_the_definition_and_defaults_to_variance_1():
    rng = np.random.default_rng(0)
    x, mean = rng.normal(size=(2, 5, 4)).astype("f")
    scale = rng.uniform(0.2, 3, size=(5, 4))
    expected = np.log(density(x.astype(float), mean, scale)).sum(-1)
    np.testing.assert_allclose(
        log_prob(x, mean, log_var_of(scale)), expected, rtol=1e-5
    )
    expected = np.log(density(x.astype(float), 0, np.sqrt(0.5))).sum(-1)
    np.testing.assert_allclose(log_prob(x), expected, rtol=1e-5)


def test_sample_has_the_moments():
    keys = row_keys(jax.random.key(0), np.ones(2, bool))
    mean, log_var = np.array([[1.0], [-2.0]], "f"), log_var_of([[2.0], [0.5]])
    z = np.asarray(laplace.sample(keys, mean, log_var, 40_000))
    assert z.shape == (40_000, 2, 1)
    np.testing.assert_allclose(z.var(axis=0), np.exp(log_var), rtol=0.06)
    assert (abs(z.mean(axis=0) - mean) < 5 * np.exp(log_var / 2) / 200).all()
    np.testing.assert_allclose(abs(z - mean).mean(axis=0), [[2.0], [0.5]], rtol=0.03)


@pytest.mark.parametrize("size", [0.0, 1e4, -1e4])
def test_finite_with_gradient_far_out(size):
    mean = np.full((3, 4), size, "f")
    keys = row_keys(jax.random.key(0), np.ones(3, bool))

    def everything(mean, log_var):
        z = laplace.sample(keys, mean, log_var)
        return jnp.sum(laplace.log_prob(z, mean, log_var) + laplace.kl(mean, log_var))

    both = jax.jit(jax.value_and_grad(everything, argnums=(0, 1)))
    value, gradient = both(mean, mean)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradient)
