"""Scores of trees against brute force over all pairs and triplets, and by hand."""

import itertools

import numpy as np
import pytest

from repr_jax import metrics, trees
from tests import random_trees

BALANCED = [4, 4, 5, 5, 6, 6, -1]  # ((0, 1), (2, 3))
CHAIN = [4, 4, 5, 6, 5, 6, -1]  # (((0, 1), 2), 3)
BY_HAND = [0, 0, 1, 2, 3, 3]  # the leaf of each of six rows


def above(parents, node):
    out = [node]
    while node != len(parents) - 1:
        node = int(parents[node])
        out.append(node)
    return out


def meet(parents, a, b):
    path = set(above(parents, a))
    return next(n for n in above(parents, b) if n in path)


def leaves_of(parents, node, num):
    return [leaf for leaf in range(num) if node in above(parents, leaf)]


def draw(seed, leaves=7, classes=3, rows=50, tree=trees.random_binary):
    rng = np.random.default_rng(seed)
    parents = tree(rng, leaves)
    h, y = rng.integers(leaves, size=rows), rng.integers(classes, size=rows)
    return parents, h, y, metrics.contingency(h, y, num_clusters=leaves)


def purity_by_brute_force(parents, h, y, leaves):
    values = []
    for i, j in itertools.combinations(range(len(h)), 2):
        if y[i] == y[j]:
            under = leaves_of(parents, meet(parents, h[i], h[j]), leaves)
            inside = np.isin(h, under)
            values.append((y[i], np.mean(y[inside] == y[i])))
    return np.array(values)


@pytest.mark.parametrize("tree", [trees.random_binary, random_trees.wide])
@pytest.mark.parametrize("seed", range(3))
def test_dendrogram_purity_is_that_of_all_pairs(seed, tree):
    parents, h, y, table = draw(seed, tree=tree)
    classes, values = purity_by_brute_force(parents, h, y, 7).T
    assert metrics.dendrogram_purity(parents, table) == pytest.approx(values.mean())
    macro = np.mean([values[classes == c].mean() for c in np.unique(classes)])
    assert metrics.macro_dendrogram_purity(parents, table) == pytest.approx(macro)


@pytest.mark.parametrize(
    ("y", "purity"),
    [
        ([0, 0, 0, 1, 1, 1], 1),
        ([0, 1, 0, 1, 0, 1], 5 / 9),
        ([0, 1, 2, 3, 0, 1], 1 / 3),
        ([0, 0, 0, 0, 0, 0], 1),
    ],
)
def test_dendrogram_purity_by_hand(y, purity):
    table = metrics.contingency(np.array(BY_HAND), np.array(y), num_clusters=4)
    assert metrics.dendrogram_purity(BALANCED, table) == pytest.approx(purity)
    if y == [0, 1, 0, 1, 0, 1]:
        assert metrics.leaf_purity(table) == pytest.approx(2 / 3)


def test_dendrogram_purity_of_a_published_case():
    # Higra's unit test of its own implementation.
    table = np.eye(2)[[1, 1, 0, 1, 0]]
    parents = [5, 5, 6, 7, 7, 6, 8, 8, 8]
    assert metrics.dendrogram_purity(parents, table) == pytest.approx(0.65)


def test_dendrogram_purity_at_chance_is_one_of_the_classes():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10), 100)
    table = metrics.contingency(rng.integers(10, size=1000), y)
    purity = metrics.dendrogram_purity(trees.random_binary(rng, 10), table)
    assert 0.1 < purity < 0.11


def test_purity_without_pairs_is_not_a_number():
    table = np.eye(4)
    assert np.isnan(metrics.dendrogram_purity(BALANCED, table))
    assert np.isnan(metrics.macro_dendrogram_purity(BALANCED, table))


@pytest.mark.parametrize("seed", range(3))
def test_lhd_pair_is_that_of_all_pairs(seed):
    parents, h, y, table = draw(seed)

    def edges(a, b):
        return len(set(above(parents, a)) ^ set(above(parents, b)))

    values = [
        edges(h[i], h[j])
        for i, j in itertools.combinations(range(len(h)), 2)
        if y[i] == y[j] and h[i] != h[j]
    ]
    longest = max(edges(a, b) for a in range(7) for b in range(7))
    expected = np.mean(values) / longest
    assert metrics.lhd_pair(parents, table) == pytest.approx(expected)
    assert metrics.lhd_pair(BALANCED, np.diag([2, 3, 1, 1])) == 0


@pytest.mark.parametrize("seed", range(3))
def test_lhd_of_mistakes_is_that_of_all_rows(seed):
    parents, h, y, table = draw(seed, leaves=5, classes=4)
    heights = np.maximum(np.arange(len(parents)) - 4.0, 0)
    matching = metrics.hungarian_matching(table)
    size = [len(leaves_of(parents, n, 5)) for n in range(len(parents))]
    for score, cost in [
        (metrics.lhd_mistake(parents, table, heights), heights / heights[-1]),
        (metrics.lhd_log(parents, table), np.log2(size) / np.log2(5)),
    ]:
        values = []
        for leaf, c in zip(h, y):
            if matching[leaf] != c:
                mine = [m for m in range(5) if table[m].argmax() == c]
                costs = [cost[meet(parents, leaf, m)] for m in mine]
                values.append(min(costs, default=1.0))
        assert score == pytest.approx(np.mean(values))
    right = np.diag([1, 2, 3, 4])
    assert metrics.lhd_log(BALANCED, right) == 0
    assert metrics.lhd_mistake(BALANCED, right, [0, 0, 0, 0, 1, 1, 2]) == 0


@pytest.mark.parametrize("seed", range(2))
def test_dasgupta_cost_is_that_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    parents, w = trees.random_binary(rng, 8), rng.random((8, 8))
    w = w + w.T
    expected = sum(
        w[i, j] * len(leaves_of(parents, meet(parents, i, j), 8))
        for i, j in itertools.combinations(range(8), 2)
    )
    assert metrics.dasgupta_cost(parents, w) == pytest.approx(expected)
    # Of equal similarities every binary tree costs the same: (n^3 - n) / 3.
    assert metrics.dasgupta_cost(parents, np.ones((8, 8))) == (8**3 - 8) / 3


@pytest.mark.parametrize("seed", range(3))
def test_best_f1_is_the_best_of_all_nodes(seed):
    rng = np.random.default_rng(seed)
    parents, groups = trees.random_binary(rng, 9), rng.random((4, 9)) < 0.5
    groups[:, 0] = True
    expected = []
    for group in groups:
        group, scores = set(np.flatnonzero(group)), []
        for node in range(len(parents)):
            leaves = set(leaves_of(parents, node, 9))
            scores.append(2 * len(leaves & group) / (len(leaves) + len(group)))
        expected.append(max(scores))
    np.testing.assert_allclose(metrics.best_f1(parents, groups), expected)


@pytest.mark.parametrize("tree", [trees.random_binary, random_trees.wide])
@pytest.mark.parametrize("seed", range(3))
def test_triplet_agreement_is_that_of_all_triplets(seed, tree):
    rng = np.random.default_rng(seed)
    parents, reference = trees.random_binary(rng, 8), tree(rng, 8)

    def says(p, a, b, c):
        lowest = meet(p, a, b)
        return lowest != meet(p, a, c) and meet(p, a, c) == meet(p, b, c)

    right = total = 0
    for three in itertools.combinations(range(8), 3):
        for c in three:
            a, b = (x for x in three if x != c)
            if says(reference, a, b, c):
                total += 1
                right += says(parents, a, b, c)
    actual = metrics.triplet_agreement(parents, reference)
    assert actual == pytest.approx(right / total)
    assert metrics.triplet_agreement(reference, reference) == 1


def test_random_trees_agree_on_a_third_of_triplets():
    rng = np.random.default_rng(1)
    values = [
        metrics.triplet_agreement(
            trees.random_binary(rng, 40), trees.random_binary(rng, 40)
        )
        for _ in range(20)
    ]
    assert np.mean(values) == pytest.approx(1 / 3, abs=0.03)


def test_cophenetic_correlation_matches_scipy():
    from scipy.cluster import hierarchy
    from scipy.stats import spearmanr

    x = np.random.default_rng(0).normal(size=(12, 3))
    trees, distances = [], []
    for method in ("average", "complete"):
        linkage = hierarchy.linkage(x, method)
        parents = np.full(23, -1)
        for t, row in enumerate(linkage):
            parents[row[:2].astype(int)] = 12 + t
        trees.append((parents, np.concatenate([np.zeros(12), linkage[:, 2]])))
        distances.append(hierarchy.cophenet(linkage))
    (p, heights), (q, other) = trees
    actual = metrics.cophenetic_correlation(p, q, heights, other)
    assert actual == pytest.approx(spearmanr(*distances).statistic)
    assert metrics.cophenetic_correlation(p, p, heights, heights) == pytest.approx(1)
    for wrong, message in [([np.nan] * 23, "got nan of node 0"), ([0.0], "shape")]:
        with pytest.raises(ValueError, match=f"cophenetic_correlation: .*{message}"):
            metrics.cophenetic_correlation(p, q, wrong, other)
    flat = [4, 4, 4, 4, -1]
    both = metrics.cophenetic_correlation(flat, BALANCED, [0] * 4 + [1], np.arange(7))
    assert np.isnan(both)


def test_robinson_foulds_by_hand():
    assert metrics.robinson_foulds(BALANCED, BALANCED) == 0
    # {0,1} {2,3} against {0,1} {0,1,2}: two of four are not shared.
    assert metrics.robinson_foulds(BALANCED, CHAIN) == 0.5
    crossed = [4, 5, 4, 5, 6, 6, -1]
    assert metrics.robinson_foulds(BALANCED, crossed) == 1
    assert metrics.robinson_foulds([4, 4, 4, 4, -1], BALANCED) == 1
    assert metrics.robinson_foulds([2, 2, -1], [2, 2, -1]) == 0


def test_what_is_no_tree_is_told():
    for parents in ([4, 4, 5, 5, 6, 6], [6, 4, 5, 5, 4, 6, -1], [4, 4, 6, 6, 6, 6, -1]):
        with pytest.raises(ValueError, match=r"dendrogram_purity: expected"):
            metrics.dendrogram_purity(parents, np.eye(4))
    with pytest.raises(ValueError, match="best_f1: expected groups of one leaf"):
        metrics.best_f1(BALANCED, np.zeros((1, 4), bool))


def test_audit_is_that_of_loops():
    rng = np.random.default_rng(1)
    # {0, 1, 2}, {3, 4}, {5, 6, 7, 8} in {9 .. 11}, the last two in 12, all in 13.
    reference = [9, 9, 9, 10, 10, 11, 11, 11, 11, 13, 12, 12, 13, -1]
    size = {9: 3, 10: 2, 11: 4, 12: 6, 13: 9}

    def distance(i, j):
        return np.log(size[meet(reference, i, j)]) / np.log(9)

    parents = random_trees.wide(rng, 9)
    found = metrics.audit_merges(parents, reference)
    for step, node in enumerate(range(9, len(parents))):
        sides = [
            leaves_of(parents, child, 9) for child in np.flatnonzero(parents == node)
        ]
        across = [
            distance(i, j)
            for a, b in itertools.combinations(sides, 2)
            for i in a
            for j in b
        ]
        within = [
            np.mean([distance(i, j) for i, j in itertools.combinations(side, 2)])
            for side in sides
            if len(side) > 1
        ]
        assert found.between[step] == pytest.approx(np.mean(across))
        assert found.within[step] == pytest.approx(max(within, default=0.0))
        assert found.excess[step] == pytest.approx(
            np.mean(across) - max(within, default=0.0)
        )


def test_audit_of_a_tree_that_agrees_is_never_surprised():
    """Siblings of the reference merge first, and each side is whole."""
    found = metrics.audit_merges(BALANCED, BALANCED)
    np.testing.assert_allclose(found.between, [0.5, 0.5, 1])
    np.testing.assert_allclose(found.within, [0, 0, 0.5])
    with pytest.raises(ValueError, match="audit_merges: expected"):
        metrics.audit_merges(BALANCED, [3, 3, 3, -1])
