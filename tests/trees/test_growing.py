"""Trees within a capacity: by hand, by plain loops on random trees, what is refused."""

import jax
import numpy as np
import pytest

from repr_jax import trees
from repr_jax.trees import growing

# 0 -> (1, 2), 1 -> (3, 4), 3 -> (5, 6); 7 and 8 are free
SMALL = np.array([-1, 0, 0, 1, 1, 3, 3, -2, -2], np.int32)


def grown(seed, capacity=21, splits=7, prunings=3):
    """A random tree, some of whose nodes were pruned."""
    rng = np.random.default_rng(seed)
    parents = growing.start(capacity)
    for _ in range(splits):
        leaf = rng.choice(np.flatnonzero(growing.leaves(parents)))
        parents, _ = growing.split(parents, leaf)
    for _ in range(prunings):
        leaf = rng.choice(np.flatnonzero(growing.leaves(parents)))
        parents = growing.prune(parents, leaf)
    return parents


def ancestors(parents, node):
    """The node itself and all above it."""
    out = [node]
    while parents[out[-1]] >= 0:
        out.append(int(parents[out[-1]]))
    return out


def clades(parents, leaf_names):
    """The sets of leaves below the nodes of a tree with leaves first."""
    members = trees.below(parents)
    return {frozenset(np.asarray(leaf_names)[m].tolist()) for m in members}


def test_by_hand():
    assert np.flatnonzero(growing.leaves(SMALL)).tolist() == [2, 4, 5, 6]
    assert growing.siblings(SMALL).tolist() == [0, 2, 1, 4, 3, 6, 5, 7, 8]
    assert growing.num_children(SMALL).tolist() == [2, 2, 0, 2, 0, 0, 0, 0, 0]
    assert growing.depths(SMALL).tolist() == [0, 1, 1, 2, 2, 3, 3, -1, -1]
    assert np.flatnonzero(growing.below(SMALL)[1]).tolist() == [1, 3, 4, 5, 6]
    parents, new = growing.split(SMALL, 4)
    assert new == (7, 8) and parents.tolist() == [-1, 0, 0, 1, 1, 3, 3, 4, 4]
    assert growing.prune(SMALL, 3).tolist() == [-1, 0, 0, -2, 1, -2, -2, -2, -2]
    assert growing.start(5).tolist() == [-1, 0, 0, -2, -2]


def test_an_only_child_takes_the_place_of_its_parent():
    pruned = growing.prune(SMALL, 4)  # 0 -> (1, 2), 1 -> 3, 3 -> (5, 6)
    tidy, order = growing.tidied(pruned)
    assert tidy.tolist() == [-1, 0, 0, 1, 1, -2, -2, -2, -2]
    assert order[:5].tolist() == [0, 3, 2, 5, 6]
    assert sorted(order) == list(range(9))
    parents, nodes = growing.leaves_first(pruned)
    assert parents.tolist() == [4, 3, 3, 4, -1] and nodes.tolist() == [2, 5, 6]
    lower = growing.prune(growing.prune(SMALL, 5), 6)  # takes 3 along
    assert lower.tolist() == [-1, 0, 0, -2, 1, -2, -2, -2, -2]
    root = growing.prune(SMALL, 2)
    assert growing.leaves_first(root)[0].tolist() == [4, 3, 3, 4, -1]
    one = growing.prune(growing.start(3), 1)
    parents, nodes = growing.leaves_first(one)
    assert parents.tolist() == [-1] and nodes.tolist() == [2]


@pytest.mark.parametrize("seed", range(4))
def test_random_trees_against_loops(seed):
    parents = grown(seed)
    below = np.asarray(jax.jit(growing.below)(parents))
    expected = np.zeros_like(below)
    for node in np.flatnonzero(parents != growing.UNUSED):
        expected[ancestors(parents, node), node] = True
    np.testing.assert_array_equal(below, expected)
    found, nodes = growing.leaves_first(parents)
    trees.check("test", found, len(nodes))
    leaves = np.flatnonzero(growing.leaves(parents))
    assert sorted(nodes) == leaves.tolist()
    used = np.flatnonzero(parents != growing.UNUSED)
    before = {frozenset(j for j in leaves.tolist() if below[n, j]) for n in used}
    assert clades(found, nodes) == before
    tidy, order = growing.tidied(parents)
    assert sorted(order) == list(range(len(parents)))
    assert set(growing.num_children(tidy).tolist()) == {0, 2}
    children = np.flatnonzero(tidy >= 0)
    assert (tidy[children] < children).all()


def test_errors():
    with pytest.raises(ValueError, match="expected a leaf; got node 1"):
        growing.split(SMALL, 1)
    with pytest.raises(ValueError, match="expected two free nodes above number 5"):
        growing.split(growing.split(SMALL, 4)[0], 5)
    with pytest.raises(ValueError, match="expected a node of the tree; got 7"):
        growing.prune(SMALL, 7)
    with pytest.raises(ValueError, match="got the tree's last"):
        growing.prune(growing.prune(growing.start(3), 1), 2)
    with pytest.raises(ValueError, match="capacity >= 3; got 2"):
        growing.start(2)


def test_one_program_serves_all_trees_of_a_capacity():
    before = growing.below._cache_size()
    tree = growing.start(15)
    for leaf in (1, 3, 2):
        tree, children = growing.split(tree, leaf)
        assert np.asarray(growing.below(tree))[leaf, list(children)].all()
    assert growing.below._cache_size() == before + 1
