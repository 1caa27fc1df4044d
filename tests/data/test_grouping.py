"""Batches of different groups: shares by hand, and how often each row comes."""

import itertools

import numpy as np
import pytest

from repr_jax.data.grouping import distinct_groups

TABLE = np.array([[9, 3], [2, 10], [6, 6]])  # rows by group and class
GROUPS = np.repeat([0, 0, 1, 1, 2, 2], TABLE.ravel())
CLASSES = np.repeat([0, 1, 0, 1, 0, 1], TABLE.ravel())


def batches(labels, batch_size, count=3000):
    steps = range(count)
    return np.stack(
        [distinct_groups(labels, batch_size, seed=0, step=step) for step in steps]
    )


def same_class_of_two():
    """Of two rows: exact shares, drawn uniformly, and from two groups of one size."""
    pairs = [*itertools.combinations(range(len(CLASSES)), 2)]
    uniform = np.mean([CLASSES[a] == CLASSES[b] for a, b in pairs])
    apart = [CLASSES[a] == CLASSES[b] for a, b in pairs if GROUPS[a] != GROUPS[b]]
    return uniform, np.mean(apart)


def test_two_rows_of_different_groups_share_a_class_less_often():
    uniform, apart = same_class_of_two()
    np.testing.assert_allclose([uniform, apart], [0.4873016, 0.4444444], rtol=1e-6)
    first, second = CLASSES[batches(GROUPS, 2)].T
    assert abs(np.mean(first == second) - apart) < 3 * 0.5 / 3000**0.5


def test_no_two_rows_share_a_group_and_a_batch_depends_on_seed_and_step_alone():
    labels = np.random.default_rng(0).permutation(np.repeat([7, -3, 40, 5, 0], 4))
    found = np.sort(labels[batches(labels, 4, count=50)], axis=1)
    assert (np.diff(found, axis=1) > 0).all()
    one = distinct_groups(labels, 4, seed=3, step=9)
    np.testing.assert_array_equal(one, distinct_groups(labels, 4, seed=3, step=9))
    others = [(3, 10), (4, 9)]
    others = [distinct_groups(labels, 4, seed=seed, step=step) for seed, step in others]
    assert all((one != other).any() for other in others)
    whole = distinct_groups(labels, 5, seed=0, step=0)
    np.testing.assert_array_equal(np.sort(labels[whole]), [-3, 0, 5, 7, 40])


def test_one_row_is_uniform_and_two_come_by_the_shares_of_the_groups():
    labels = np.array([0, 1, 1, 1, 2, 2])
    once = np.bincount(batches(labels, 1)[:, 0], minlength=6) / 3000
    np.testing.assert_allclose(once, 1 / 6, atol=0.025)
    share = np.array([1, 3, 2]) / 6
    expected = np.zeros((3, 3))
    for a, b in itertools.permutations(range(3), 2):
        expected[a, b] = share[a] * share[b] / (1 - share[a])
    found = np.zeros((3, 3))
    np.add.at(found, tuple(labels[batches(labels, 2)].T), 1 / 3000)
    np.testing.assert_allclose(found, expected, atol=0.03)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0, 0, 1], dict(batch_size=3), "at least batch_size = 3 groups; got 2"),
        ([[0, 1]], dict(batch_size=1), "one shape of rank 1"),
        ([0, 1], dict(batch_size=0), "batch_size >= 1; got 0"),
        ([0, 1], dict(batch_size=1, step=-1), "step >= 0; got -1"),
    ],
)
def test_bad_arguments_are_named(labels, options, message):
    with pytest.raises(ValueError, match=f"distinct_groups: expected {message}"):
        distinct_groups(np.array(labels), **dict(seed=0, step=0) | options)


def test_labels_are_whole_numbers():
    with pytest.raises(TypeError, match="distinct_groups: expected labels of integers"):
        distinct_groups(np.array([0.0, 1.0]), 1, seed=0, step=0)
