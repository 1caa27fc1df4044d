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
