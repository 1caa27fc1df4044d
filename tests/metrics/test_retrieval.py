"""Ranks and recall: a loop, by hand, chance, ties, and absent or split rows."""

from functools import partial

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax import metrics

ranks = jax.jit(metrics.ranks)
recall_at_k = jax.jit(metrics.recall_at_k, static_argnames="k")


def ranks_in_loops(queries, keys):
    queries, keys = (x.astype(np.float64) for x in (queries, keys))

    def cosine(a, b):
        return a @ b / np.sqrt((a @ a) * (b @ b))

    result = []
    for i in range(len(queries)):
        own = cosine(queries[i], keys[i])
        scores = [cosine(queries[i], key) for j, key in enumerate(keys) if j != i]
        result.append(sum(score >= own for score in scores))
    return np.array(result)


def draw(rows=24, dim=5):
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(rows, dim)).astype("f")
    return keys + 1.5 * rng.normal(size=keys.shape).astype("f"), keys


def test_ranks_equal_a_loop():
    queries, keys = draw()
    expected = ranks_in_loops(queries, keys)
    assert expected.max() > 0
    np.testing.assert_array_equal(ranks(queries, keys), expected)


def test_by_hand():
    queries = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    keys = np.array([[1.0, 0.1], [1.0, 0.0], [5.0, 5.0]])
    np.testing.assert_array_equal(ranks(queries, keys), [1, 2, 0])
    for k, expected in [(1, 1 / 3), (2, 2 / 3), (3, 1.0)]:
        np.testing.assert_allclose(recall_at_k(queries, keys, k=k), expected)


def test_keys_that_are_all_equal_find_nothing_until_all_are_taken():
    queries, _ = draw()
    same = np.ones_like(queries)
    assert recall_at_k(queries, same, k=len(queries) - 1) == 0
    assert recall_at_k(queries, same, k=len(queries)) == 1
    assert recall_at_k(queries * 0, same, k=len(queries) - 1) == 0


def test_random_keys_are_found_as_often_as_chance():
    queries, keys = np.random.default_rng(1).normal(size=(2, 2000, 8)).astype("f")
    chance = 100 / 2000
    spread = np.sqrt(chance * (1 - chance) / 2000)
    recall = recall_at_k(queries, keys, k=100)
    assert abs(recall - chance) < 4 * spread


def test_absent_rows_are_as_good_as_deleted_even_if_nan():
    queries, keys = draw()
    where = np.arange(len(keys)) % 3 > 0
    broken = [np.where(where[:, None], x, np.nan) for x in (queries, keys)]
    actual = np.asarray(ranks(*broken, where=where))
    expected = ranks(queries[where], keys[where])
    np.testing.assert_array_equal(actual[where], expected)
    assert (actual[~where] == 0).all()
    np.testing.assert_allclose(
        recall_at_k(*broken, k=2, where=where),
        recall_at_k(queries[where], keys[where], k=2),
    )
    assert recall_at_k(*broken, k=2, where=where & False) == 0


def test_split_rows_see_all_keys():
    queries, keys = draw()
    axes = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((4,), ("data",), axis_types=axes, devices=jax.devices()[:4])
    split = jax.shard_map(
        partial(metrics.ranks, axis_name="data"),
        mesh=mesh,
        in_specs=P("data"),
        out_specs=P("data"),
    )
    found = jax.jit(split)(queries, keys)
    np.testing.assert_array_equal(found, ranks(queries, keys))


def test_nan_loses_every_comparison():
    queries, keys = draw()
    last, worst = len(keys) - 1, np.array(keys)
    worst[2] = np.nan
    with pytest.raises(
        ValueError, match="ranks: expected keys finite; got nan in row 2"
    ):
        metrics.recall_at_k(queries, worst, k=1)
    found = np.asarray(ranks(queries, worst))
    kept = np.arange(len(keys)) != 2
    without = ranks(queries[kept], keys[kept])
    np.testing.assert_array_equal(found[kept], without)
    assert found[2] == last
    nan = np.full_like(keys, np.nan)
    assert recall_at_k(nan, keys, k=last) == recall_at_k(keys, nan, k=last) == 0


@pytest.mark.parametrize("scale", [1e-25, 1e-6, 1e20])
def test_ranks_at_any_scale(scale):
    queries, keys = draw()
    found = ranks(queries * np.float32(scale), keys / np.float32(scale))
    np.testing.assert_array_equal(found, ranks(queries, keys))


def test_bad_input_is_named():
    queries, keys = draw()
    with pytest.raises(ValueError, match=r"ranks: expected one shape of rank 2; got"):
        metrics.ranks(queries, keys[:3])
    with pytest.raises(TypeError, match="ranks: expected queries of floats; got int"):
        metrics.ranks(queries.astype(int), keys)
    with pytest.raises(ValueError, match="recall_at_k: expected k >= 1; got 0"):
        metrics.recall_at_k(queries, keys, k=0)


def rankings():
    """Cosines of twelve rows of three classes, each asking the others."""
    x, labels = np.random.default_rng(13).normal(size=(12, 3)), np.arange(12) % 3
    z = x / np.linalg.norm(x, axis=1, keepdims=True)
    return x, z @ z.T, labels[:, None] == labels, ~np.eye(12, dtype=bool)


def rankings_in_loops(scores, relevant, where):
    """Of each query its average precision, that of the first R, and R-precision."""
    values = []
    for row, good, there in zip(scores, relevant, where):
        ranked = sorted(np.flatnonzero(there), key=lambda j: -row[j])
        hits = [bool(good[j]) for j in ranked]
        count = sum(hits)
        at = [sum(hits[: r + 1]) / (r + 1) for r in range(len(hits)) if hits[r]]
        first = [sum(hits[: r + 1]) / (r + 1) for r in range(count) if hits[r]]
        if count:
            values.append((sum(at) / count, sum(first) / count, len(first) / count))
    return np.mean(values, axis=0)


RANKED = [
    jax.jit(f)
    for f in (metrics.mean_average_precision, metrics.map_at_r, metrics.r_precision)
]


def test_rankings_equal_loops_and_the_stated_values():
    _, scores, relevant, where = rankings()
    found = [f(scores, relevant, where=where) for f in RANKED]
    np.testing.assert_allclose(found, [0.5719607, 0.3611111, 0.3611111], rtol=1e-5)
    rng = np.random.default_rng(0)
    for _ in range(3):
        scores = np.round(rng.normal(size=(7, 9)), 1)  # with ties
        relevant, where = rng.random((2, 7, 9)) < [[[0.2]], [[0.7]]]
        found = [f(scores, relevant, where=where) for f in RANKED]
        expected = rankings_in_loops(scores, relevant, where)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_rankings_by_hand():
    scores, relevant = np.array([[3.0, 2.0, 1.0, 0.0]]), np.array([[0, 1, 0, 1]], bool)
    found = [f(scores, relevant) for f in RANKED]
    np.testing.assert_allclose(found, [0.5, 0.25, 0.5], rtol=1e-6)
    assert all(f(scores, relevant & False) == 0 for f in RANKED)
    with pytest.raises(TypeError, match="map_at_r: expected relevant bool; got"):
        metrics.map_at_r(scores, relevant.astype(int))
    with pytest.raises(ValueError, match="r_precision: expected scores finite"):
        metrics.r_precision(np.nan * scores, relevant)


def test_pairs_above_a_false_acceptance_rate():
    _, scores, same, where = rankings()
    found = metrics.tar_at_far(scores[same & where], scores[~same], rate=0.1)
    np.testing.assert_allclose(found, 0.2777778, rtol=1e-5)
    positives, negatives = np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.5, 0.4, 0.3])
    for rate, expected in ((0.0, 1 / 3), (0.25, 2 / 3), (1.0, 1.0)):
        found = metrics.tar_at_far(positives, negatives, rate=rate)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"tar_at_far: expected rate in \[0, 1\]; got"):
        metrics.tar_at_far(positives, negatives, rate=2)


def test_a_hub_makes_counts_skewed():
    x, scores, _, where = rankings()
    found = metrics.hubness(x, num_neighbors=3)
    np.testing.assert_allclose(found, -0.5303301, rtol=1e-5)
    order = np.argsort(-np.where(where, scores, -9), axis=1)[:, :3]
    counts = np.bincount(order.ravel(), minlength=12)
    skewness = np.mean((counts - 3.0) ** 3) / np.std(counts) ** 3
    np.testing.assert_allclose(found, skewness, rtol=1e-5)
    hub = np.eye(8, dtype="f")
    hub[0] = 1  # is nearest to all others
    assert metrics.hubness(hub, num_neighbors=1) > 2
    square = np.array([[1, 0], [1, 0.1], [-1, 0], [-1, 0.1]], "f")
    assert metrics.hubness(square, num_neighbors=1) == 0


def test_average_compatibility_counts_strict_wins_below_the_diagonal():
    matrix = np.array([[0.6, 0, 0], [0.65, 0.7, 0], [0.55, 0.72, 0.8]])
    found = metrics.average_compatibility(matrix)
    np.testing.assert_allclose(found, 0.6666667, rtol=1e-5)
    assert metrics.average_compatibility(np.ones((3, 3))) == 0  # equality is no win
    assert metrics.average_compatibility(matrix[:1, :1]) == 0
    with pytest.raises(ValueError, match="average_compatibility: expected matrix"):
        metrics.average_compatibility(matrix[:2])
