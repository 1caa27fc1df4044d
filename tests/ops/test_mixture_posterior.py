"""Exact posteriors of mixtures against densities in float64 and numerical integrals."""

import jax
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from repr_jax import metrics
from repr_jax.ops import mixture_posterior

# Of classes at -2, 0 and 2 with a standard deviation of 0.6, seen with noise of 1, the
# class of the original in rows, that of an exact posterior sample in columns.
CENTERS, SPREAD = (-2.0, 0.0, 2.0), 0.6
CONFUSIONS = {
    (1 / 3, 1 / 3, 1 / 3): [
        [0.721701, 0.252121, 0.026178],
        [0.252121, 0.495758, 0.252121],
        [0.026178, 0.252121, 0.721701],
    ],
    (0.8, 0.1, 0.1): [
        [0.918300, 0.068341, 0.013359],
        [0.546730, 0.252986, 0.200285],
        [0.106868, 0.200285, 0.692847],
    ],
}


responsibilities = jax.jit(mixture_posterior.responsibilities)
score, sample = jax.jit(mixture_posterior.score), jax.jit(mixture_posterior.sample)


def keys_of(rows, seed=0):
    return jax.random.split(jax.random.key(seed), rows)


def random_law(seed=0, dim=4, num=3):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(num, dim, dim))
    covariances = factors @ np.swapaxes(factors, 1, 2) / dim + 0.1 * np.eye(dim)
    weights, means = np.array([0.6, 0.3, 0.1]), 1.5 * rng.normal(size=(num, dim))
    law = mixture_posterior.make(weights, means, covariances)
    return law, weights, means, covariances


def line(weights):
    means = np.array(CENTERS)[:, None]
    return mixture_posterior.make(weights, means, np.full((3, 1, 1), SPREAD**2))


def densities(x, weights, means, covariances, variance):
    extra = variance * np.eye(means.shape[1])
    laws = [multivariate_normal(m, c + extra) for m, c in zip(means, covariances)]
    return np.stack([w * law.pdf(x) for w, law in zip(weights, laws)], axis=-1)


@pytest.mark.parametrize("variance", [0.0, 0.5, 20.0])
def test_densities_scores_and_denoisers(variance):
    law, *parts = random_law()
    x = np.random.default_rng(1).normal(size=(6, 4)) * 2
    found = jax.jit(mixture_posterior.logits)(law, x.astype("f"), variance)
    expected = densities(x, *parts, variance)
    np.testing.assert_allclose(found, np.log(expected), rtol=1e-4, atol=1e-4)
    step = 1e-5
    gradient = np.stack(
        [
            np.log(densities(x + step * e, *parts, variance).sum(axis=-1))
            - np.log(densities(x - step * e, *parts, variance).sum(axis=-1))
            for e in np.eye(4)
        ],
        axis=-1,
    ) / (2 * step)
    found = score(law, x.astype("f"), variance)
    np.testing.assert_allclose(found, gradient, rtol=1e-3, atol=1e-3)
    clean = jax.jit(mixture_posterior.denoise)(law, x.astype("f"), variance)
    np.testing.assert_allclose(clean, x + variance * gradient, rtol=1e-3, atol=2e-3)


def test_predicted_noise_is_that_of_a_ddpm():
    """sqrt(a) x_0 + sqrt(1 - a) n is a mixture; the noise is -sqrt(1 - a) score."""
    law, weights, means, covariances = random_law()
    x, a = np.random.default_rng(1).normal(size=(6, 4)).astype("f"), 0.3
    moved = mixture_posterior.make(weights, a**0.5 * means, a * covariances)
    expected = -((1 - a) ** 0.5) * np.asarray(score(moved, x, 1 - a))
    found = jax.jit(mixture_posterior.predict_noise)(law, x, a)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_the_posterior_is_that_of_joint_gaussians(noise):
    law, weights, means, covariances = random_law()
    matrix = np.random.default_rng(2).normal(size=(2, 4))
    posterior = mixture_posterior.condition(law, matrix, noise=noise)
    y = np.random.default_rng(3).normal(size=(5, 2))
    seen = matrix @ covariances @ matrix.T + noise**2 * np.eye(2)
    expected = densities(y, weights, means @ matrix.T, seen, 0)
    expected /= expected.sum(axis=1, keepdims=True)
    share = np.asarray(responsibilities(posterior, y.astype("f")))
    np.testing.assert_allclose(share, expected, rtol=1e-3, atol=1e-5)
    conditional = []
    for mean, covariance, s in zip(means, covariances, seen):
        gain = covariance @ matrix.T @ np.linalg.inv(s)
        conditional.append(mean + (y - matrix @ mean) @ gain.T)
    conditional = np.stack(conditional, axis=1)
    found = jax.jit(mixture_posterior.component_means)(posterior, y.astype("f"))
    np.testing.assert_allclose(found, conditional, rtol=1e-3, atol=1e-3)
    mean = np.asarray(jax.jit(mixture_posterior.mean)(posterior, y.astype("f")))
    expected = np.einsum("bk,bki->bi", expected, conditional)
    np.testing.assert_allclose(mean, expected, rtol=1e-3, atol=1e-3)
    drawn = sample(keys_of(4000), posterior, y[:1].repeat(4000, 0))
    x, k = map(np.asarray, drawn)
    error = np.std(x, axis=0) / 4000**0.5
    assert np.all(np.abs(np.mean(x, axis=0) - mean[0]) < 4 * error)
    rates = np.bincount(k, minlength=3) / 4000
    np.testing.assert_allclose(rates, share[0], atol=0.03)
    if noise == 0:
        np.testing.assert_allclose(x @ matrix.T, y[:1].repeat(4000, 0), atol=1e-3)


def test_samples_have_the_law_of_the_originals():
    """PR holds, the covariance is the prior's, and the joint confusion is symmetric."""
    law, *_ = random_law()
    x, a = jax.jit(mixture_posterior.draw, static_argnums=2)(
        jax.random.key(0), law, 60_000
    )
    matrix = np.eye(4)[:2]
    posterior = mixture_posterior.condition(law, matrix, noise=1.0)
    noise = np.random.default_rng(1).normal(size=(60_000, 2))
    y = (np.asarray(x) @ matrix.T + noise).astype("f")
    made, b = sample(keys_of(60_000, seed=2), posterior, y)
    np.testing.assert_allclose(np.cov(made.T), np.cov(x.T), atol=0.06)
    table = metrics.contingency(a, b, num_clusters=3, num_classes=3) / 60_000
    np.testing.assert_allclose(table, table.T, atol=0.006)
    np.testing.assert_allclose(table.sum(axis=0), [0.6, 0.3, 0.1], atol=0.01)


@pytest.mark.parametrize("weights", CONFUSIONS)
def test_posterior_samples_of_three_classes(weights):
    """By numerical integration, and by draws."""
    posterior = mixture_posterior.condition(line(weights), np.ones((1, 1)), noise=1.0)
    y = np.linspace(-9, 9, 3601)
    share = responsibilities(posterior, y[:, None].astype("f"))
    law = norm.pdf(y[None], np.array(CENTERS)[:, None], (SPREAD**2 + 1) ** 0.5)
    found = law @ np.asarray(share, np.float64) * (y[1] - y[0])
    np.testing.assert_allclose(found, CONFUSIONS[weights], atol=2e-6)
    rng = np.random.default_rng(0)
    labels = np.arange(30_000) % 3
    y = np.array(CENTERS)[labels] + (SPREAD**2 + 1) ** 0.5 * rng.normal(size=30_000)
    _, made = sample(keys_of(len(y)), posterior, y[:, None].astype("f"))
    table = metrics.contingency(labels, made, num_clusters=3, num_classes=3) / 10_000
    np.testing.assert_allclose(table, CONFUSIONS[weights], atol=0.02)


@pytest.mark.parametrize(
    ("weights", "rdp", "pr"),
    [((1 / 3,) * 3, 0.01556, 0.00005), ((0.8, 0.1, 0.1), 0.28994, 0.33509)],
)
def test_the_likeliest_class_amplifies_the_majority(weights, rdp, pr):
    """Of y too, instead of a draw: by numerical integration."""
    posterior = mixture_posterior.condition(line(weights), np.ones((1, 1)), noise=1.0)
    y = np.linspace(-9, 9, 18_001)
    share = responsibilities(posterior, y[:, None].astype("f"))
    law = norm.pdf(y[None], np.array(CENTERS)[:, None], (SPREAD**2 + 1) ** 0.5)
    table = law @ np.eye(3)[np.argmax(share, axis=1)] * (y[1] - y[0])
    found = metrics.discrepancies(np.diag(table) / np.trace(table))["chi2"]
    assert found == pytest.approx(rdp, abs=2e-4)
    found = metrics.discrepancies(table.sum(axis=0) / table.sum())["chi2"]
    assert found == pytest.approx(pr, abs=2e-4)


def test_a_measurement_that_tells_nothing_gives_the_prior():
    """So UCPR has the discrepancy of the prior."""
    weights = (0.82, 0.08, 0.1)
    posterior = mixture_posterior.condition(line(weights), np.zeros((1, 1)), noise=1.0)
    y = np.repeat(np.linspace(-3, 3, 7), 1000)[:, None].astype("f")
    _, made = sample(keys_of(7000), posterior, y)
    inputs = np.arange(7000) // 1000
    table = metrics.contingency(inputs, made, num_classes=3)
    found = metrics.ucpr(table, num_draws=300)
    truth = metrics.discrepancies(weights)
    for name, value in truth.items():
        assert found[f"{name}/low"] <= value <= found[f"{name}/high"]
    assert found["p_value/homogeneity"] > 0.01
    exact = responsibilities(posterior, y)
    np.testing.assert_allclose(exact, np.tile(weights, (7000, 1)), rtol=1e-5)


def test_what_is_no_law_is_refused():
    make, eye = mixture_posterior.make, np.eye(2)[None]
    with pytest.raises(ValueError, match="expected weights > 0"):
        make([0.0], np.zeros((1, 2)), eye)
    with pytest.raises(ValueError, match="symmetric"):
        make([1.0], np.zeros((1, 2)), np.array([[[1, 2], [0, 1]]]))
    with pytest.raises(ValueError, match="negative eigenvalue"):
        make([1.0], np.zeros((1, 2)), -eye)
    law = make([1.0], np.zeros((1, 2)), eye)
    with pytest.raises(ValueError, match="regular covariance"):
        mixture_posterior.condition(law, np.ones((2, 2)), noise=0.0)
    with pytest.raises(ValueError, match="expected matrix of shape"):
        mixture_posterior.condition(law, np.ones((2, 3)), noise=0.1)


def test_what_is_not_finite_is_refused_and_has_no_component():
    whole = dict(
        weights=np.ones(2), means=np.eye(2), covariances=np.stack([np.eye(2)] * 2)
    )
    for name, x in whole.items():
        wrong = x.copy()
        wrong[1] = np.inf
        with pytest.raises(ValueError, match=f"expected {name} finite; .* row 1"):
            mixture_posterior.make(**{**whole, name: wrong})
    law = mixture_posterior.make(**whole)
    with pytest.raises(ValueError, match="condition: expected matrix finite"):
        mixture_posterior.condition(law, np.full((1, 2), np.nan), noise=1.0)
    with pytest.raises(ValueError, match="expected a finite noise >= 0; got inf"):
        mixture_posterior.condition(law, np.eye(2), noise=np.inf)
    posterior = mixture_posterior.condition(law, np.eye(2), noise=1.0)
    y = np.array([[0.0, 0.0], [np.nan, 0.0]])
    x, component = map(np.asarray, sample(keys_of(2), posterior, y))
    assert component[0] >= 0 and component[1] == -1
    assert np.isfinite(x[0]).all() and np.isnan(x[1]).all()
