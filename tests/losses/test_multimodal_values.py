"""Multimodal bounds of a scalar model whose evidence and bounds are known.

z ~ N(0, 1), x_m = z + e_m with e_m ~ N(0, 1), x = (1, 3). The exact posteriors of one
modality are N(.5, .5) and N(1.5, .5), of both N(4/3, 1/3), and log p(x) = -4.720517.
All figures but those of several samples are Gaussian expectations.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import likelihood

LOG_P = -4.720517
EXACT_EXPERTS = ((0.5, 0.5), (1.5, 0.5))  # (mean, variance)
FAMILY = ("mmvae", "mmvae_iwae", "mmvae_tight")


def scalar_model(name, key, *, batch=2_000, experts=EXACT_EXPERTS, **options):
    """Minus the loss on `batch` rows of x = (1, 3), experts as (mean, variance)."""
    one = jnp.ones((batch, 1))
    inputs = tuple(x * one for x in (1.0, 3.0)[: len(experts)])
    mean = jnp.stack([m * one for m, _ in experts])
    log_var = jnp.stack([math.log(v) * one for _, v in experts])
    return -getattr(losses, name)(
        key,
        inputs,
        mean,
        log_var,
        lambda z: (z,) * len(experts),
        log_likelihood=likelihood.gaussian,
        **options,
    )


def estimate(name, repeats=20, **options):
    """Mean and standard error over independent keys."""
    function = partial(scalar_model, name, **options)
    keys = jax.random.split(jax.random.key(0), repeats)
    values = jax.jit(lambda keys: jax.lax.map(lambda key: function(key), keys))(keys)
    return np.mean(values), np.std(values, ddof=1) / math.sqrt(repeats)


def assert_estimates(name, expected, tolerance=0.0, **options):
    mean, error = estimate(name, **options)
    assert error < 0.02
    assert abs(mean - expected) < 5 * error + tolerance, (mean, error)


LIKELIHOOD_EXPERTS = ((1.0, 1.0), (3.0, 1.0))


@pytest.mark.parametrize(
    "name, expected, options",
    [
        ("moe_elbo", -5.309451, {}),
        ("mopoe", -5.273832, {}),
        ("mopoe", -5.174975, {"prior_expert": "none"}),
        ("mvae", -9.751541, {"experts": LIKELIHOOD_EXPERTS}),
    ],
)
def test_bounds_of_the_scalar_model_by_hand(name, expected, options):
    assert_estimates(name, expected, **options)


@pytest.mark.parametrize(
    "observed, expected",
    [((1, 0), -1.515512), ((0, 1), -3.515512), ((1, 1), LOG_P - 1.515512 - 3.515512)],
)
def test_mvae_of_likelihood_experts_is_exact(observed, expected):
    """N(x_m, 1) times the prior is the posterior, whose bound has no slack."""
    where = np.repeat(np.array(observed, bool)[:, None], 2_000, axis=1)
    assert_estimates("mvae", expected, experts=LIKELIHOOD_EXPERTS, where=where)


@pytest.mark.parametrize(
    "num_samples, looser, tight", [(1, -5.107, -4.808), (10, -4.773, -4.727)]
)
def test_mmvae_of_the_scalar_model(num_samples, looser, tight):
    """Figures rounded to 1e-3; one sample of the looser is the bound of the mixture."""
    options = dict(num_samples=num_samples, batch=1_000)
    assert_estimates("mmvae", looser, 1e-3, **options)
    assert_estimates("mmvae_tight", tight, 1e-3, **options)


def test_mmvae_limits_and_order():
    """Looser tends to -4.75447, the mean of two integrals, and tight to log p(x)."""
    options = dict(num_samples=100, batch=200)
    tight, looser = (estimate(n, **options) for n in ("mmvae_tight", "mmvae_iwae"))
    assert abs(looser[0] + 4.756) < 5 * looser[1] + 1e-3
    assert abs(tight[0] + 4.7211) < 5 * tight[1] + 1e-3
    mixture, error = estimate("mmvae_iwae", num_samples=1)
    stratified, other = estimate("moe_elbo")
    assert LOG_P > tight[0] > looser[0] > mixture > stratified
    assert mixture - stratified < math.log(2) + 5 * (error + other)


@pytest.mark.parametrize("name", FAMILY)
def test_one_modality_and_sample_of_mmvae_is_the_elbo(name):
    """E log N(1; z, 1) - KL(N(.5, .5) || N(0, 1)) = log N(1; 0, 2)."""
    options = dict(experts=((0.5, 0.5),), num_samples=1)
    assert_estimates(name, -1.515512, **options)


@pytest.mark.parametrize("name", ["mvae", "mopoe"])
def test_one_modality_of_a_product_has_a_precision_one_higher(name):
    """N(1, 1) becomes N(.5, .5), and the bound exact; without the prior it is not."""
    assert_estimates(name, -1.515512, experts=((1.0, 1.0),))
    if name == "mopoe":
        expected = -0.5 * math.log(2 * math.pi) - 0.5 - 0.5  # E log p, minus the KL
        assert_estimates(name, expected, experts=((1.0, 1.0),), prior_expert="none")


def test_equal_experts_make_the_average_bound_that_of_the_mixture():
    options = dict(experts=((1.0, 0.5), (1.0, 0.5)))
    average, _ = estimate("moe_elbo", **options)
    mixture, error = estimate("mmvae_iwae", num_samples=1, **options)
    assert abs(average - mixture) < 5 * error
