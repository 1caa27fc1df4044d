"""The bound of InfoNCE: by hand, and below the information of a Gaussian process."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses, metrics

RHO, LAG = 0.9, 3
info_nce_bound = jax.jit(metrics.info_nce_bound, static_argnames="num_candidates")


def gaussian_information(rho, lag):
    """Of x_t and x_{t + lag} of an autoregressive process, correlated by rho^lag."""
    return -0.5 * math.log(1 - rho ** (2 * lag))


@jax.jit
@jax.vmap
def loss_of_the_best_scores(first, later):
    """InfoNCE of the log density ratio, with which the bound is largest."""
    r = RHO**LAG
    gaps = later[None] - r * first[:, None]
    scores = 0.5 * (later[None] ** 2 - gaps**2 / (1 - r**2) - np.log(1 - r**2))
    return losses.cross_entropy(scores, np.arange(len(first)))


def test_it_is_the_log_of_the_candidates_less_the_loss():
    rng = np.random.default_rng(14)
    predictions, latents = rng.normal(size=(4, 5, 2, 3)), rng.normal(size=(4, 5, 3))
    loss = jax.jit(losses.cpc)(predictions, latents)
    np.testing.assert_allclose(loss, 2.017162, rtol=1e-5)
    found = info_nce_bound(loss, num_candidates=4)
    np.testing.assert_allclose(found, math.log(4) - 2.017162, rtol=1e-5)
    blind = np.full(3, math.log(8), "f")  # equal scores, which know nothing
    np.testing.assert_allclose(
        info_nce_bound(blind, num_candidates=8), np.zeros(3), atol=1e-6
    )


def test_it_rises_with_the_candidates_below_the_information():
    information = gaussian_information(RHO, LAG)
    np.testing.assert_allclose(information, 0.3790466, rtol=1e-6)
    rng, found = np.random.default_rng(0), []
    for num, batches in ((2, 20_000), (8, 5_000), (64, 600)):
        first, noise = rng.normal(size=(2, batches, num)).astype("f")
        r = RHO**LAG
        loss = loss_of_the_best_scores(first, r * first + (1 - r**2) ** 0.5 * noise)
        bounds = np.asarray(info_nce_bound(loss, num_candidates=num))
        assert (bounds <= math.log(num)).all()
        found.append(bounds.mean())
    assert found[0] < found[1] < found[2]
    assert 0.9 * information < found[2] < information + 0.01


def test_bad_arguments_are_named():
    with pytest.raises(
        ValueError, match="info_nce_bound: expected num_candidates >= 1"
    ):
        metrics.info_nce_bound(np.float32(1), 0)
    with pytest.raises(TypeError, match="info_nce_bound: expected loss of floats"):
        metrics.info_nce_bound(1, 4)
