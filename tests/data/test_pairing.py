"""Tuples of one class."""

import numpy as np
import pytest

from repr_jax.data import pairing

LABELS = np.array([0, 1, 3, 1, 0, 3, 3, 1, 0, 3] * 3)  # no row of class 2


def test_partners_are_others_of_the_class():
    data = pairing.classes(LABELS, width=5)
    anchors = np.arange(len(LABELS)).repeat(20)
    rows = pairing.partners(np.random.default_rng(0), data, anchors, width=5)
    np.testing.assert_array_equal(rows[:, 0], anchors)
    np.testing.assert_array_equal(LABELS[rows], LABELS[anchors][:, None].repeat(5, 1))
    assert all(len(set(row)) == 5 for row in rows)


def test_partners_are_uniform_and_pairs_too():
    """Chi-square over all ordered pairs of different partners of one anchor."""
    labels = np.zeros(6, int)
    data = pairing.classes(labels, width=3)
    count = 40_000
    rng = np.random.default_rng(1)
    rows = pairing.partners(rng, data, np.full(count, 2), width=3)
    seen = np.zeros((6, 6))
    np.add.at(seen, (rows[:, 1], rows[:, 2]), 1)
    allowed = ~np.eye(6, dtype=bool)
    allowed[2, :] = allowed[:, 2] = False
    assert seen[~allowed].sum() == 0
    expected = count / allowed.sum()
    chi_square = ((seen[allowed] - expected) ** 2 / expected).sum()
    assert chi_square < 43.8  # 0.999 quantile with 19 degrees of freedom


def test_a_class_as_large_as_a_tuple_is_enough():
    labels = np.array([0, 1, 0, 1, 0])
    data = pairing.classes(labels[:4], width=2)
    rows = pairing.tuples(np.random.default_rng(0), data, width=2)
    np.testing.assert_array_equal(rows[:, 0] + rows[:, 1], [2, 4, 2, 4])
    with pytest.raises(ValueError, match=r"3 rows of each class.*got 2 of class 1"):
        pairing.classes(labels, width=3)


def test_tuples_permute_each_class_in_each_column():
    data = pairing.classes(LABELS, width=5)
    rows = pairing.tuples(np.random.default_rng(0), data, width=5)
    np.testing.assert_array_equal(LABELS[rows], LABELS[:, None].repeat(5, 1))
    for column in rows.T:
        assert sorted(column) == list(range(len(LABELS)))
    assert all(len(set(row)) == 5 for row in rows)
    assert len({tuple(column) for column in rows.T}) == 5


def test_columns_are_independent_but_for_repeats():
    """Neighbors in one column are no nearer in another than chance has it."""
    data = pairing.classes(np.zeros(2000, int), width=5)
    rows = pairing.tuples(np.random.default_rng(0), data, width=5)
    correlation = np.corrcoef(rows.T)[~np.eye(5, dtype=bool)]
    assert np.abs(correlation).max() < 4 / np.sqrt(2000)
