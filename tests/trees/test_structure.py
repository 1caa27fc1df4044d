"""The form of trees and what follows from it: by hand, by scipy, by plain loops."""

import itertools

import numpy as np
import pytest
from scipy.cluster import hierarchy as scipy_hierarchy

from repr_jax import metrics, trees
from tests import random_trees

BALANCED = [4, 4, 5, 5, 6, 6, -1]  # ((0, 1), (2, 3))
CHAIN = [4, 4, 5, 6, 5, 6, -1]  # (((0, 1), 2), 3)


@pytest.fixture(scope="module")
def linkage():
    """scipy's, of 17 rows."""
    x = np.random.default_rng(0).normal(size=(17, 3))
    return scipy_hierarchy.linkage(x, "average")


@pytest.mark.parametrize("seed", range(3))
def test_everything_of_random_trees_by_loops(seed):
    parents = random_trees.wide(np.random.default_rng(seed), 9)
    assert trees.count_leaves(parents) == 9
    paths = [trees.ancestors(parents, node) for node in range(len(parents))]
    for node, path in enumerate(paths):
        assert path[0] == node and path[-1] == len(parents) - 1
        assert all(parents[a] == b for a, b in itertools.pairwise(path))
        assert trees.depths(parents)[node] == len(path) - 1
        assert trees.children(parents)[node].tolist() == [
            n for n in range(len(parents) - 1) if parents[n] == node
        ]
        inside = [leaf for leaf in range(9) if node in paths[leaf]]
        assert np.flatnonzero(trees.below(parents)[node]).tolist() == inside
        assert trees.sizes(parents)[node] == len(inside)
        assert trees.node_sums(parents, np.arange(9.0))[node] == sum(inside)
    for a, b in itertools.product(range(9), repeat=2):
        met = next(n for n in paths[a] if n in paths[b])
        assert trees.lowest_common_ancestors(parents)[a, b] == met


@pytest.mark.parametrize("seed", range(3))
def test_leaf_order_keeps_every_node_together(seed):
    parents = random_trees.wide(np.random.default_rng(seed), 12)
    place = np.argsort(trees.leaf_order(parents))
    for row in trees.below(parents):
        np.testing.assert_array_equal(np.diff(np.sort(place[row])), 1)
    np.testing.assert_array_equal(trees.leaf_order(CHAIN), [0, 1, 2, 3])
    np.testing.assert_array_equal(
        trees.leaf_order([4, 5, 4, 5, 6, 6, -1]), [0, 2, 1, 3]
    )


def test_cuts_by_hand():
    for num, expected in enumerate([[0] * 4, [0, 0, 0, 1], [0, 0, 1, 2], range(4)], 1):
        np.testing.assert_array_equal(trees.cut(CHAIN, num), expected)
    mixed = [5, 4, 4, 5, 6, 6, -1]
    np.testing.assert_array_equal(trees.cut(mixed, 3), [0, 1, 1, 2])
    flat = [4, 4, 4, 4, -1]  # between one group and four there is none
    np.testing.assert_array_equal(trees.cut(flat, 2), range(4))
    np.testing.assert_array_equal(trees.cut([-1], 1), [0])
    heights = [0, 0, 0, 0, 0.5, 1, 2]
    np.testing.assert_array_equal(
        trees.cut_height(BALANCED, heights, 0.5), [0, 0, 1, 2]
    )
    np.testing.assert_array_equal(trees.cut_height(BALANCED, heights, 9), [0, 0, 0, 0])
    for num in (0, 5):
        with pytest.raises(ValueError, match="cut: expected"):
            trees.cut(CHAIN, num)
    with pytest.raises(
        ValueError, match=r"cut_height: expected heights of shape \(7,\)"
    ):
        trees.cut_height(BALANCED, [1.0], 1)
    with pytest.raises(ValueError, match="finite heights; got inf of node 6"):
        trees.cut_height(BALANCED, [*heights[:6], np.inf], 1)


def test_cuts_and_heights_are_those_of_scipy(linkage):
    parents, heights, _ = trees.from_linkage(linkage)
    for num in range(1, 18):
        groups = trees.cut(parents, num)
        expected = scipy_hierarchy.cut_tree(linkage, num).ravel()
        assert metrics.adjusted_rand_index(metrics.contingency(groups, expected)) == 1
        first = [int(np.flatnonzero(groups == g)[0]) for g in range(num)]
        assert first == sorted(first)
    for height in np.quantile(linkage[:, 2], [0, 0.3, 0.8]):
        groups = trees.cut_height(parents, heights, height)
        expected = scipy_hierarchy.fcluster(linkage, height, "distance")
        assert (
            metrics.adjusted_rand_index(metrics.contingency(groups, expected - 1)) == 1
        )
    met = heights[trees.lowest_common_ancestors(parents)][np.triu_indices(17, 1)]
    np.testing.assert_array_equal(met, scipy_hierarchy.cophenet(linkage))


def test_linkage_there_and_back(linkage):
    parents, heights, leaf = trees.from_linkage(linkage)
    np.testing.assert_array_equal(leaf, np.arange(17))
    np.testing.assert_array_equal(trees.to_linkage(parents, heights), linkage)
    upper, upper_heights, leaf = trees.from_linkage(linkage, 5)
    trees.check("test", upper, 5)
    np.testing.assert_array_equal(leaf, trees.cut(parents, 5))
    np.testing.assert_array_equal(upper_heights[5:], linkage[-4:, 2])
    for num in range(1, 6):
        expected = trees.cut(parents, num)
        np.testing.assert_array_equal(trees.cut(upper, num)[leaf], expected)
    with pytest.raises(ValueError, match="binary"):
        trees.to_linkage([3, 3, 3, -1], np.zeros(4))
    with pytest.raises(ValueError, match="at most 17 leaves; got 18"):
        trees.from_linkage(linkage, 18)


def test_clade_support_counts_trees_with_the_same_leaves():
    crossed = [4, 5, 4, 5, 6, 6, -1]
    support = trees.clade_support(BALANCED, [BALANCED, BALANCED, crossed])
    np.testing.assert_allclose(support, [1, 1, 1, 1, 2 / 3, 2 / 3, 1])
    with pytest.raises(ValueError, match="clade_support: expected a tree"):
        trees.clade_support(BALANCED, [])
    with pytest.raises(ValueError, match="expected the 4 leaves to be the first"):
        trees.clade_support(BALANCED, [[2, 2, -1]])


@pytest.mark.parametrize(
    "parents",
    [
        [],
        [4, 4, 5, 5, 6, 6],
        [6, 4, 5, 5, 4, 6, -1],
        [4, 4, 6, 6, 6, 6, -1],
        [1, 0, -1],
    ],
)
def test_what_is_no_tree_is_refused(parents):
    with pytest.raises((ValueError, TypeError), match="who: expected"):
        trees.check("who", parents, 4)


def test_numbers_that_are_no_parents_are_refused():
    with pytest.raises(TypeError, match="expected parents of integers"):
        trees.check("who", [2.0, 2.0, -1.0])
    assert trees.check("who", np.array([2, 2, 77], np.int8)).tolist() == [2, 2, -1]
