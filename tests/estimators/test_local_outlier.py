"""Local outliers, what they are good for, and Gaussians of what they leave."""

import jax
import numpy as np
import pytest

from repr_jax.estimators import calibrated_gaussians, local_outlier

fit = jax.jit(local_outlier.fit, static_argnames="num_neighbors")


def factors_by_loops(x, k):
    n = len(x)
    away = np.array([[np.linalg.norm(a - b) for b in x] for a in x])
    near = [
        sorted((j for j in range(n) if j != i), key=lambda j: away[i, j])[:k]
        for i in range(n)
    ]
    radius = [away[i, near[i][-1]] for i in range(n)]
    reach = [np.mean([max(away[i, j], radius[j]) for j in near[i]]) for i in range(n)]
    density = [1 / (r + 1e-10) for r in reach]
    return [np.mean([density[j] for j in near[i]]) / density[i] for i in range(n)]


def test_factors_match_loops_and_scikit_learn():
    x = np.random.default_rng(12).normal(size=(15, 2))
    x[0] += 4
    found = np.asarray(fit(x, num_neighbors=4).scores)
    np.testing.assert_allclose(found, factors_by_loops(x, 4), rtol=1e-4)
    np.testing.assert_allclose(found[:3], [5.420952, 1.0049, 1.492764], rtol=1e-4)
    moved = np.asarray(fit(7 * x + 100, num_neighbors=4).scores)
    np.testing.assert_allclose(moved, found, rtol=1e-3)


def test_new_rows_are_judged_by_the_fitted_ones():
    x = np.random.default_rng(0).normal(size=(40, 2))
    fitted = fit(x, num_neighbors=5)
    queries = np.array([[0.0, 0], [9, 9]])
    near, far = np.asarray(local_outlier.score(fitted, queries))
    assert near < 1.5 < 5 < far


def test_repeated_rows_and_an_even_line_by_hand():
    found = np.asarray(fit(np.ones((6, 2)), num_neighbors=2).scores)
    np.testing.assert_allclose(found, 1, rtol=1e-6)
    line = np.arange(9.0)[:, None]  # of those in the middle all densities are alike
    found = np.asarray(fit(line, num_neighbors=2).scores)
    np.testing.assert_allclose(found[3:-3], 1, rtol=1e-6)
    with pytest.raises(ValueError, match=r"local_outlier\.fit: expected fewer neighb"):
        local_outlier.fit(line, num_neighbors=9)


def draw_classes():
    rng = np.random.default_rng(60)
    labels = np.array([0] * 12 + [1] * 12 + [2] * 3)
    x = rng.normal(size=(27, 2)) + 3 * np.array([[0, 0], [2, 0], [2, 1]])[labels]
    x[0] += 5
    return x, labels


OPTIONS = dict(num_classes=3, cut=1.5, num_neighbors=4)


def test_gaussians_match_loops_and_an_independent_program():
    x, labels = draw_classes()
    kept = calibrated_gaussians.typical_rows(x, labels, **OPTIONS)
    assert np.flatnonzero(~kept).tolist() == [0, 14, 20]
    found = calibrated_gaussians.fit(x, labels, **OPTIONS)
    rows = [x[(labels == c) & kept] for c in range(3)]
    means = np.array([r.mean(axis=0) for r in rows])
    away = np.linalg.norm(means[:2] - means[2], axis=1)
    weights = np.array([len(r) for r in rows[:2]]) / away
    weights /= weights.sum()
    for expected in (weights, [0.2728251, 0.7271749]):
        np.testing.assert_allclose(found.head_weights[2, :2], expected, rtol=1e-4)
    blend = 0.9 * means[2] + 0.1 * weights @ means[:2]
    for expected in (blend, [5.188382, 2.326109]):
        np.testing.assert_allclose(found.means[2], expected, rtol=1e-4)
    covariances = [np.cov(r.T, bias=True) for r in rows]
    np.testing.assert_allclose(found.covariances[0], covariances[0], rtol=1e-4)
    blend = 0.9 * covariances[2]
    blend = blend + 0.1 * sum(w * c for w, c in zip(weights, covariances))
    np.testing.assert_allclose(found.covariances[2], blend, rtol=1e-4)


def test_without_a_blend_or_a_cut_they_are_the_moments_of_classes():
    x, labels = draw_classes()
    found = calibrated_gaussians.fit(
        x, labels, num_classes=3, cut=np.inf, own_weight=1.0
    )
    for c in range(3):
        mean, covariance = x[labels == c].mean(axis=0), np.cov(x[labels == c].T, bias=1)
        np.testing.assert_allclose(found.means[c], mean, rtol=1e-5)
        np.testing.assert_allclose(found.covariances[c], covariance, rtol=1e-4)
    draws = calibrated_gaussians.sample(jax.random.key(0), found, num=20_000)
    assert draws.shape == (3, 20_000, 2)
    np.testing.assert_allclose(np.mean(draws[0], axis=0), found.means[0], atol=0.05)
    np.testing.assert_allclose(np.cov(draws[0].T), found.covariances[0], atol=0.15)
    with pytest.raises(ValueError, match=r"expected rows of every class; got none of"):
        calibrated_gaussians.fit(x, labels, num_classes=4)


def test_half_of_a_class_as_neighborhood_finds_mislabeled_rows():
    rng = np.random.default_rng(1)
    right = rng.normal(size=(80, 4)), rng.normal(size=(80, 4)) + np.eye(4)[0] * 6
    x, labels = np.concatenate(right), np.repeat([0, 1], 80)
    wrong = np.arange(160) % 80 < 20
    labels = np.where(wrong, 1 - labels, labels)
    mean = x[~wrong & (labels == 0)].mean(axis=0)
    error = [
        np.linalg.norm(
            calibrated_gaussians.fit(
                x, labels, num_classes=2, cut=1.5, num_neighbors=size
            ).means[0]
            - mean
        )
        for size in (5, None)
    ]
    assert error[1] < 0.3 * error[0]
