"""k-means against plain loops, scikit-learn, and batches that are split or masked."""

import functools

import jax
import numpy as np
import pytest

from repr_jax import metrics
from repr_jax.estimators import kmeans

KEY = jax.random.key(0)
logits_of = jax.jit(kmeans.logits)
FIT = functools.partial(kmeans.fit, KEY, num_clusters=5, num_restarts=8)
assert_same = functools.partial(
    jax.tree.map, functools.partial(np.testing.assert_allclose, rtol=1e-4)
)


def lloyd(x, centroids, max_steps):
    """In float64, row by row, until no row moves."""
    x, centroids = x.astype(np.float64), centroids.astype(np.float64)
    assigned, count = None, 0
    while count <= max_steps:
        nearest = [np.argmin([((a - c) ** 2).sum() for c in centroids]) for a in x]
        if nearest == assigned or count == max_steps:
            break
        assigned, count = nearest, count + 1
        for k in range(len(centroids)):
            mine = [a for a, n in zip(x, nearest) if n == k]
            if mine:
                centroids[k] = sum(mine) / len(mine)
    inertia = np.mean([min(((a - c) ** 2).sum() for c in centroids) for a in x])
    return centroids, inertia, count


@pytest.mark.parametrize("max_steps", [1, 50])
def test_steps_are_lloyds(max_steps):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(70, 3)).astype(np.float32) + 10
    centroids, inertia, count = lloyd(x, x[:6], max_steps)
    where = np.ones(70, bool)
    run = jax.jit(kmeans._lloyd, static_argnums=4)
    found = run(x, where, x[:6], max_steps, None)
    np.testing.assert_allclose(found.centroids, centroids, rtol=1e-5)
    np.testing.assert_allclose(found.inertia, inertia, rtol=1e-4)
    assert found.num_steps == count


def test_blobs_are_recovered(blobs):
    found = kmeans.fit(KEY, blobs.x, num_clusters=4)
    assigned = kmeans.assign(found, blobs.x)
    assert assigned.dtype == np.int32
    table = metrics.contingency(assigned, blobs.labels)
    assert metrics.hungarian_accuracy(table) == 1
    means = np.stack([blobs.x[blobs.labels == c].mean(axis=0) for c in range(4)])
    order = np.asarray(assigned)[:4]  # of the first row of each class
    np.testing.assert_allclose(np.asarray(found.centroids)[order], means, atol=1e-5)
    inertia = np.mean(((blobs.x - means[blobs.labels]) ** 2).sum(axis=1))
    np.testing.assert_allclose(found.inertia, inertia, rtol=1e-4)
    logits = logits_of(found, blobs.x, temperature=2.0)
    np.testing.assert_array_equal(np.argmax(logits, axis=-1), assigned)


def test_as_good_as_scikit_learn():
    from sklearn.cluster import KMeans

    x = np.random.default_rng(4).normal(size=(160, 8)).astype(np.float32)
    expected = KMeans(5, n_init=8, random_state=0).fit(x).inertia_ / len(x)
    assert FIT(x, where=np.ones(160, bool)).inertia < 1.02 * expected


def test_logits_by_hand():
    fitted = kmeans.KMeans(np.array([[0.0, 0.0], [3.0, 4.0]]), np.zeros(()), 0)
    found = logits_of(fitted, np.array([[3.0, 0.0]]), temperature=2.0)
    np.testing.assert_allclose(found, [[-4.5, -8.0]])


def test_a_single_cluster_is_the_mean(blobs):
    found = kmeans.fit(KEY, blobs.x, num_clusters=1)
    np.testing.assert_allclose(found.centroids[0], blobs.x.mean(axis=0), atol=1e-5)


def test_fewer_different_rows_than_clusters():
    x = np.repeat(np.eye(2, dtype=np.float32), 5, axis=0)
    found = kmeans.fit(KEY, x, num_clusters=4)
    assert np.isfinite(found.centroids).all()
    np.testing.assert_allclose(found.inertia, 0, atol=1e-6)


def test_seeds_are_far_apart():
    """One far row among a thousand is a seed, which a uniform draw would miss."""
    x = np.concatenate([np.zeros((1000, 2)), np.full((1, 2), 100.0)]).astype("f")
    where = np.ones(1001, bool)
    keys = jax.random.split(KEY, 1001)
    seeds = jax.jit(kmeans._seeds, static_argnums=(3, 4))(keys, x, where, 2, None)
    np.testing.assert_array_equal(np.sort(seeds[:, 0]), [0, 100])


@pytest.mark.parametrize("offset", [0, 4096])
def test_rows_far_from_0(blobs, offset):
    x = (np.round(blobs.x * 256) / 256).astype("f")  # exact at either place
    near = kmeans.fit(KEY, x, num_clusters=4)
    far = kmeans.fit(KEY, x + np.float32(offset), num_clusters=4)
    np.testing.assert_allclose(far.inertia, near.inertia, rtol=1e-5)
    np.testing.assert_allclose(far.centroids - offset, near.centroids, atol=1e-3)
    assigned = kmeans.assign(far, x + np.float32(offset))
    np.testing.assert_array_equal(assigned, kmeans.assign(near, x))


def test_inertia_of_narrow_clusters_far_apart():
    """Squared distances are a hundred million times the inertia."""
    rng = np.random.default_rng(0)
    centers = np.array([[-1000.0, 0], [1000, 0], [0, 1000]])
    x = centers[np.arange(90) % 3] + 0.1 * rng.normal(size=(90, 2))
    x = x.astype("f")
    found = kmeans.fit(KEY, x, num_clusters=3)
    exact = x.astype(float).reshape(30, 3, 2)
    expected = np.mean(np.sum((exact - exact.mean(axis=0)) ** 2, axis=-1))
    np.testing.assert_allclose(found.inertia, expected, rtol=0.01)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: kmeans.fit(KEY, x[0], num_clusters=2), ValueError, "rank 2"),
        (lambda x: kmeans.fit(KEY, x, num_clusters=200), ValueError, "rows, 160; got"),
        (lambda x: kmeans.fit(KEY, x, num_clusters=0), ValueError, "num_clusters >= 1"),
        (lambda x: kmeans.fit(KEY, x, num_clusters=2.0), TypeError, "whole number"),
        (
            lambda x: kmeans.fit(KEY, x, num_clusters=2, where=np.ones(160)),
            TypeError,
            "where bool",
        ),
        (
            lambda x: kmeans.logits(kmeans.KMeans(x, x[0, 0], 0), x, temperature=0.0),
            ValueError,
            "temperature > 0",
        ),
    ],
)
def test_wrong_inputs_are_refused(blobs, call, error, message):
    with pytest.raises(error, match=message):
        call(blobs.x)
