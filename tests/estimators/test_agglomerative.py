"""Linkage against plain loops in float64, cuts by hand, and what is refused."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import is_monotonic, is_valid_linkage

from repr_jax import metrics, trees
from repr_jax.estimators import agglomerative

LINE = np.array([[0.0], [1.0], [4.0], [6.0], [20.0]])


def draw(num=14, dim=3, seed=0):
    return np.random.default_rng(seed).normal(size=(num, dim))


def distance(a, b, metric):
    if metric == "cosine":
        return 1 - sum(a * b) / np.sqrt(sum(a * a) * sum(b * b))
    if metric == "cityblock":
        return sum(abs(a - b))
    return np.sqrt(sum((a - b) ** 2))


def between(a, b, x, method, metric):
    """The distance of two groups of rows, from its definition."""
    if method == "ward":
        mean_a, mean_b = np.mean(x[a], axis=0), np.mean(x[b], axis=0)
        share = 2 * len(a) * len(b) / (len(a) + len(b))
        return np.sqrt(share * sum((mean_a - mean_b) ** 2))
    pairs = [distance(x[i], x[j], metric) for i in a for j in b]
    return {"single": min, "complete": max, "average": np.mean}[method](pairs)


def merged_by_loops(x, method, metric, num_leaves):
    """Heights of all merges, and the groups where num_leaves are left."""
    groups, heights, cut = [[i] for i in range(len(x))], [], None
    while True:
        if len(groups) == num_leaves:
            cut = sorted(sorted(group) for group in groups)
        if len(groups) == 1:
            return heights, cut
        height, i, j = min(
            (between(groups[i], groups[j], x, method, metric), i, j)
            for i in range(len(groups))
            for j in range(i + 1, len(groups))
        )
        heights.append(height)
        groups = [g for k, g in enumerate(groups) if k not in (i, j)] + [
            groups[i] + groups[j]
        ]


@pytest.mark.parametrize(
    "method, metric",
    [(m, "euclidean") for m in agglomerative.METHODS]
    + [("average", "cosine"), ("complete", "cityblock")],
)
@pytest.mark.parametrize("num_leaves", [1, 2, 5, 14])
def test_merges_are_those_of_plain_loops(method, metric, num_leaves):
    x = draw()
    found = agglomerative.fit(x, num_leaves=num_leaves, method=method, metric=metric)
    heights, groups = merged_by_loops(x, method, metric, num_leaves)
    np.testing.assert_allclose(
        found.heights[num_leaves:], heights[14 - num_leaves :], rtol=1e-12
    )
    leaves = [np.flatnonzero(found.assignments == i) for i in range(num_leaves)]
    assert [leaf.tolist() for leaf in leaves] == groups
    for leaf, mean in zip(leaves, found.means):
        np.testing.assert_allclose(mean, x[leaf].mean(axis=0), rtol=1e-12)
    if num_leaves > 1:
        assert is_valid_linkage(found.linkage) and is_monotonic(found.linkage)
    trees.check("test", found.parents, num_leaves)


def test_by_hand():
    """0, 1 | 4, 6 | 20: the tree over the three groups on a line."""
    found = agglomerative.fit(LINE, num_leaves=3, method="average")
    assert found.assignments.tolist() == [0, 0, 1, 1, 2]
    assert found.parents.tolist() == [3, 3, 4, 4, -1]
    # (4 + 6 + 3 + 5) / 4 = 4.5, and the mean of 20, 19, 16, 14
    np.testing.assert_allclose(found.linkage, [[0, 1, 4.5, 2], [2, 3, 17.25, 3]])
    np.testing.assert_allclose(found.heights, [0, 0, 0, 4.5, 17.25])
    single = agglomerative.fit(LINE, num_leaves=3, method="single")
    np.testing.assert_allclose(single.linkage[:, 2], [3, 14])
    complete = agglomerative.fit(LINE, num_leaves=3, method="complete")
    np.testing.assert_allclose(complete.linkage[:, 2], [6, 20])


def test_ward_merges_what_raises_the_squared_error_least():
    x, error = draw(20, 2), 0.0
    found = agglomerative.fit(x, num_leaves=20, method="ward")
    for t, height in enumerate(found.linkage[:, 2]):
        leaf = agglomerative.fit(x, num_leaves=19 - t, method="ward").assignments
        means = np.stack([x[leaf == i].mean(axis=0) for i in range(leaf.max() + 1)])
        now = np.sum((x - means[leaf]) ** 2)
        np.testing.assert_allclose(now - error, height**2 / 2, rtol=1e-8)
        error = now


def test_single_chains_where_complete_does_not():
    """A chain of close rows beside a group of three, each apart by more."""
    chain = [[0.1 * i, 0.0] for i in range(11)]
    x = np.array([*chain, [0.5, 0.4], [0.6, 0.4], [0.55, 0.45]])
    single = agglomerative.fit(x, num_leaves=2, method="single").assignments
    assert single.tolist() == [0] * 11 + [1] * 3
    complete = agglomerative.fit(x, num_leaves=2, method="complete").assignments
    assert len(set(complete[:11].tolist())) == 2


def test_a_subsample_finds_the_groups_of_all():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=300)
    x = (10 * np.eye(3)[labels] + rng.normal(size=(300, 3))).astype(np.float32)
    found = agglomerative.fit(x, num_leaves=3, method="ward", max_rows=30)
    table = metrics.contingency(found.assignments, labels)
    assert metrics.hungarian_accuracy(table) == 1
    assert (agglomerative.assign(found, x) == found.assignments).all()
    again = agglomerative.fit(x, num_leaves=3, method="ward", max_rows=30)
    np.testing.assert_array_equal(again.means, found.means)
    other = agglomerative.fit(x, num_leaves=3, method="ward", max_rows=30, seed=1)
    assert not np.allclose(other.means, found.means)
    whole = agglomerative.fit(x, num_leaves=3, method="ward", max_rows=300)
    np.testing.assert_allclose(
        whole.means[whole.assignments], _class_means(x, labels)[labels]
    )


def _class_means(x, labels):
    return np.stack([x[labels == c].astype(float).mean(axis=0) for c in range(3)])


def test_assign_in_blocks_by_the_metric_of_the_fit(monkeypatch):
    x = draw(50) * np.random.default_rng(1).uniform(0.1, 10, size=(50, 1))
    found = agglomerative.fit(x, num_leaves=4, metric="cosine")
    expected = [
        int(np.argmin([distance(row, mean, "cosine") for mean in found.means]))
        for row in x
    ]
    assert agglomerative.assign(found, x).tolist() == expected
    nearest = ((x[:, None] - found.means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest != expected).any()  # euclidean distances say otherwise
    monkeypatch.setattr(agglomerative, "ROWS_AT_A_TIME", 7)
    assert agglomerative.assign(found, x).tolist() == expected
    assert (agglomerative.assign(found, found.means) == np.arange(4)).all()
    some = agglomerative.fit(x, num_leaves=3, metric="cosine", max_rows=20)
    others = np.setdiff1d(np.arange(50), np.random.default_rng(0).choice(50, 20, False))
    again = agglomerative.assign(some, x[others])
    assert (again == some.assignments[others]).all()


def test_no_row_is_near_a_mean_of_zeros_by_cosine():
    opposite = np.array([[1.0, 0], [-1, 0], [0, 1], [0, 1]])
    found = agglomerative.fit(opposite, num_leaves=2, metric="cosine")
    found = found._replace(means=np.array([[0.0, 0], [0, 1]]))
    assert agglomerative.assign(found, opposite).tolist() == [1] * 4


def test_tree_of_class_means():
    x, labels = draw(40), np.arange(40) % 5
    found = agglomerative.fit_classes(x, labels, method="complete")
    assert (found.assignments == labels).all()
    means = np.stack([x[labels == c].mean(axis=0) for c in range(5)])
    direct = agglomerative.fit(means, num_leaves=5, method="complete")
    np.testing.assert_allclose(found.linkage, direct.linkage, rtol=1e-12)
    assert found.parents.tolist() == direct.parents.tolist()
    one = agglomerative.fit_classes(x, np.zeros(40, int))
    assert one.parents.tolist() == [-1] and one.linkage.shape == (0, 4)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(num_leaves=0), "expected num_leaves >= 1; got 0"),
        (dict(num_leaves=6), "as many leaves as rows, 5; got num_leaves 6"),
        (dict(num_leaves=4, max_rows=3), "leaves as rows, 3; got num_leaves 4"),
        (dict(num_leaves=2, method="centroid"), "expected method among"),
        (dict(num_leaves=2, metric="l2"), "expected metric among"),
        (
            dict(num_leaves=2, method="ward", metric="cosine"),
            'expected metric "euclidean" of ward',
        ),
        (
            dict(num_leaves=2, metric="cosine"),
            r"none of zeros, in x; got \[0.0\] in row 0",
        ),
        (dict(num_leaves=2, max_rows=0), "expected max_rows >= 1"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        agglomerative.fit(LINE, **options)


def test_errors_of_rows():
    with pytest.raises(ValueError, match=r"finite rows in x; got \[nan\] in row 1"):
        agglomerative.fit(np.array([[0.0], [np.nan]]), num_leaves=1)
    with pytest.raises(TypeError, match="expected x of floats"):
        agglomerative.fit(np.arange(4).reshape(2, 2), num_leaves=1)
    with pytest.raises(ValueError, match="one shape of rank 2"):
        agglomerative.fit(np.zeros(3), num_leaves=1)
    with pytest.raises(ValueError, match="rows of x >= 1"):
        agglomerative.fit(np.zeros((0, 3)), num_leaves=1)
    with pytest.raises(ValueError, match=r"got 30000 rows, which need 71\d+ bytes"):
        agglomerative.fit(np.zeros((30_000, 1)), num_leaves=2)
    found = agglomerative.fit(LINE, num_leaves=2)
    with pytest.raises(ValueError, match=r"assign: expected x of shape \(2, 1\)"):
        agglomerative.assign(found, np.zeros((2, 2)))


def test_errors_of_classes():
    with pytest.raises(ValueError, match=r"from 0 to 2; .* without \[1\]"):
        agglomerative.fit_classes(LINE, np.array([0, 0, 2, 2, 2]))
    with pytest.raises(ValueError, match="got labels from -1"):
        agglomerative.fit_classes(LINE, np.array([0, -1, 0, 0, 0]))
    with pytest.raises(TypeError, match="labels of integers; got float64"):
        agglomerative.fit_classes(LINE, np.zeros(5))
    with pytest.raises(ValueError, match=r"expected labels of shape \(5,\)"):
        agglomerative.fit_classes(LINE, np.zeros(4, int))
