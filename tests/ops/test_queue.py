import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax.ops import queue

push, update_bank = jax.jit(queue.push), jax.jit(queue.update_bank)
WHERE = np.array([True, False, True, True])


def batch(start):
    """Four rows that say their number, spoiled where absent."""
    rows = np.repeat(np.arange(start, start + 4.0)[:, None], 2, axis=1)
    return np.where(WHERE[:, None], rows, np.nan).astype("f")


def test_a_queue_holds_the_newest_rows():
    stored = queue.empty(7, 2)
    for start, expected in (
        (10, [10, 12, 13]),
        (20, [20, 22, 23, 10, 12, 13]),
        (30, [30, 32, 33, 20, 22, 23, 10]),
    ):
        stored = push(stored, batch(start), where=WHERE)
        rows, where = map(np.asarray, stored)
        assert where.sum() == len(expected)
        np.testing.assert_array_equal(rows[where][:, 0], expected)
    stored = push(stored, batch(40), where=WHERE & False)
    np.testing.assert_array_equal(np.asarray(stored.rows)[:, 1], expected)
    small = push(queue.empty(2, 2), batch(50), where=WHERE)
    np.testing.assert_array_equal(np.asarray(small.rows)[:, 0], [50, 52])


def test_a_bank_moves_the_rows_of_the_batch_by_hand():
    bank = np.eye(3, 2, dtype="f")
    rows = np.array([[0, 5], [np.nan, 1], [-2, 0], [3, 4]], "f")
    index = np.array([0, 0, 1, 2])
    moved = update_bank(bank, index, rows, where=WHERE)
    half = 0.5**0.5
    expected = [[half, half], [-half, half], [0.6, 0.8]]
    np.testing.assert_allclose(moved, expected, rtol=1e-5)
    kept = update_bank(bank, index[:1], rows[:1], decay=1.0)
    np.testing.assert_allclose(kept, bank, rtol=1e-6)


def test_stored_rows_have_no_gradient():
    bank = np.eye(4, 2, dtype="f")

    def total(rows):
        pushed = queue.push(queue.empty(4, 2), rows).rows.sum()
        return pushed + queue.update_bank(bank, np.arange(4), rows).sum()

    gradient = jax.jit(jax.grad(total))(np.ones((4, 2), "f"))
    assert (np.asarray(gradient) == 0).all()


def test_labels_stay_with_their_rows():
    stored = queue.empty_labeled(7, 2)
    for start in (10, 20, 30):
        labels = np.arange(start, start + 4)
        stored = jax.jit(queue.push_labeled)(stored, batch(start), labels, where=WHERE)
        assert (stored.labels[stored.where] == stored.rows[stored.where, 0]).all()
    np.testing.assert_array_equal(stored.labels, [30, 32, 33, 20, 22, 23, 10])
    with pytest.raises(TypeError, match="push_labeled: expected labels of integers"):
        queue.push_labeled(stored, batch(40), labels / 2)
    with pytest.raises(ValueError, match="push_labeled: expected labels of shape"):
        queue.push_labeled(stored, batch(40), labels[:2])


@pytest.mark.parametrize("check_vma", [True, False])
def test_all_devices_store_the_rows_of_all(check_vma):
    stored, bank = queue.empty(5, 2), np.eye(4, 2, dtype="f")
    rows, index = np.nan_to_num(batch(10)), np.arange(4)[::-1].copy()

    def update(stored, bank, rows, index, where):
        axis = dict(where=where, axis_name="data")
        return (
            queue.push(stored, rows, **axis),
            queue.update_bank(bank, index, rows, **axis),
            queue.push_labeled(queue.empty_labeled(5, 2), rows, index, **axis),
        )

    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.shard_map(
        update,
        mesh=mesh,
        in_specs=(P(), P(), P("data"), P("data"), P("data")),
        out_specs=P(),
        check_vma=check_vma,
    )
    actual = jax.jit(split)(stored, bank, rows, index, WHERE)
    expected = (
        push(stored, rows, where=WHERE),
        update_bank(bank, index, rows, where=WHERE),
        queue.push_labeled(queue.empty_labeled(5, 2), rows, index, where=WHERE),
    )
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6)


semi_hard = jax.jit(queue.semi_hard, static_argnames=("num_negatives", "pool_size"))


def test_semi_hard_rows_are_of_their_clusters_and_of_the_pool():
    rng = np.random.default_rng(0)
    x, bank = rng.normal(size=(4, 3)), rng.normal(size=(12, 3))
    labels, index = np.arange(12) % 3, np.array([0, 4, 5, 11])
    unit = bank / np.linalg.norm(bank, axis=1, keepdims=True)
    pools = np.argsort(-(x @ unit.T), axis=1)[:, :6]
    options = dict(num_negatives=3, pool_size=6)
    seen = [set() for _ in x]
    for seed in range(20):
        key = jax.random.key(seed)
        positive, negative, where = semi_hard(key, x, bank, labels, index, **options)
        assert (labels[positive] == labels[index]).all()
        for i, pool in enumerate(pools):
            found = np.asarray(negative)[i][np.asarray(where)[i]]
            others = [j for j in pool if labels[j] != labels[index[i]]]
            assert set(found) <= set(others) and len(set(found)) == len(found)
            assert len(found) == min(3, len(others))
            seen[i] |= set(found)
    assert [len(s) for s in seen] == [
        sum(labels[pool] != labels[i]) for pool, i in zip(pools, index)
    ]


def test_semi_hard_draws_do_not_depend_on_absent_rows():
    rng, key = np.random.default_rng(0), jax.random.key(0)
    x, bank = rng.normal(size=(4, 3)), rng.normal(size=(12, 3))
    labels, index = np.arange(12) % 3, np.array([0, 4, 5, 11])
    options = dict(num_negatives=2, pool_size=6)
    spoiled = np.where(WHERE[:, None], x, np.nan)
    found = semi_hard(key, spoiled, bank, labels, index, where=WHERE, **options)
    deleted = semi_hard(key, x[WHERE], bank, labels, index[WHERE], **options)
    for a, b in zip(found, deleted):
        np.testing.assert_array_equal(np.asarray(a)[WHERE], b)
    assert not np.asarray(found.where)[~WHERE].any()
    with pytest.raises(ValueError, match="semi_hard: expected pool_size >= 2; got 1"):
        queue.semi_hard(key, x, bank, labels, index, num_negatives=2, pool_size=1)
