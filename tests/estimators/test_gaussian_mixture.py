"""Mixtures of Gaussians against loops written from the book, split and masked."""

import functools

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax import metrics
from repr_jax.estimators import gaussian_mixture
from repr_jax.estimators.gaussian_mixture import COVARIANCES, GaussianMixture

KEY = jax.random.key(0)
log_prob, score = jax.jit(gaussian_mixture.log_prob), jax.jit(gaussian_mixture.score)
FIT = functools.partial(
    gaussian_mixture.fit, KEY, num_components=3, num_steps=5, ridge=1e-3
)
KINDS = pytest.mark.parametrize("covariance", COVARIANCES)
assert_same = functools.partial(
    jax.tree.map, functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)
)


def density(x, mean, covariance):
    """Bishop, eq. 2.43."""
    away = x - mean
    power = away @ np.linalg.inv(covariance) @ away
    return np.exp(-power / 2) / np.sqrt(np.linalg.det(2 * np.pi * covariance))


def matrices(mixture):
    """[components, dim, dim] covariances of a mixture of any kind."""
    num, dim = np.shape(mixture.means)
    kept = np.asarray(mixture.covariances, np.float64)
    if kept.ndim == 2:
        kept = np.stack([np.diag(row) for row in np.broadcast_to(kept, (num, dim))])
    return np.broadcast_to(kept, (num, dim, dim))


def mean_log_prob(mixture, x):
    """In float64, row by row; eq. 9.14."""
    total = 0.0
    for row in np.asarray(x, np.float64):
        parts = zip(*map(np.asarray, mixture[:2]), matrices(mixture))
        total += np.log(sum(w * density(row, m, c) for w, m, c in parts))
    return total / len(x)


def em(x, start, covariance, ridge, num_steps):
    """In float64 loops: weights, means and covariances by eqs. 9.23 to 9.27."""
    x = x.astype(np.float64)
    n, dim = x.shape
    weights, means, covs = start.weights, start.means, matrices(start)
    for _ in range(num_steps):
        posterior = np.zeros((n, len(weights)))
        for i in range(n):
            for k in range(len(weights)):
                posterior[i, k] = weights[k] * density(x[i], means[k], covs[k])
            posterior[i] /= posterior[i].sum()  # 9.23
        means, covs = [], []
        counts = posterior.sum(axis=0)  # 9.27
        for k, count in enumerate(counts):
            mean = sum(posterior[i, k] * x[i] for i in range(n)) / count  # 9.24
            cov = np.zeros((dim, dim))
            for i in range(n):
                cov += posterior[i, k] * np.outer(x[i] - mean, x[i] - mean)
            means.append(mean)
            covs.append(cov / count)  # 9.25
        weights = counts / n  # 9.26
        if covariance == "shared":
            covs = [sum(w * c for w, c in zip(weights, covs))] * len(covs)
        if covariance in ("diagonal", "spherical"):
            covs = [np.diag(np.diag(c)) for c in covs]
        if covariance == "spherical":
            covs = [np.eye(dim) * np.trace(c) / dim for c in covs]
        covs = [c + ridge * np.eye(dim) for c in covs]
    return weights, np.stack(means), np.stack(covs)


def start_of(covariance, x):
    """Three rows as means, unit covariances."""
    dim = x.shape[1]
    shape = {
        "full": np.stack([np.eye(dim)] * 3),
        "shared": np.eye(dim)[None],
        "diagonal": np.ones((3, dim)),
        "spherical": np.ones((3, 1)),
    }[covariance]
    return GaussianMixture(np.array([0.5, 0.3, 0.2]), x[:3].copy(), shape)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 3)) @ np.array([[2, 0, 0], [1, 1, 0], [0, 0.5, 0.5]])
    return (x + 4 * (np.arange(40) % 3 == 0)[:, None]).astype(np.float32)


@KINDS
def test_steps_are_those_of_the_book(rows, covariance):
    start = start_of(covariance, rows)
    weights, means, covs = em(rows, start, covariance, 1e-3, 5)
    found = FIT(rows, covariance=covariance, start=start)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-4)
    np.testing.assert_allclose(found.means, means, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(matrices(found), covs, rtol=1e-4, atol=1e-5)
    expected = mean_log_prob(GaussianMixture(weights, means, covs), rows)
    actual = np.mean(log_prob(found, rows))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    history = np.asarray(found.history)
    np.testing.assert_allclose(history[0], mean_log_prob(start, rows), rtol=1e-5)


def test_two_clouds_have_the_stated_log_likelihood():
    x = np.random.default_rng(8).normal(size=(60, 2)) + 3 * (np.arange(60) % 2)[:, None]
    cov = np.cov(x.T, bias=True) + 1e-6 * np.eye(2)
    start = GaussianMixture(np.ones(2) / 2, x[:2], np.stack([cov, cov]))
    found = gaussian_mixture.fit(KEY, x, num_components=2, num_steps=3, start=start)
    actual = np.mean(log_prob(found, x))
    np.testing.assert_allclose(actual, -3.534285, rtol=1e-5)


def test_log_prob_by_hand():
    mixture = GaussianMixture(
        np.array([0.25, 0.75]), np.array([[0.0], [2.0]]), np.array([[1.0], [4.0]])
    )
    x = np.zeros((1, 1), np.float32)
    normal = 1 / np.sqrt(2 * np.pi)
    parts = np.array([0.25 * normal, 0.75 * normal / 2 * np.exp(-0.5)])
    logits = gaussian_mixture.logits(mixture, x)
    np.testing.assert_allclose(logits, np.log(parts)[None], rtol=1e-5)
    np.testing.assert_allclose(score(mixture, x), -np.log(parts.sum()), rtol=1e-5)
    np.testing.assert_array_equal(gaussian_mixture.assign(mixture, x), [0])


@KINDS
def test_the_mean_log_likelihood_never_falls(rows, covariance):
    start = start_of(covariance, rows)
    found = FIT(rows, covariance=covariance, num_steps=40, ridge=1e-6, start=start)
    assert found.history.shape == (40,)
    assert np.diff(found.history).min() > -1e-5
    assert found.history[-1] > found.history[0] + 0.01


@KINDS
def test_blobs_are_recovered(blobs, covariance):
    found = gaussian_mixture.fit(
        KEY, blobs.x, num_components=4, covariance=covariance, num_steps=10
    )
    assigned = gaussian_mixture.assign(found, blobs.x)
    assert assigned.dtype == np.int32
    table = metrics.contingency(assigned, blobs.labels)
    assert metrics.hungarian_accuracy(table) == 1
    np.testing.assert_allclose(found.weights, np.full(4, 0.25), rtol=1e-5)
    far, near = score(found, blobs.x + 5), score(found, blobs.x)
    assert np.min(far) > np.max(near)


def test_far_from_zero(rows):
    """Moved by 1000, where float32 rounds to 6e-5, the fit moves along."""
    near, far = FIT(rows), FIT(rows + 1000)
    np.testing.assert_allclose(far.means - 1000, near.means, atol=1e-3)
    np.testing.assert_allclose(far.covariances, near.covariances, atol=1e-2)
    np.testing.assert_allclose(far.history, near.history, atol=1e-3)


def test_a_component_of_no_row_stays(rows):
    start = start_of("full", rows)
    start.means[2] = 1e4
    found = FIT(rows, start=start)
    np.testing.assert_allclose(found.means[2], 1e4, rtol=1e-5)
    np.testing.assert_array_equal(found.weights[2], 0)
    assert np.isfinite(gaussian_mixture.log_prob(found, rows)).all()


@KINDS
def test_absent_rows_are_as_good_as_deleted(rows, covariance):
    where = np.arange(40) % 5 > 0
    x = np.where(where[:, None], rows, np.nan)
    fit = functools.partial(FIT, covariance=covariance)
    assert_same(fit(x, where=where), fit(rows[where]))


@KINDS
def test_a_split_batch_has_the_fit_of_the_whole(rows, covariance):
    where = np.arange(40) % 5 > 0
    fit = functools.partial(FIT, covariance=covariance)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.shard_map(
        lambda x, where: fit(x, where=where, axis_name="data"),
        mesh=mesh,
        in_specs=P("data"),
        out_specs=P(),
    )
    assert_same(jax.jit(split)(rows, where), fit(rows, where=where))


def test_jit_is_eager_and_absent_rows_alone_are_finite(rows):
    assert_same(jax.jit(FIT)(rows), FIT(rows))
    found = FIT(np.full_like(rows, np.nan), where=np.zeros(40, bool))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_a_traced_value_that_is_not_finite_shows(rows):
    rows = rows.copy()
    rows[7, 1] = np.nan
    assert np.isnan(jax.jit(FIT)(rows).means).all()
    with pytest.raises(ValueError, match="x finite; got nan in row 7"):
        FIT(rows)
    found = FIT(rows[:7])
    with pytest.raises(ValueError, match="x finite; got nan in row 7"):
        gaussian_mixture.assign(found, rows)


def test_a_ridge_below_rounding_is_refused():
    rng = np.random.default_rng(0)
    x = 1e3 * rng.normal(size=(20, 2)) @ rng.normal(size=(2, 30))
    with pytest.raises(ValueError, match=r"a ridge that keeps .*; got 1e-06"):
        gaussian_mixture.fit(KEY, x.astype(np.float32), num_components=2)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        (dict(num_components=50), ValueError, "rows, 40; got num_components 50"),
        (dict(num_components=2.0), TypeError, "num_components a whole number"),
        (dict(num_steps=0), ValueError, "num_steps >= 1"),
        (dict(covariance="tied"), ValueError, "covariance among .*; got 'tied'"),
        (dict(ridge=0.0), ValueError, "ridge > 0"),
        (dict(where=np.ones(40)), TypeError, "where bool"),
        (dict(covariance="shared", start="full"), ValueError, r"covariances of shape"),
    ],
)
def test_wrong_inputs_are_refused(rows, keywords, error, message):
    if "start" in keywords:
        keywords = {**keywords, "start": start_of(keywords["start"], rows)}
    with pytest.raises(error, match=message):
        FIT(rows, **keywords)


def test_wrong_rows_are_refused(rows):
    with pytest.raises(ValueError, match="rank 2"):
        FIT(rows[0])
    with pytest.raises(TypeError, match="floats"):
        FIT(rows.astype(int))
    with pytest.raises(ValueError, match=r"x of shape \(40, 3\); got \(40, 2\)"):
        gaussian_mixture.log_prob(FIT(rows), rows[:, :2])


@KINDS
def test_samples_have_the_moments_of_the_mixture(covariance):
    means = np.array([[0.0, 4.0], [3.0, -1.0]], "f")
    kinds = {
        "full": np.array([[[1.0, 0.6], [0.6, 0.5]], [[0.2, 0], [0, 2.0]]], "f"),
        "shared": np.array([[[1.0, 0.6], [0.6, 0.5]]], "f"),
        "diagonal": np.array([[1.0, 0.1], [0.2, 2.0]], "f"),
        "spherical": np.array([[1.0], [0.2]], "f"),
    }
    weights = np.array([0.25, 0.75], "f")
    mixture = GaussianMixture(weights, means, kinds[covariance])
    x = np.asarray(gaussian_mixture.sample(KEY, mixture, 40_000), np.float64)
    own = kinds[covariance]
    if own.ndim == 2:
        own = np.stack([np.diag(np.broadcast_to(row, 2)) for row in own])
    own = np.broadcast_to(own, (2, 2, 2))
    mean = weights @ means
    spread = sum(
        w * (c + np.outer(m - mean, m - mean)) for w, c, m in zip(weights, own, means)
    )
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=0.06)
    np.testing.assert_allclose(np.cov(x.T), spread, atol=0.12)
    first = x[gaussian_mixture.assign(mixture, x.astype("f")) == 0]
    assert len(first) / len(x) == pytest.approx(0.25, abs=0.02)
