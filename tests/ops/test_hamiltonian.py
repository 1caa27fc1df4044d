"""Hamiltonian Monte Carlo against Gaussians, and products of affine flows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.ops import gaussian, hamiltonian
from tests.losses.multimodal_oracle import case

CHAINS = 1_000


@pytest.mark.parametrize(
    ("members", "mean", "precision"),
    [
        ((0, 1), (0.260464, -1.369852), ((8.034231, -1.982702), (-1.982702, 4.801408))),
        (
            (0, 1, 2),
            (-0.622368, -0.843831),
            ((21.773847, -3.601986), (-3.601986, 17.212282)),
        ),
    ],
)
def test_a_product_of_affine_flows_over_priors_has_its_moments(
    members, mean, precision
):
    """Figures of a linear model, row 0; from starts two standard deviations away."""
    o = case(0)

    def log_prob(z):
        total = (1 - len(members)) * gaussian.log_prob(z)
        for m in members:
            u = z @ jnp.float32(o.A[m]).T + jnp.float32(o.c[m])[None]
            pair = (jnp.float32(x[m, 0]) for x in (o.mean, o.lv - 1.5))
            total = total + gaussian.log_prob(u, *pair)
        return total

    chains = jax.jit(
        lambda key: hamiltonian.sample(
            jax.random.split(key, CHAINS),
            log_prob,
            jnp.full((CHAINS, 2), 1.0),
            num_warmup=40,
            num_steps=1,
        )
    )(jax.random.key(0))
    z = np.asarray(chains.samples[-1], np.float64)
    covariance = np.linalg.inv(precision)
    scale = np.sqrt(np.diag(covariance))
    assert (abs(z.mean(axis=0) - mean) < 5 * scale / CHAINS**0.5).all()
    np.testing.assert_allclose(np.cov(z.T), covariance, rtol=0.25, atol=0.01)
    assert 0.6 < chains.acceptance.mean() <= 1


def test_chains_are_of_their_row_alone_and_proposals_that_break_are_refused():
    """A density that is NaN beyond 1: no chain gets there."""

    def log_prob(z):
        outside = jnp.any(abs(z) > 1, axis=1)
        return jnp.where(outside, jnp.nan, -0.5 * jnp.sum(z**2, axis=1))

    @jax.jit
    def draw(keys, start):
        return hamiltonian.sample(
            keys, log_prob, start, num_warmup=5, num_steps=20, step_size=0.5
        ).samples

    keys, start = jax.random.split(jax.random.key(1), 4), np.zeros((4, 2), "f")
    samples = np.asarray(draw(keys, start))
    assert np.isfinite(samples).all() and (abs(samples) <= 1).all()
    assert np.ptp(samples, axis=0).min() > 0.1
    np.testing.assert_allclose(draw(keys[2:], start[2:]), samples[:, 2:], rtol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match=r"hamiltonian\.sample: .* num_steps"):
        hamiltonian.sample(None, None, None, num_steps=0)
