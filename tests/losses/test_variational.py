"""Unimodal bounds against float64 loops that draw the same noise, and by hand.

By hand: z ~ N(0, 1), x = z + e with e ~ N(0, 1), so that at x = 1 the posterior is
N(1/2, 1/2) and log p(x) = log N(1; 0, 2) = -1.515512.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import likelihood
from repr_jax.ops.batch import row_keys

KEY = jax.random.key(5)
LOG_P = -1.515512  # log N(1; 0, 2)
WHERE = np.array([True, False, True, True])
IMPORTANCE = (losses.iwae, losses.dreg)


def draw(batch=4, dim=2, features=3):
    rng = np.random.default_rng(0)
    arrays = (rng.normal(size=(batch, n)).astype("f") for n in (features, dim, dim))
    return *arrays, rng.normal(size=(dim, features)).astype("f")


def noise(where, num_samples, dim):
    """[batch, sample, dim], as the losses draw it: by row, present rows numbered."""
    keys = row_keys(KEY, where)
    return [np.asarray(jax.random.normal(k, (num_samples, dim)), float) for k in keys]


def log_normal(x, mean, variance):
    terms = zip(np.ravel(x), np.ravel(mean), np.ravel(variance))
    return sum(-0.5 * (np.log(2 * np.pi * v) + (a - m) ** 2 / v) for a, m, v in terms)


def elbo_from_the_paper(x, mean, log_var, decoder, *, scale, beta, where):
    """Kingma and Welling, eq. 7, with one sample; the KL as in its appendix B."""
    terms = []
    for i in np.flatnonzero(where):
        eps = noise(where, 1, mean.shape[1])[i][0]
        m, v = mean[i].astype(float), np.exp(log_var[i].astype(float))
        decoded = (m + np.sqrt(v) * eps) @ decoder
        log_p = log_normal(x[i], decoded, np.full(len(decoded), scale**2))
        kl = -0.5 * sum(1 + np.log(b) - a**2 - b for a, b in zip(m, v))
        terms.append(beta * kl - log_p)
    return np.mean(terms)


def iwae_from_the_paper(x, mean, log_var, decoder, *, scale, num_samples, where):
    """Burda et al., eq. 8."""
    terms = []
    for i in np.flatnonzero(where):
        eps = noise(where, num_samples, mean.shape[1])[i]
        m, v = mean[i].astype(float), np.exp(log_var[i].astype(float))
        weights = []
        for k in range(num_samples):
            z = m + np.sqrt(v) * eps[k]
            decoded = z @ decoder
            log_p = log_normal(x[i], decoded, np.full(len(decoded), scale**2))
            prior = log_normal(z, np.zeros(len(z)), np.ones(len(z)))
            weights.append(np.exp(log_p + prior - log_normal(z, m, v)))
        terms.append(-np.log(np.mean(weights)))
    return np.mean(terms)


@pytest.mark.parametrize("where", [np.ones(4, bool), WHERE])
@pytest.mark.parametrize("beta, scale", [(1.0, 1.0), (0.3, 0.5), (4.0, 2.0)])
def test_elbo_matches_the_paper(beta, scale, where):
    x, mean, log_var, decoder = draw()
    expected = elbo_from_the_paper(*draw(), scale=scale, beta=beta, where=where)

    @jax.jit
    def actual(x, mean, log_var, beta):
        log_likelihood = partial(likelihood.gaussian, scale=scale)
        return losses.elbo(
            KEY,
            x,
            mean,
            log_var,
            lambda z: z @ decoder,
            log_likelihood=log_likelihood,
            beta=beta,
            where=where,
        )

    np.testing.assert_allclose(actual(x, mean, log_var, beta), expected, rtol=1e-5)


@pytest.mark.parametrize("loss", IMPORTANCE)
@pytest.mark.parametrize("num_samples, scale", [(1, 1.0), (4, 0.8)])
def test_iwae_and_dreg_match_the_paper(loss, num_samples, scale):
    x, mean, log_var, decoder = draw()
    expected = iwae_from_the_paper(
        *draw(), scale=scale, num_samples=num_samples, where=WHERE
    )
    actual = jax.jit(
        lambda *arrays: loss(
            KEY,
            *arrays,
            lambda z: z @ decoder,
            num_samples=num_samples,
            log_likelihood=partial(likelihood.gaussian, scale=scale),
            where=WHERE,
        )
    )
    np.testing.assert_allclose(actual(x, mean, log_var), expected, rtol=1e-4)


def scalar_model(loss, key, mean, variance, *, batch=2_000, slope=1.0, **options):
    """Minus the loss on `batch` rows of the scalar model at x = 1."""
    ones = jnp.ones((batch, 1))
    return -loss(
        key,
        ones,
        mean * ones,
        jnp.log(variance) * ones,
        lambda z: slope * z,
        log_likelihood=likelihood.gaussian,
        **options,
    )


def estimate(function, repeats=20):
    """Mean and standard error over independent keys."""
    values = jax.jit(lambda keys: jax.lax.map(function, keys))(
        jax.random.split(jax.random.key(0), repeats)
    )
    return np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / np.sqrt(repeats)


def assert_estimates(function, expected, tolerance=0.0):
    mean, error = estimate(function)
    assert error.max() < 0.02
    assert abs(mean - expected).max() < 5 * error.max() + tolerance, (mean, error)


def test_elbo_of_the_prior_by_hand():
    """E log N(1; z, 1) under z ~ N(0, 1) is -log(2 pi) / 2 - (1 + 1) / 2."""
    elbo = partial(scalar_model, losses.elbo, mean=0.0, variance=1.0)
    assert_estimates(lambda key: elbo(key), -1.918939)


@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_elbo_at_the_exact_posterior_is_the_evidence(beta):
    """KL(N(.5, .5) || N(0, 1)) = .5 * (.75 - 1 + log 2), here weighted by beta."""
    elbo = partial(scalar_model, losses.elbo, mean=0.5, variance=0.5, beta=beta)
    kl = 0.5 * (0.75 - 1 + np.log(2))
    assert_estimates(lambda key: elbo(key), LOG_P - (beta - 1) * kl)


@pytest.mark.parametrize(
    "num_samples, expected", [(1, -1.918939), (2, -1.652), (5, -1.557), (50, -1.519)]
)
def test_iwae_tightens_with_samples(num_samples, expected):
    """From the prior; the figures of several samples are rounded to 1e-3."""
    iwae = partial(scalar_model, losses.iwae, mean=0.0, variance=1.0)
    assert_estimates(lambda key: iwae(key, num_samples=num_samples), expected, 6e-4)


def test_iwae_of_a_thousand_samples_is_the_evidence():
    iwae = partial(scalar_model, losses.iwae, mean=0.0, variance=1.0, batch=100)
    mean, _ = estimate(lambda key: iwae(key, num_samples=1_000))
    assert abs(mean - LOG_P) < 0.01


@pytest.mark.parametrize("loss", IMPORTANCE)
@pytest.mark.parametrize("num_samples", [1, 7])
def test_with_the_exact_posterior_every_weight_is_the_evidence(loss, num_samples):
    options = dict(mean=0.5, variance=0.5, batch=9, num_samples=num_samples)
    bound = jax.jit(partial(scalar_model, loss, **options))(KEY)
    np.testing.assert_allclose(bound, LOG_P, atol=2e-6)


def gradients(loss, key, mean, variance, **options):
    """By mean, log_var and the decoder's slope."""

    def bound(mean, log_var, slope):
        return scalar_model(
            loss, key, mean, jnp.exp(log_var), slope=slope, num_samples=4, **options
        )

    return jnp.stack(jax.grad(bound, argnums=(0, 1, 2))(mean, jnp.log(variance), 1.0))


def of_a_row(loss, mean, variance):
    options = dict(mean=mean, variance=variance, batch=1)
    return jax.jit(partial(gradients, loss, **options))


def test_dreg_has_no_posterior_gradient_at_the_exact_posterior():
    """For every single sample, while that of iwae vanishes on average only."""
    dreg, iwae = (of_a_row(loss, 0.5, 0.5) for loss in (losses.dreg, losses.iwae))
    for seed in range(3):
        key = jax.random.key(seed)
        by_mean, by_log_var, _ = np.asarray(dreg(key))
        assert abs(by_mean) < 1e-5 and abs(by_log_var) < 1e-5
        by_mean, by_log_var, _ = np.asarray(iwae(key))
        assert abs(by_mean) > 1e-2 and abs(by_log_var) > 1e-2


def test_dreg_estimates_the_gradient_of_iwae():
    """The two differ sample by sample, not on average."""
    both = [
        estimate(partial(gradients, loss, mean=0.1, variance=1.2))
        for loss in (losses.dreg, losses.iwae)
    ]
    (dreg, dreg_error), (iwae, iwae_error) = both
    assert (dreg_error < 0.01).all() and (iwae_error < 0.01).all()
    assert (abs(dreg - iwae) < 5 * np.hypot(dreg_error, iwae_error)).all()
    one = [
        np.asarray(of_a_row(loss, 0.1, 1.2)(KEY)) for loss in (losses.dreg, losses.iwae)
    ]
    assert (abs(one[0] - one[1])[:2] > 1e-3).all()  # of the posterior
    np.testing.assert_allclose(one[0][2], one[1][2], rtol=1e-5)  # of the decoder


def test_dreg_gradient_from_the_paper():
    """Tucker et al., eq. 8, in float64 loops over samples for the scalar model."""
    mean, variance, num_samples = 0.1, 1.2, 4
    by_mean = by_log_var = 0.0
    eps = noise(np.ones(1, bool), num_samples, 1)[0][:, 0]
    z = mean + np.sqrt(variance) * eps
    log_w = [
        log_normal(1, a, 1) + log_normal(a, 0, 1) - log_normal(a, mean, variance)
        for a in z
    ]
    weights = np.exp(log_w) / np.sum(np.exp(log_w))
    for k in range(num_samples):
        by_z = (1 - z[k]) - z[k] + (z[k] - mean) / variance
        by_mean += weights[k] ** 2 * by_z
        by_log_var += weights[k] ** 2 * by_z * 0.5 * np.sqrt(variance) * eps[k]
    actual = np.asarray(of_a_row(losses.dreg, mean, variance)(KEY))
    np.testing.assert_allclose(actual[:2], [by_mean, by_log_var], rtol=1e-4)


def test_errors_name_who_and_what():
    x, mean, log_var, decoder = draw()
    call = partial(losses.elbo, KEY, decode=lambda z: z @ decoder)
    with pytest.raises(ValueError, match=r"^elbo: expected beta >= 0; got -1\.0\.$"):
        call(x, mean, log_var, beta=-1.0)
    with pytest.raises(ValueError, match=r"elbo: expected one shape of rank 2; got"):
        call(x, mean, log_var[:, :1])
    with pytest.raises(ValueError, match=r"elbo: expected x with 4 rows; got shape"):
        call(x[:3], mean, log_var)
    with pytest.raises(ValueError, match=r"elbo: expected where of shape \(4,\); got"):
        call(x, mean, log_var, where=WHERE[:2])
    with pytest.raises(TypeError, match=r"elbo: expected where bool; got float32"):
        call(x, mean, log_var, where=WHERE.astype("f"))
    with pytest.raises(ValueError, match=r"likelihood\.laplace: expected one shape"):
        losses.elbo(KEY, x, mean, log_var, lambda z: z)
    for loss in IMPORTANCE:
        with pytest.raises(ValueError, match=r"expected num_samples >= 1; got 0"):
            loss(KEY, x, mean, log_var, lambda z: z @ decoder, num_samples=0)


def test_free_nats_are_what_single_latents_lack():
    """KLs .5, 2 and 0 of N(1, 1), N(2, 1) and N(0, 1): of 1 nat each lack .5, 0, 1."""
    mean = np.array([[1.0, 2.0, 0.0], [-1.0, 2.0, 0.0]], "f")
    where = np.array([True, True, False])
    mean = np.concatenate([mean, np.full((1, 3), np.nan, "f")])
    value, gradient = jax.jit(jax.value_and_grad(losses.free_nats))(
        mean, 0 * mean, nats=1.0, where=where
    )
    np.testing.assert_allclose(value, 1.5, rtol=1e-6)
    gradient = np.asarray(gradient)
    np.testing.assert_allclose(gradient[:, 0], [-0.5, 0.5, 0], rtol=1e-6)
    np.testing.assert_array_equal(gradient[:, 1:], 0)
    assert jax.jit(losses.free_nats)(mean[:2], 0 * mean[:2], nats=0.0) == 0


def test_latents_with_few_nats_pay_nothing():
    """With the bound, the sum of max(nats, KL): its gradient is the likelihood's."""
    rng = np.random.default_rng(0)
    x, mean = rng.normal(size=(5, 3)).astype("f"), 0.1 * rng.normal(size=(5, 2))
    mean, key, beta = mean.astype("f"), jax.random.key(0), 2.5

    def loss(mean, beta, nats):
        decode = lambda z: jnp.tile(z[:, :1], (1, 3)) + z[:, 1:]  # noqa: E731
        bound = losses.elbo(key, x, mean, 0 * mean, decode, beta=beta)
        return bound + beta * losses.free_nats(mean, 0 * mean, nats=nats)

    evaluate = jax.jit(jax.value_and_grad(loss))
    value, gradient = evaluate(mean, beta, 1.0)
    free, alone = evaluate(mean, 0.0, 1.0)
    np.testing.assert_allclose(value, float(free) + beta * 2 * 1.0, rtol=1e-5)
    np.testing.assert_allclose(gradient, alone, rtol=1e-4, atol=1e-6)


def test_free_nats_are_not_negative():
    with pytest.raises(ValueError, match="free_nats: expected nats >= 0; got -1"):
        losses.free_nats(np.zeros((2, 2), "f"), np.zeros((2, 2), "f"), nats=-1.0)
