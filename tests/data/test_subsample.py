"""Subsets with stated shares: counts, and that a choice depends on the ids alone."""

import numpy as np
import pytest

from repr_jax.data import subsample

FAIRFACE = (16527, 12233, 13367, 12287, 10795, 12319, 9216)  # of train, White first


def test_unfairface_has_the_counts_of_the_rule():
    labels = np.repeat(np.arange(7), FAIRFACE)
    rows = subsample.by_shares(labels, subsample.FLAT_TAIL)
    counts = np.bincount(labels[rows])
    np.testing.assert_array_equal(counts, [16527, *[int(16527 * 0.03 / 0.82)] * 6])
    assert len(np.unique(rows)) == len(rows) and np.all(np.diff(rows) > 0)
    assert counts[0] / counts.sum() == pytest.approx(0.82, abs=1e-3)


def test_a_choice_depends_on_ids_and_seed_alone():
    rng = np.random.default_rng(0)
    labels, ids = rng.integers(0, 3, 300), np.array([f"{i:03}.jpg" for i in range(300)])
    shares = (0.5, 0.3, 0.2)
    chosen = set(ids[subsample.by_shares(labels, shares, ids=ids, seed=5)])
    order = rng.permutation(300)
    found = subsample.by_shares(labels[order], shares, ids=ids[order], seed=5)
    assert set(ids[order][found]) == chosen
    assert set(ids[subsample.by_shares(labels, shares, ids=ids, seed=6)]) != chosen
    counts = np.bincount(labels[subsample.by_shares(labels, shares)])
    first = np.sum(labels == 0)
    np.testing.assert_array_equal(
        counts, [first, int(first * 0.6), int(first * 0.4 + 1e-9)]
    )


def test_balanced_subsets_choose_among_the_allowed():
    labels = np.tile(np.arange(4), 30)
    where = np.arange(120) % 3 > 0
    rows = subsample.balanced(labels, 15, num_classes=4, where=where)
    np.testing.assert_array_equal(np.bincount(labels[rows]), [15] * 4)
    assert where[rows].all() and len(np.unique(rows)) == 60
    with pytest.raises(ValueError, match="expected 21 rows of class 0; got 20"):
        subsample.balanced(labels, 21, num_classes=4, where=where)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(shares=(0.5, 0.6)), "2 shares >= 0 of sum 1"),
        (dict(shares=(0.5, 0.5)), "labels in"),
        (dict(shares=(0.4, 0.4, 0.2), anchor=3), "expected an anchor"),
        (dict(shares=(0.1, 0.1, 0.8)), "expected 8 rows of class 2; got 1"),
        (dict(shares=(1, 0, 0), ids=[1, 1, 2, 3]), "ids that are all different"),
    ],
)
def test_what_cannot_be_chosen_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        subsample.by_shares(np.array([0, 1, 1, 2]), **options)
