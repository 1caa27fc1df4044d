"""Closed forms against float64 loops; figures of two-expert cases worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.ops import gaussian
from repr_jax.ops.batch import row_keys

kl, log_prob = jax.jit(gaussian.kl), jax.jit(gaussian.log_prob)
product_of_experts = jax.jit(gaussian.product_of_experts, static_argnames="prior")
# Experts N(1, 2) and N(3, 1), as [experts, dim] means and log-variances.
MEAN, LOG_VAR = np.array([[1.0], [3.0]], "f"), np.log(np.array([[2.0], [1.0]], "f"))


def draw(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype("f"), rng.normal(size=shape).astype("f")


def kl_from_the_definition(mean, log_var, prior_mean, prior_log_var):
    total = 0.0
    for m, v, a, b in zip(mean, np.exp(log_var), prior_mean, np.exp(prior_log_var)):
        total += 0.5 * (v / b - 1 + np.log(b / v) + (m - a) ** 2 / b)
    return total


def product_from_the_definition(mean, variance, prior):
    """Precisions add; means weigh by precision; one float64 latent at a time."""
    precision, weighted = float(prior), 0.0
    for m, v in zip(mean, variance):
        precision, weighted = precision + 1 / v, weighted + m / v
    return weighted / precision, 1 / precision


@pytest.mark.parametrize(
    "mean, var, prior_mean, prior_var, expected",
    [
        (1, 1, 0, 1, 0.5),
        (0, 2, 0, 1, 0.153426),
        (1, 2, 0, 1, 0.653426),
        (1, 0.5, -1, 2, 1.318147),
        (1, 0.5, 1, 0.5, 0.0),
    ],
)
def test_kl_by_hand(mean, var, prior_mean, prior_var, expected):
    values = [np.full((1, 1), v, "f") for v in (mean, np.log(var), prior_mean)]
    actual = kl(*values, np.full((1, 1), np.log(prior_var), "f"))
    np.testing.assert_allclose(actual, [expected], atol=1e-6)


def test_kl_matches_the_definition():
    (mean, log_var), (a, b) = draw(5, 4), draw(5, 4, seed=1)
    expected = [kl_from_the_definition(*row) for row in zip(mean, log_var, a, b)]
    np.testing.assert_allclose(kl(mean, log_var, a, b), expected, rtol=1e-5)
    expected = [kl_from_the_definition(*row, a[0], b[0]) for row in zip(mean, log_var)]
    np.testing.assert_allclose(kl(mean, log_var, a[0], b[0]), expected, rtol=1e-5)


def test_log_prob_matches_the_definition():
    (x, mean), (log_var, _) = draw(5, 4), draw(5, 4, seed=1)
    variance = np.exp(log_var.astype(float))
    terms = -0.5 * (np.log(2 * np.pi * variance) + (x - mean) ** 2 / variance)
    np.testing.assert_allclose(log_prob(x, mean, log_var), terms.sum(-1), rtol=1e-5)
    standard = (-0.5 * (np.log(2 * np.pi) + x.astype(float) ** 2)).sum(-1)
    np.testing.assert_allclose(log_prob(x), standard, rtol=1e-5)


def test_sample_has_the_moments_and_one_key_per_row():
    keys = row_keys(jax.random.key(0), np.ones(2, bool))
    mean, log_var = np.array([[1.0], [-2.0]], "f"), np.log([[4.0], [0.25]]).astype("f")
    sample = jax.jit(gaussian.sample, static_argnames="num_samples")
    z = np.asarray(sample(keys, mean, log_var, num_samples=40_000))
    assert z.shape == (40_000, 2, 1)
    error = 5 * np.sqrt([[4.0], [0.25]]) / 200
    assert (abs(z.mean(axis=0) - mean) < error).all()
    np.testing.assert_allclose(z.std(axis=0), [[2.0], [0.5]], rtol=0.02)
    assert abs(np.corrcoef(z[:, :, 0].T)[0, 1]) < 5 / 200
    several = sample(keys, np.stack([mean] * 3), np.stack([log_var] * 3))
    assert several.shape == (3, 2, 1)
    assert len(np.unique(several)) == 6


@pytest.mark.parametrize("prior", [False, True])
def test_product_matches_the_definition(prior):
    mean, log_var = draw(3, 5, 4)
    actual = np.asarray(product_of_experts(mean, log_var, prior=prior))
    for row in np.ndindex(5, 4):
        m, v = mean[:, *row].astype(float), np.exp(log_var[:, *row].astype(float))
        expected = product_from_the_definition(m, v, prior)
        np.testing.assert_allclose(actual[0][row], expected[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(np.exp(actual[1][row]), expected[1], rtol=1e-5)


@pytest.mark.parametrize("prior, mean, var", [(False, 7 / 3, 2 / 3), (True, 1.4, 0.4)])
def test_product_by_hand(prior, mean, var):
    fused = product_of_experts(MEAN, LOG_VAR, prior=prior)
    np.testing.assert_allclose(fused[0], [mean], rtol=1e-6)
    np.testing.assert_allclose(np.exp(fused[1]), [var], rtol=1e-6)


def test_geometric_mean_by_hand():
    geometric_mean = jax.jit(gaussian.geometric_mean)
    thirds = geometric_mean(MEAN, LOG_VAR, prior_weight=1.0)
    np.testing.assert_allclose(thirds[0], [1.4], rtol=1e-6)
    np.testing.assert_allclose(np.exp(thirds[1]), [1.2], rtol=1e-6)
    # Weights 1/4 and 3/4: precision 1/8 + 3/4 = 7/8, mean (1/8 + 9/4) / (7/8) = 19/7.
    skewed = geometric_mean(MEAN, LOG_VAR, weights=np.array([2.0, 6.0], "f"))
    np.testing.assert_allclose(skewed[0], [19 / 7], rtol=1e-6)
    np.testing.assert_allclose(np.exp(skewed[1]), [8 / 7], rtol=1e-6)


def test_geometric_mean_of_what_is_there():
    mean, log_var = (np.broadcast_to(a[:, None], (2, 3, 1)) for a in (MEAN, LOG_VAR))
    where = np.array([[True, True, False], [True, False, False]])
    geometric_mean = jax.jit(gaussian.geometric_mean)
    fused = np.asarray(geometric_mean(mean, log_var, where=where))[..., 0]
    both = np.asarray(geometric_mean(MEAN, LOG_VAR))[:, 0]
    np.testing.assert_allclose(fused[0], [both[0], 1, 0], rtol=1e-6)
    np.testing.assert_allclose(fused[1], [both[1], np.log(2), 0], atol=1e-6)


def test_product_ignores_order_and_nests():
    mean, log_var = draw(4, 5, 2)
    whole = product_of_experts(mean, log_var)
    turned = product_of_experts(mean[::-1], log_var[::-1])
    halves = [
        product_of_experts(mean[half], log_var[half])
        for half in (slice(2), slice(2, 4))
    ]
    nested = product_of_experts(*(np.stack(part) for part in zip(*halves)))
    for other in (turned, nested):
        np.testing.assert_allclose(whole[0], other[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(whole[1], other[1], rtol=1e-4, atol=1e-5)


def test_equal_experts_divide_the_variance_by_their_number():
    mean, log_var = np.full((5, 1), 2.0, "f"), np.zeros((5, 1), "f")
    fused = product_of_experts(mean, log_var)
    np.testing.assert_allclose(fused[0], [2.0], rtol=1e-6)
    np.testing.assert_allclose(np.exp(fused[1]), [0.2], rtol=1e-6)


@pytest.mark.parametrize("log_var", [1e4, np.inf])
def test_an_infinitely_vague_expert_changes_nothing(log_var):
    mean = np.concatenate([MEAN, [[50.0]]]).astype("f")
    vague = np.concatenate([LOG_VAR, [[log_var]]]).astype("f")
    pull = jax.value_and_grad(lambda v: gaussian.product_of_experts(mean, v)[0][0])
    actual, gradient = jax.jit(pull)(vague)
    np.testing.assert_allclose(actual, 7 / 3, rtol=1e-6)
    assert np.isfinite(gradient).all()


def test_absent_experts_are_as_good_as_deleted():
    mean, log_var = draw(3, 4, 2)
    where = np.array([[1, 1, 0, 0], [1, 0, 0, 1], [1, 1, 1, 0]], bool)
    fill = np.where(where[..., None], 0, np.nan).astype("f")
    for prior in (False, True):
        spoiled = mean + fill, log_var + fill
        fused = np.asarray(product_of_experts(*spoiled, where=where, prior=prior))
        for row in range(4):
            own = where[:, row]
            alone = product_of_experts(mean[own, row], log_var[own, row], prior=prior)
            np.testing.assert_allclose(fused[0][row], alone[0], rtol=1e-5)
            np.testing.assert_allclose(fused[1][row], alone[1], rtol=1e-5, atol=1e-6)


def test_no_expert_at_all_is_the_prior():
    mean, log_var = draw(3, 4, 2)
    fused = product_of_experts(mean, log_var, where=np.zeros((3, 4), bool))
    np.testing.assert_array_equal(fused, np.zeros((2, 4, 2)))


def test_prior_may_differ_by_row():
    mean, log_var = (np.broadcast_to(a[:, None], (2, 2, 1)) for a in (MEAN, LOG_VAR))
    rows = np.array([True, False])
    fused = jax.jit(gaussian.product_of_experts)(mean, log_var, prior=rows)
    np.testing.assert_allclose(fused[0], [[1.4], [7 / 3]], rtol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e4, -1e4])
def test_finite_with_gradient_far_out(scale):
    mean = np.full((2, 3, 4), scale, "f")
    keys = row_keys(jax.random.key(0), np.ones(3, bool))

    def everything(mean, log_var):
        fused = gaussian.product_of_experts(mean, log_var)
        z = gaussian.sample(keys, *fused)
        log_q = gaussian.log_prob(z, mean[0], log_var[0])
        return jnp.sum(log_q * 1e-9 + gaussian.kl(*fused) + gaussian.log_prob(z) * 1e-9)

    both = jax.jit(jax.value_and_grad(everything, argnums=(0, 1)))
    value, gradient = both(mean, mean)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradient)
