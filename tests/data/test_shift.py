"""Correlations of a stated strength: formulas, subsets of real rows, and splits."""

import itertools

import numpy as np
import pytest

from repr_jax.data import shift

LARGE = 200_000


def drawn(r, num_values=3, seed=0):
    rows = np.arange(LARGE)
    labels = (rows % num_values).astype(np.int32)
    found = shift.attributes(labels, rows, r=r, num_values=num_values, seed=seed)
    return labels, found


@pytest.mark.parametrize("num_values", [2, 3, 5])
@pytest.mark.parametrize("r", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_cramers_v_is_r_and_matches_are_q(r, num_values):
    labels, found = drawn(r, num_values)
    assert abs(shift.cramers_v(labels, found) - r) < 0.01
    q = r + (1 - r) / num_values
    assert shift.match_rate(r, num_values) == pytest.approx(q)
    assert abs((labels == found).mean() - q) < 5 * np.sqrt(0.25 / LARGE)
    counts = np.bincount(found, minlength=num_values) / LARGE
    np.testing.assert_allclose(counts, 1 / num_values, atol=0.006)


def test_mutual_information_is_the_formula():
    labels, found = drawn(0.5)
    table = np.histogram2d(labels, found, bins=3)[0] / LARGE
    information = np.sum(table * np.log(table / np.outer(*[[1 / 3] * 3] * 2)))
    assert information == pytest.approx(0.2310, abs=0.004)


def test_without_correlation_chi_square_is_that_of_independence():
    labels, found = drawn(0.0)
    chi = shift.cramers_v(labels, found) ** 2 * LARGE * 2
    assert chi < 18.5  # 4 degrees of freedom, 0.999


def test_negative_r_is_reversed():
    labels, found = drawn(-0.5)
    assert (labels != found).all()
    assert abs(shift.cramers_v(labels, found) - 0.5) < 0.01
    with pytest.raises(ValueError, match=r"x: expected r_ood in \[-0\.5, 1\]; got -0"):
        shift.check_shift("x", shift.Shift(1.0, -0.6), 3)


def test_draws_depend_on_the_row_and_grow_with_r():
    labels, weak = drawn(0.3)
    _, strong = drawn(0.8)
    assert (strong == labels)[weak == labels].all()
    part = np.arange(50, 90)
    some = shift.attributes(labels[part], part, r=0.3, num_values=3, seed=0)
    np.testing.assert_array_equal(some, weak[part])
    assert (drawn(0.3, seed=1)[1] != weak).any()


def test_cell_rates_by_hand():
    found = shift.cell_rates(((0,), (1, 2)), 3, 0.5)
    expected = [[4 / 12, 1 / 12, 1 / 12], [1 / 12, 2.5 / 12, 2.5 / 12]]
    np.testing.assert_allclose(found, expected)
    with pytest.raises(ValueError, match="for domain 1; got"):
        shift.cell_rates(((0,), ()), 3, 0.5)


GRID = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0)
ASSIGNMENT = ((0,), (1,), (0,), (1,))


def pool(n=6000):
    rng = np.random.default_rng(0)
    return rng.integers(5, size=n), rng.integers(2, size=n)  # domain 4 is left out


def chosen(r, seed=0, grid=GRID, assignment=ASSIGNMENT):
    return shift.subsample(
        *pool(), assignment=assignment, num_labels=2, r=r, grid=grid, seed=seed
    )


def test_subsets_have_the_cells_asked_for_are_as_large_and_nested():
    domains, labels = pool()
    counts = np.array(
        [[np.sum((domains == d) & (labels == y)) for y in (0, 1)] for d in range(4)]
    )
    size = min(
        np.floor(np.min(counts[p > 0] / p[p > 0]))
        for p in (shift.cell_rates(ASSIGNMENT, 2, r) for r in GRID)
    )
    cells = {}
    for r in GRID:
        rows = chosen(r)
        assert (np.diff(rows) > 0).all() and domains[rows].max() == 3
        for d in range(4):
            for y in (0, 1):
                here = rows[(domains[rows] == d) & (labels[rows] == y)]
                wanted = np.round(size * shift.cell_rates(ASSIGNMENT, 2, r)[d, y])
                assert len(here) == wanted
                cells.setdefault((d, y), []).append(set(here.tolist()))
        assert abs(len(rows) - size) <= 4
        np.testing.assert_array_equal(rows, chosen(r))
    for sets in cells.values():  # cells grow with r, or shrink
        for a, b in itertools.pairwise(sets):
            assert a <= b or b <= a
    assert (chosen(0.5) != chosen(0.5, seed=1)).any()


def test_what_is_not_feasible_is_told():
    with pytest.raises(ValueError, match=r"expected r of the grid .*; got 0\.3"):
        chosen(0.3)
    domains, labels = np.array([0, 0, 1]), np.array([0, 1, 0])
    with pytest.raises(ValueError, match="rows of domain 1 with label 1; got none"):
        shift.subsample(
            domains,
            labels,
            assignment=((0,), (1,)),
            num_labels=2,
            r=1.0,
            grid=(1.0,),
            seed=0,
        )


def test_groups_go_whole_to_parts_of_the_sizes_asked_for():
    groups = np.random.default_rng(0).integers(60, size=6000)
    shares = {"train": 0.6, "test": 0.1, "ood_head": 0.1, "ood_test": 0.2}
    parts = shift.group_split(groups, shares, seed=3)
    together = np.sort(np.concatenate(list(parts.values())))
    np.testing.assert_array_equal(together, np.arange(6000))
    for name, rows in parts.items():
        assert abs(len(rows) / 6000 - shares[name]) < 0.03
        others = np.setdiff1d(np.arange(6000), rows)
        assert not set(groups[rows]) & set(groups[others])
    again = shift.group_split(groups, shares, seed=3)
    np.testing.assert_array_equal(again["test"], parts["test"])


def test_labels_go_to_where_they_are_over_represented():
    table = np.array([[8, 1, 6, 1], [2, 5, 5, 4]])  # [domain, label]
    domains, labels = (
        x.repeat(table.reshape(-1)) for x in np.indices((2, 4)).reshape(2, -1)
    )
    assert shift.by_lift(domains, labels, 4) == ((0, 2), (1, 3))


def test_parts_of_a_permutation_are_disjoint():
    parts = shift.split_rows({"train": 5, "test": 3}, 9, 0)
    assert len(set(parts["train"]) | set(parts["test"])) == 8
    with pytest.raises(ValueError, match="expected at most 7 examples"):
        shift.split_rows({"train": 5, "test": 3}, 7, 0)


@pytest.mark.parametrize("label", [-1, 3, 2**32 + 1])
def test_labels_out_of_range_are_refused(label):
    labels, rows = np.array([0, label, 2]), np.arange(3)
    message = rf"expected labels in \[0, 3\); got {label} in row 1"
    with pytest.raises(ValueError, match=message):
        shift.attributes(labels, rows, r=0.5, num_values=3, seed=0)
    with pytest.raises(ValueError, match=message):
        shift.by_lift(rows, labels, 3)
    with pytest.raises(ValueError, match=message):
        shift.subsample(
            rows, labels, assignment=[(0,)], num_labels=3, r=0.0, grid=(0.0,), seed=0
        )
    with pytest.raises(ValueError, match="expected domains in"):
        shift.by_lift(np.array([0, -1]), np.array([0, 1]), 2)


def test_classes_that_are_not_whole_are_refused():
    labels = np.array([0.0, np.nan])
    for call in (
        lambda: shift.cramers_v(labels, np.arange(2)),
        lambda: shift.group_split(labels, {"a": 1.0}, 0),
        lambda: shift.by_lift(np.arange(2), labels, 2),
    ):
        with pytest.raises(TypeError, match="of integers; got float"):
            call()
