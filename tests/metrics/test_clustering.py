"""Agreement of clusters and classes: scikit-learn, brute force, and by hand."""

import itertools

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from repr_jax import metrics


def draw(seed, n=60, clusters=5, classes=4):
    rng = np.random.default_rng(seed)
    return rng.integers(clusters, size=n), rng.integers(classes, size=n)


@pytest.mark.parametrize("seed", range(4))
def test_scores_match_scikit_learn(seed):
    assignments, labels = draw(seed)
    labels = np.where(np.arange(60) < 15 * seed, assignments % 4, labels)
    table = metrics.contingency(assignments, labels)
    expected = sklearn_metrics.cluster.contingency_matrix(assignments, labels)
    np.testing.assert_array_equal(table, expected)
    score = sklearn_metrics.normalized_mutual_info_score
    assert metrics.nmi(table) == pytest.approx(score(labels, assignments))
    assert metrics.nmi_geometric(table) == pytest.approx(
        score(labels, assignments, average_method="geometric")
    )
    assert metrics.adjusted_rand_index(table) == pytest.approx(
        sklearn_metrics.adjusted_rand_score(labels, assignments)
    )


@pytest.mark.parametrize(("clusters", "classes"), [(4, 4), (5, 3), (3, 5)])
def test_hungarian_accuracy_is_the_best_of_all_maps(clusters, classes):
    table = np.random.default_rng(clusters).integers(20, size=(clusters, classes))
    size = max(clusters, classes)
    square = np.zeros((size, size))
    square[:clusters, :classes] = table
    best = max(
        sum(square[k, m[k]] for k in range(size))
        for m in itertools.permutations(range(size))
    )
    assert metrics.hungarian_accuracy(table) == pytest.approx(best / table.sum())
    matching = metrics.hungarian_matching(table)
    used = matching[matching >= 0]
    assert len(used) == len(set(used)) == min(clusters, classes)


def test_the_same_partition_is_perfect_and_names_do_not_matter():
    labels = np.array([0, 0, 1, 1, 1, 2])
    table = metrics.contingency(np.array([2, 2, 0, 0, 0, 1]), labels)
    for score in (
        metrics.nmi,
        metrics.nmi_geometric,
        metrics.adjusted_rand_index,
        metrics.hungarian_accuracy,
        metrics.leaf_purity,
        metrics.mean_leaf_purity,
    ):
        assert score(table) == pytest.approx(1)


def test_purity_by_hand():
    table = np.array([[3, 1, 0], [0, 1, 1], [0, 0, 0]])
    assert metrics.leaf_purity(table) == pytest.approx(4 / 6)
    assert metrics.mean_leaf_purity(table) == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_one_part_alone():
    assert metrics.nmi([[7]]) == metrics.nmi_geometric([[7]]) == 1
    assert metrics.adjusted_rand_index([[7]]) == 1
    assert metrics.adjusted_rand_index([[1]]) == 1
    split = [[3], [4]]  # two clusters of one class
    assert metrics.nmi(split) == metrics.nmi_geometric(split) == 0
    assert metrics.adjusted_rand_index(split) == 0


def test_rows_that_are_left_out_and_tables_that_add_up():
    assignments, labels = draw(9)
    where = np.arange(60) % 3 > 0
    shape = dict(num_clusters=6, num_classes=5)
    kept = metrics.contingency(assignments, labels, where=where, **shape)
    rest = metrics.contingency(assignments, labels, where=~where, **shape)
    whole = metrics.contingency(assignments, labels, **shape)
    np.testing.assert_array_equal(kept + rest, whole)
    assert whole.shape == (6, 5)
    assert kept.sum() == where.sum()


def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match="contingency: expected one shape of rank 1"):
        metrics.contingency(np.arange(3), np.arange(4))
    with pytest.raises(ValueError, match="expected labels from 0 to 1; got 0 to 2"):
        metrics.contingency(np.arange(3), np.arange(3), num_classes=2)
    with pytest.raises(ValueError, match="expected assignments from 0"):
        metrics.contingency(np.array([-1]), np.array([0]))
    with pytest.raises(TypeError, match="labels of whole numbers"):
        metrics.contingency(np.arange(2), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="nmi: expected counts"):
        metrics.nmi(np.zeros((2, 2)))


def drawn_tables(seed):
    """Clusters and labels of 40 rows, and of 25 others; predictions of these."""
    rng = np.random.default_rng(seed)
    draws = [rng.integers(0, n, size) for n, size in ((4, 40), (3, 40), (4, 25))]
    draws += [rng.integers(0, 3, 25) for _ in range(2)]
    return draws


@pytest.mark.parametrize(("seed", "expected"), [(0, 0.32), (1, 0.24)])
def test_clusters_are_named_by_other_rows(seed, expected):
    clusters, labels, test_clusters, test_labels, _ = drawn_tables(seed)
    shape = dict(num_clusters=4, num_classes=3)
    found = metrics.majority_accuracy(
        metrics.contingency(clusters, labels, **shape),
        metrics.contingency(test_clusters, test_labels, **shape),
    )
    assert found == pytest.approx(expected)


def test_two_clusters_may_have_one_class():
    named = np.array([[3, 3], [0, 0], [1, 2]])  # ties and empty ones: the first class
    judged = np.array([[5, 1], [2, 3], [4, 6]])
    assert metrics.majority_accuracy(named, judged) == pytest.approx(13 / 21)
    with pytest.raises(ValueError, match="majority_accuracy: expected one shape"):
        metrics.majority_accuracy(named, judged[:2])
