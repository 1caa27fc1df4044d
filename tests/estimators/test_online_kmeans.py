"""Online k-means: steps against loops, clusters that move, and small ones replaced."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax.estimators import online_kmeans
from repr_jax.estimators.online_kmeans import OnlineKMeans

KEY = jax.random.key(0)
fit = jax.jit(online_kmeans.fit, static_argnames="num_clusters")
update = jax.jit(online_kmeans.update)
refresh = jax.jit(online_kmeans.refresh, static_argnames="min_size")


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def around(rng, centers, sizes, spread=0.05):
    """Rows of length 1 around centers, and which one each is around."""
    truth = np.repeat(np.arange(len(sizes)), sizes)
    noise = spread * rng.normal(size=(len(truth), np.shape(centers)[1]))
    return np.float32(unit(np.asarray(centers)[truth] + noise)), truth


def partition(labels):
    """Which rows are together."""
    return np.equal.outer(labels, labels)


def drawn(seed=0, rows=30, clusters=4, dim=3):
    rng = np.random.default_rng(seed)
    x = np.float32(unit(rng.normal(size=(rows, dim))))
    labels = rng.integers(clusters, size=rows).astype(np.int32)
    return OnlineKMeans(np.float32(rng.normal(size=(clusters, dim))), x, labels)


def test_an_update_is_that_of_loops():
    start, rng = drawn(), np.random.default_rng(1)
    index, rows = np.array([4, 29, 0, 11]), np.float32(3 * rng.normal(size=(4, 3)))
    where = np.array([True, True, False, True])
    spoiled = np.where(where[:, None], rows, np.nan)
    found = update(start, index, spoiled, decay=0.75, where=where)
    x, labels = start.x.astype(np.float64), start.labels.copy()
    for i, row, there in zip(index, rows.astype(np.float64), where):
        if there:
            x[i] = unit(0.75 * x[i] + 0.25 * unit(row))
            labels[i] = np.argmax([x[i] @ c for c in start.centroids])
    np.testing.assert_allclose(found.x, x, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.centroids, start.centroids)


def test_centroids_move_to_the_means_of_their_rows_and_others_stay():
    start = drawn()
    labels = np.where(start.labels == 2, -1, start.labels)  # absent: none of cluster 2
    found = refresh(KEY, start._replace(labels=labels), min_size=1)
    sizes = np.bincount(labels[labels >= 0], minlength=4)
    largest = np.argmax(sizes)
    for k in {0, 1, 3} - {largest}:
        np.testing.assert_array_equal(found.labels == k, labels == k)
        mean = start.x[labels == k].astype(np.float64).mean(0)
        np.testing.assert_allclose(found.centroids[k], mean, rtol=1e-5, atol=1e-6)
    here = np.asarray(found.labels)
    np.testing.assert_array_equal(here == -1, labels == -1)
    parts = np.isin(here, [2, largest])  # the empty one got a part of the largest
    np.testing.assert_array_equal(parts, labels == largest)
    assert set(here[parts]) == {2, largest}


def test_without_small_clusters_no_row_changes_its_own():
    start = drawn(rows=60)
    assert np.bincount(start.labels).min() >= 5
    found = refresh(KEY, start, min_size=5)
    np.testing.assert_array_equal(found.labels, start.labels)


def test_small_clusters_dissolve_and_the_largest_is_divided():
    """Four groups; the first two are one cluster, and two rows of the last another."""
    x, truth = around(np.random.default_rng(0), np.eye(4), (20, 20, 15, 10))
    labels = np.array([0, 0, 1, 2])[truth].astype(np.int32)
    labels[-2:] = 3
    start = OnlineKMeans(np.zeros((4, 4), "f"), x, labels)
    found = refresh(KEY, start, min_size=3)
    np.testing.assert_array_equal(partition(found.labels), partition(truth))
    for k in range(4):
        mean = x[np.asarray(found.labels) == k].mean(0)
        np.testing.assert_allclose(found.centroids[k], mean, rtol=1e-4, atol=1e-5)
    kept = refresh(KEY, start, min_size=1)
    np.testing.assert_array_equal(kept.labels, labels)


def test_rows_that_cannot_be_divided_leave_the_cluster_empty():
    x, labels = np.tile(np.eye(1, 3, dtype="f"), (6, 1)), np.zeros(6, np.int32)
    start = OnlineKMeans(np.eye(2, 3, dtype="f"), x, labels)
    found = refresh(KEY, start, min_size=1)
    assert np.isfinite(found.centroids).all()
    np.testing.assert_array_equal(found.labels, start.labels)
    np.testing.assert_array_equal(found.centroids[1], start.centroids[1])


def test_clusters_follow_rows_that_turn():
    """Groups turn by 90 degrees while batches come: the partition stays."""
    rng = np.random.default_rng(0)
    x, truth = around(rng, np.eye(3, 6), (40, 40, 40))
    clusters = fit(KEY, x, num_clusters=3)
    np.testing.assert_array_equal(partition(clusters.labels), partition(truth))
    swap = np.roll(np.eye(6), 3, axis=1)  # orthogonal to where all were

    def batches():
        for step in range(150):
            index = rng.choice(120, 24, replace=False)
            angle = min(1.0, step / 100) * np.pi / 2
            yield (
                index,
                np.float32(np.cos(angle) * x[index] + np.sin(angle) * x[index] @ swap),
            )

    found = online_kmeans.fit_stream(KEY, clusters, batches(), every=5, min_size=4)
    np.testing.assert_array_equal(partition(found.labels), partition(truth))
    np.testing.assert_allclose(found.x, x @ swap, atol=0.05)
    assert np.abs(np.sum(found.centroids * clusters.centroids, axis=1)).max() < 0.1
    later = np.asarray(online_kmeans.assign(found, x @ swap))
    np.testing.assert_array_equal(later, found.labels)


def test_a_split_batch_is_the_whole():
    start, rng = drawn(), np.random.default_rng(1)
    index, where = rng.permutation(30)[:8], np.arange(8) != 3
    rows = np.float32(rng.normal(size=(8, 3)))
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def part(start, index, rows, where):
        options = dict(where=where, axis_name="data")
        return online_kmeans.update(start, index, rows, **options)

    split = (P(), P("data"), P("data"), P("data"))
    found = jax.jit(jax.shard_map(part, mesh=mesh, in_specs=split, out_specs=P()))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        found(start, index, rows, where),
        update(start, index, rows, where=where),
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: refresh(KEY, drawn(), min_size=8), "at most 30 / 4, .* got 8"),
        (lambda: refresh(KEY, drawn(), min_size=0), "min_size"),
        (lambda: update(drawn(), np.array([0]), np.ones((2, 3), "f")), "index"),
        (
            lambda: online_kmeans.fit_stream(KEY, drawn(), [], every=0),
            "fit_stream: .*every",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
