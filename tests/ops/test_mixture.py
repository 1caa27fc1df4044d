"""Mixtures against sums over components, and their samples."""

import math

import jax
import numpy as np
import pytest

from repr_jax.ops import gaussian, laplace, mixture
from repr_jax.ops.mixture import Mixture

log_prob = jax.jit(mixture.log_prob, static_argnums=2)
sample = jax.jit(mixture.sample, static_argnums=2)


def draw(shape):
    rng = np.random.default_rng(0)
    mean, log_var = rng.normal(size=(2, *shape)).astype("f")
    logits = rng.normal(size=shape[:-1]).astype("f")
    return Mixture(mean, log_var, logits)


def weights(logits):
    weights = np.exp(np.float64(logits))
    return weights / weights.sum(axis=0)


@pytest.mark.parametrize("distribution", [gaussian, laplace])
def test_density_and_responsibilities_are_sums_over_components(distribution):
    z = np.random.default_rng(1).normal(size=(5, 3, 2)).astype("f")  # [sample, batch]
    shared, by_row = draw((4, 2)), draw((4, 3, 2))
    by_row.logits[1, 0] = -np.inf
    for one in (shared, by_row):
        share = weights(one.logits).reshape(4, 1, -1)
        alone = jax.jit(distribution.log_prob)
        log_q = [alone(z, m, v) for m, v in zip(one.mean, one.log_var)]
        joint = share * np.exp(np.float64(log_q))  # [component, sample, batch]
        actual = log_prob(one, z, distribution)
        np.testing.assert_allclose(actual, np.log(joint.sum(axis=0)), rtol=1e-5)
        shares = jax.jit(mixture.responsibilities, static_argnums=2)
        found = np.asarray(shares(one, z, distribution))
        np.testing.assert_allclose(
            found, joint / joint.sum(axis=0), rtol=1e-4, atol=1e-7
        )
    assert (found[1, :, 0] == 0).all()
    expected = (weights(by_row.logits)[..., None] * by_row.mean).sum(axis=0)
    np.testing.assert_allclose(jax.jit(mixture.mean)(by_row), expected, rtol=1e-5)


def test_a_mixture_is_nearer_the_prior_than_its_components_are():
    """N(-2, 1) and N(2, 1): KL 1.3673 for 2 on average, at most log 2 less."""
    z = np.linspace(-14, 14, 28_001).astype("f")[:, None]
    both = Mixture(np.array([[-2.0], [2.0]], "f"), np.zeros((2, 1), "f"), np.zeros(2))
    log_q = np.float64(log_prob(both, z))
    log_p = np.float64(jax.jit(gaussian.log_prob)(z))
    kl = np.sum(np.exp(log_q) * (log_q - log_p)) * 1e-3
    np.testing.assert_allclose(kl, 1.367280, atol=1e-5)
    average = np.mean(jax.jit(gaussian.kl)(both.mean, both.log_var))
    np.testing.assert_allclose(average, 2.0, rtol=1e-6)
    assert 0 < average - kl < math.log(2)


def test_samples_are_stratified_over_the_components():
    """Of 10 samples of a row, 3 or 4 of each of three; one component has none."""
    far = 100.0 * np.arange(4, dtype="f")[:, None, None] * np.ones((4, 50, 1), "f")
    logits = np.zeros((4, 50), "f")
    logits[2] = -np.inf
    keys = jax.random.split(jax.random.key(0), 50)
    z = sample(keys, Mixture(far, 0 * far, logits), 10)
    component = np.round(np.asarray(z)[..., 0] / 100).astype(int)  # [10, 50]
    counts = np.stack([(component == n).sum(axis=0) for n in range(4)])
    assert (counts[2] == 0).all()
    assert set(counts[[0, 1, 3]].ravel()) == {3, 4}


def test_fewer_samples_than_components_are_of_each_alike():
    rows = 6_000
    far = 100.0 * np.arange(5, dtype="f")[:, None]
    one = Mixture(far, 0 * far, np.log(np.array([1, 2, 3, 2, 2], "f")))
    z = sample(jax.random.split(jax.random.key(0), rows), one, 2)
    component = np.round(np.asarray(z)[..., 0] / 100).astype(int)
    for n, share in enumerate([0.1, 0.2, 0.3, 0.2, 0.2]):
        found = np.mean(component == n)
        assert abs(found - share) < 4 * math.sqrt(share * (1 - share) / rows)


def test_moments_of_samples():
    one = draw((3, 2))
    z = np.asarray(sample(jax.random.split(jax.random.key(0), 200), one, 300))
    share, variance = weights(one.logits)[:, None], np.exp(np.float64(one.log_var))
    mean = (share * one.mean).sum(axis=0)
    square = (share * (variance + np.float64(one.mean) ** 2)).sum(axis=0)
    deviation = z.std(axis=(0, 1)) / math.sqrt(z[..., 0].size)
    assert (abs(z.mean(axis=(0, 1)) - mean) < 4 * deviation).all()
    np.testing.assert_allclose((z**2).mean(axis=(0, 1)), square, rtol=0.05)


def test_a_row_without_a_component_has_log_density_0_and_no_gradient():
    one = draw((4, 3, 2))
    one.logits[:, 1] = -np.inf
    z = np.random.default_rng(1).normal(size=(3, 2)).astype("f")

    def total(mean):
        return mixture.log_prob(one._replace(mean=mean), z).sum()

    values = np.asarray(log_prob(one, z))
    assert values[1] == 0 and (values[::2] != 0).all()
    gradient = np.asarray(jax.jit(jax.grad(total))(one.mean))
    assert np.isfinite(gradient).all() and (gradient[:, 1] == 0).all()
