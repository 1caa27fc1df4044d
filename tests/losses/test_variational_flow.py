"""The KL of a bent posterior: loops, by hand, and without a flow."""

import jax
import numpy as np
from scipy.stats import norm

from repr_jax import losses

flow_kl = jax.jit(losses.flow_kl)


def test_matches_loops():
    rng = np.random.default_rng(0)
    z, bent, mean, log_var = rng.normal(size=(4, 5, 3))
    log_det = rng.normal(size=5)
    terms = [
        norm.logpdf(z[i], mean[i], np.exp(log_var[i] / 2)).sum()
        - log_det[i]
        - norm.logpdf(bent[i]).sum()
        for i in range(5)
    ]
    found = jax.jit(losses.flow_kl)(z, bent, mean, log_var, log_det)
    np.testing.assert_allclose(found, np.mean(terms), rtol=1e-5)


def test_by_hand_a_flow_that_undoes_the_posterior_has_none():
    z = np.random.default_rng(0).normal(size=(6, 2)) * 3 + 1
    mean, log_var = np.ones((6, 2)), np.full((6, 2), 2 * np.log(3))
    found = flow_kl(z, (z - 1) / 3, mean, log_var, np.full(6, -2 * np.log(3)))
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_without_a_flow_it_is_the_kl_in_expectation():
    rng = np.random.default_rng(0)
    mean, log_var = np.full((20_000, 1), 0.5), np.full((20_000, 1), -1.0)
    z = mean + np.exp(-0.5) * rng.normal(size=mean.shape)
    found = flow_kl(z, z, mean, log_var, np.zeros(20_000))
    expected = (np.exp(-1) + 0.25 - 1 + 1) / 2
    np.testing.assert_allclose(found, expected, atol=0.02)
