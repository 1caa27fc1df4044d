"""Outlier scores that compare features with fitted rows: loops, values, invariances."""

import jax
import numpy as np
import pytest

from repr_jax.estimators import (
    class_boundary,
    gradient_separation,
    knn_distance,
    mahalanobis,
)
from repr_jax.ops import linear_gradients


def draw():
    rng = np.random.default_rng(3)
    x, queries = rng.normal(size=(30, 3)), rng.normal(size=(2, 3))
    labels = np.arange(30) % 3
    return x + 2 * np.eye(3)[labels], labels, queries


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (mahalanobis.score, [4.712255, 10.37217]),
        (mahalanobis.relative_score, [1.960047, -0.5264777]),
    ],
)
def test_mahalanobis_has_the_values_of_an_independent_program(score, expected):
    x, labels, queries = draw()
    score = jax.jit(score)
    fitted = mahalanobis.fit(x, labels, num_classes=3)
    np.testing.assert_allclose(score(fitted, queries), expected, rtol=1e-5)
    other = mahalanobis.fit(x, labels, num_classes=5)  # two without rows
    np.testing.assert_allclose(score(other, queries), expected, rtol=1e-5)
    turn, move = np.random.default_rng(0).normal(size=(3, 3)), np.array([30.0, -5, 2])
    moved = mahalanobis.fit(x @ turn + move, labels, num_classes=3)
    found = score(moved, queries @ turn + move)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_mahalanobis_of_dependent_columns_needs_a_ridge():
    x, labels, queries = draw()
    x, queries = (np.concatenate([a, a], axis=1) for a in (x, queries))
    with pytest.raises(ValueError, match=r"mahalanobis\.fit: expected a ridge"):
        mahalanobis.fit(x[:, :4] * 0, labels, num_classes=3)
    fitted = mahalanobis.fit(x, labels, num_classes=3, ridge=1e-3)
    covariance = (
        sum(np.cov(x[labels == c].T, bias=True) for c in range(3)) / 3
    )  # classes of one size
    covariance += 1e-3 * np.trace(covariance) / 6 * np.eye(6)
    scores = np.asarray(jax.jit(mahalanobis.score)(fitted, queries))
    for query, found in zip(queries, scores):
        away = [query - x[labels == c].mean(axis=0) for c in range(3)]
        expected = min(a @ np.linalg.solve(covariance, a) for a in away)
        np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_mahalanobis_wants_labels_of_its_classes():
    x, labels, _ = draw()
    with pytest.raises(ValueError, match=r"labels in \[0, 2\); got 2 in row 2"):
        mahalanobis.fit(x, labels, num_classes=2)


def test_knn_distances_by_hand_and_of_an_independent_program():
    x, _, queries = draw()
    stored = knn_distance.fit(x)
    found = knn_distance.score(stored, queries, num_neighbors=3)
    np.testing.assert_allclose(found, [1.69206, 2.778137], rtol=1e-5)
    distances = np.sort(np.linalg.norm(queries[:, None] - x[None], axis=-1), axis=1)
    found = knn_distance.mean_score(stored, queries, num_neighbors=3)
    np.testing.assert_allclose(found, distances[:, :3].mean(axis=1), rtol=1e-5)
    assert knn_distance.score(stored, x[:2], num_neighbors=1).max() == 0
    near = (x[:2] + 1e-4).astype("f")  # which squares of x would round to nothing
    apart = np.linalg.norm(near - x[:2].astype("f"), axis=1)
    found = knn_distance.score(stored, near, num_neighbors=1)
    np.testing.assert_allclose(found, apart, rtol=1e-5)
    with pytest.raises(ValueError, match="at most as many neighbors as keys, 30"):
        knn_distance.score(stored, queries)


def test_absent_rows_are_no_neighbors():
    x, _, queries = draw()
    where = np.arange(30) % 2 > 0
    expected = knn_distance.score(knn_distance.fit(x[where]), queries, num_neighbors=3)
    stored = knn_distance.fit(np.where(where[:, None], x, np.nan), where=where)
    found = knn_distance.score(stored, queries, num_neighbors=3)
    np.testing.assert_allclose(found, expected)
    with pytest.raises(ValueError, match="as keys, 15"):
        knn_distance.score(stored, queries, num_neighbors=16)


def sphere():
    rng = np.random.default_rng(13)

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    centers, labels = unit(rng.normal(size=(3, 4))), np.arange(30) % 3
    z = unit(centers[labels] + 0.3 * rng.normal(size=(30, 4)))
    return centers, z, labels, unit(rng.normal(size=(3, 4)))


def test_class_boundaries_have_the_values_of_an_independent_program():
    centers, z, labels, queries = sphere()
    fitted = class_boundary.fit(centers, 3 * z, labels)
    np.testing.assert_allclose(
        fitted.bounds, [0.7565695, 0.8104539, 0.430882], rtol=1e-5
    )
    found = jax.jit(class_boundary.score)(fitted, 5 * queries)
    np.testing.assert_allclose(found, [0.5040956, 0.3100386, 0.1682032], rtol=1e-5)


@pytest.mark.parametrize("keep", [1.0, 0.9, 0.5])
def test_a_share_of_the_rows_is_within_the_boundary(keep):
    centers, z, labels, _ = sphere()
    own = np.sum(z * centers[labels], axis=1)
    fitted = class_boundary.fit(centers, z, labels, keep=keep)
    for k in range(3):
        bound = np.sort(own[labels == k])[round((1 - keep) * 10)]
        np.testing.assert_allclose(np.asarray(fitted.bounds)[k], bound, rtol=1e-6)
    best = np.sort((z @ centers.T).max(axis=1))[round((1 - keep) * 30)]
    single = class_boundary.fit_single(centers, z, keep=keep)
    np.testing.assert_allclose(single.bounds, [best] * 3, rtol=1e-6)
    inside = np.asarray(class_boundary.score(single, z)) <= 1e-6
    assert inside.mean() == pytest.approx(keep, abs=1 / 30)


def test_a_class_without_rows_has_no_boundary():
    centers, z, labels, queries = sphere()
    kept = labels < 2
    fitted = class_boundary.fit(centers, z[kept], labels[kept])
    assert np.isnan(np.asarray(fitted.bounds)[2])
    expected = class_boundary.fit(centers[:2], z[kept], labels[kept])
    np.testing.assert_allclose(
        class_boundary.score(fitted, queries), class_boundary.score(expected, queries)
    )


def test_separated_gradients_have_the_values_of_an_independent_program():
    rng = np.random.default_rng(23)
    wild, weights, inliers = (rng.normal(size=s) for s in ((8, 3), (2, 3), (6, 3)))
    gradients = jax.jit(linear_gradients.of_predicted_class)(wild @ weights.T, wild)
    reference = jax.jit(linear_gradients.of_cross_entropy)(
        inliers @ weights.T, inliers, np.arange(6) % 2
    )
    gradients, reference = np.asarray(gradients), np.asarray(reference).mean(axis=0)
    fit, score = map(jax.jit, (gradient_separation.fit, gradient_separation.score))
    fitted = fit(gradients, reference)
    found = score(fitted, gradients)
    np.testing.assert_allclose(found[:3], [0.761956, 0.9399079, 1.083409], rtol=1e-5)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    moved = score(fit(gradients @ turn, reference @ turn), gradients @ turn)
    np.testing.assert_allclose(moved, found, rtol=1e-4, atol=1e-6)
