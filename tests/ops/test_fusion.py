"""Fusions of Gaussians by hand, and what each keeps."""

from functools import partial

import jax
import numpy as np
import pytest

from repr_jax.ops import fusion, subsets
from tests.losses.multimodal_oracle import case

WAYS = {
    "barycenter": fusion.barycenter,
    "consensus": fusion.consensus,
    "strong consensus": partial(fusion.consensus, correlation=0.9),
    "hellinger": fusion.hellinger,
}
JITTED = {name: jax.jit(way) for name, way in WAYS.items()}


def fused(way, mean, log_var, members=None):
    """(mean, variance) in float64 of what the way returns."""
    mean, log_var = np.asarray(mean, "f"), np.asarray(log_var, "f")
    members = np.ones(mean.shape[:-1], bool) if members is None else members
    mean, log_var = JITTED[way](mean, log_var, members)
    return np.float64(mean), np.exp(np.float64(log_var))


@pytest.mark.parametrize(
    "way, mean, variance",
    [
        ("barycenter", 2.0, 1.457107),
        ("consensus", 2.630602, 0.945903),
        ("strong consensus", 4.200629, 0.836239),
        ("hellinger", 2.136762, 2.048215),
    ],
)
def test_two_experts_by_hand(way, mean, variance):
    """N(1, 2) and N(3, 1), variances second."""
    actual = fused(way, [[[1.0]], [[3.0]]], np.log([[[2.0]], [[1.0]]]))
    np.testing.assert_allclose(np.ravel(actual), [mean, variance], rtol=2e-6)


def test_hellinger_has_the_moments_of_the_pooled_density():
    """(sqrt(q_1) + sqrt(q_2))^2 of N(1, 2), N(3, 1), whose overlap is .695740."""
    z = np.linspace(-15, 20, 35_001)
    q = [
        np.exp(-((z - m) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v)
        for m, v in ((1, 2), (3, 1))
    ]
    step = z[1] - z[0]
    np.testing.assert_allclose(np.sum(np.sqrt(q[0] * q[1])) * step, 0.695740, atol=1e-6)
    pooled = np.sum(np.sqrt(q), axis=0) ** 2
    pooled /= pooled.sum()
    mean = np.sum(z * pooled)
    moments = [mean, np.sum((z - mean) ** 2 * pooled)]
    np.testing.assert_allclose(moments, [2.136762, 2.048215], atol=1e-6)


FIGURES = {  # of row 0: experts 0 and 1, then all; mean, log-variance
    "barycenter": [
        (0.851628, -0.213504, 0.852260, 0.107025),
        (0.173046, -0.362903, 0.561600, -0.087768),
    ],
    "consensus": [
        (0.910402, -1.185367, 0.560138, -0.660589),
        (-0.934440, -1.101961, -0.207808, -0.914137),
    ],
    "hellinger": [
        (0.865958, -0.430034, 0.903635, 0.569057),
        (0.052469, -0.569220, 0.935866, 0.176198),
    ],
}


@pytest.mark.parametrize("way", FIGURES)
def test_pairs_and_triples_by_hand(way):
    o = case(0)
    for members, expected in zip(([True, True, False], [True] * 3), FIGURES[way]):
        members = np.array(members)[:, None]
        actual = JITTED[way](o.mean[:, :1], o.lv[:, :1], members)
        np.testing.assert_allclose(np.ravel(actual), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("way", WAYS)
def test_order_is_irrelevant_one_is_itself_and_none_the_prior(way):
    mean, log_var = np.random.default_rng(0).normal(size=(2, 3, 4, 2))
    before = fused(way, mean, log_var)
    after = fused(way, mean[::-1], log_var[::-1])
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    one = np.zeros((3, 4), bool)
    one[1] = True
    alone = fused(way, mean, log_var, one)
    np.testing.assert_allclose(alone, [mean[1], np.exp(log_var[1])], rtol=1e-5)
    none = fused(way, mean, log_var, one & False)
    np.testing.assert_array_equal(none, [np.zeros((4, 2)), np.ones((4, 2))])


@pytest.mark.parametrize("way", WAYS)
def test_equal_experts(way):
    """A consensus of M has variance v (1 + (M - 1) rho) / M, the others v."""
    mean, log_var = np.full((3, 1, 1), 1.5), np.full((3, 1, 1), 0.4)
    factor = {"consensus": 2 / 3, "strong consensus": 2.8 / 3}.get(way, 1.0)
    expected = [1.5, np.exp(0.4) * factor]
    np.testing.assert_allclose(np.ravel(fused(way, mean, log_var)), expected, rtol=2e-6)


def test_without_correlation_a_consensus_is_the_product():
    mean, log_var = np.random.default_rng(0).normal(size=(2, 3, 4, 2)).astype("f")
    members = np.random.default_rng(1).random((3, 4)) < 0.6
    product_of_experts = partial(subsets.posterior, prior_expert="none")
    product = jax.jit(product_of_experts)(mean, log_var, members)
    uncorrelated = partial(fusion.consensus, correlation=0.0)
    actual = jax.jit(uncorrelated)(mean, log_var, members)
    np.testing.assert_allclose(actual, product, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_finite_with_gradient_far_out_and_none_for_the_absent(way):
    members = np.array([[True, True], [True, False], [False, False]])

    @partial(jax.value_and_grad, argnums=(0, 1))
    def total(mean, log_var):
        return sum(x.sum() for x in WAYS[way](mean, log_var, members))

    run = jax.jit(total)
    for size in (0.0, 1e4, -1e4):
        mean = np.repeat(np.array([size, -size, 1.0], "f"), 4).reshape(3, 2, 2)
        value, gradient = run(mean, mean[::-1])
        assert np.isfinite(value)
        for part in map(np.asarray, gradient):
            assert np.isfinite(part).all() and (part[~members] == 0).all()
