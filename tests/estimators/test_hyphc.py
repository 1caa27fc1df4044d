"""The tree of least cost among all trees, decoding by hand, and what is refused."""

import itertools

import jax
import numpy as np
import pytest
from scipy.cluster.hierarchy import is_monotonic, is_valid_linkage

from repr_jax import losses, metrics, trees
from repr_jax.estimators import hyphc

# ((0, 1), (2, (3, 4))), leaves in another order
ORDER = np.array([3, 0, 4, 1, 2])
LEVELS = np.array(
    [
        [0.0, 0.9, 0.2, 0.2, 0.2],
        [0.9, 0.0, 0.2, 0.2, 0.2],
        [0.2, 0.2, 0.0, 0.5, 0.5],
        [0.2, 0.2, 0.5, 0.0, 0.8],
        [0.2, 0.2, 0.5, 0.8, 0.0],
    ]
)
ULTRAMETRIC = LEVELS[np.ix_(ORDER, ORDER)]


def all_trees(leaves):
    """Every binary tree over the leaves, as nested pairs."""
    if len(leaves) == 1:
        yield leaves[0]
    for size in range(len(leaves) - 1):
        for others in itertools.combinations(leaves[1:], size):
            left = (leaves[0], *others)
            right = tuple(leaf for leaf in leaves if leaf not in left)
            yield from itertools.product(all_trees(left), all_trees(right))


def cost(tree, similarities):
    """Dasgupta's cost of nested pairs, and the leaves below."""
    if not isinstance(tree, tuple):
        return 0.0, [tree]
    (a, left), (b, right) = (cost(child, similarities) for child in tree)
    across = sum(similarities[i, j] for i in left for j in right)
    return a + b + across * (len(left) + len(right)), left + right


def angles_to_leaves(angles, scale=0.9):
    return scale * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_there_are_105_trees_over_five_leaves():
    assert len(set(map(str, all_trees(tuple(range(5)))))) == 105


@pytest.mark.parametrize("seed", [0, 1])
def test_finds_the_tree_of_least_cost(seed):
    least = min(cost(t, ULTRAMETRIC)[0] for t in all_trees(tuple(range(5))))
    found = hyphc.fit(jax.random.key(seed), ULTRAMETRIC, num_steps=400, num_triplets=64)
    np.testing.assert_allclose(found.cost, least, rtol=1e-12)
    np.testing.assert_allclose(
        metrics.dasgupta_cost(found.parents, ULTRAMETRIC), least, rtol=1e-12
    )
    assert found.costs.min() == found.cost and len(found.costs) == 10
    assert found.losses[-1] < found.losses[0]
    assert is_valid_linkage(found.linkage) and is_monotonic(found.linkage)
    assert (np.linalg.norm(found.embeddings, axis=1) < 1).all()
    members = trees.below(found.parents)[5:]
    expected = [np.isin(ORDER, group) for group in ((0, 1), (3, 4), (2, 3, 4))]
    assert {m.tobytes() for m in members[:-1]} == {m.tobytes() for m in expected}


def test_the_loss_tends_to_the_cost_of_the_decoded_tree():
    """C(L, 3) loss + 2 sum of similarities, temperature to 0, all triplets."""
    leaves = angles_to_leaves(np.array([0.0, 0.05, 0.4, 0.5, 1.7, 2.0]))
    similarities = np.random.default_rng(0).random((6, 6))
    similarities = (similarities + similarities.T) / 2
    parents, _ = hyphc.decode(leaves)
    assert parents.tolist() == [6, 6, 7, 7, 8, 8, 9, 9, 10, 10, -1]
    triplets = np.array(list(itertools.combinations(range(6), 3)))
    i, j, k = triplets.T
    pairs = np.stack([similarities[i, j], similarities[i, k], similarities[j, k]], 1)
    value = jax.jit(losses.hyphc)(
        *(leaves[t].astype("f") for t in triplets.T),
        pairs.astype("f"),
        temperature=1e-4,
    )
    above = np.triu_indices(6, 1)
    np.testing.assert_allclose(
        len(triplets) * value + 2 * similarities[above].sum(),
        metrics.dasgupta_cost(parents, similarities),
        rtol=1e-5,
    )


def test_decoding_by_hand():
    """On a circle the smallest gap joins first."""
    parents, heights = hyphc.decode(angles_to_leaves(np.array([0.0, 2.0, 0.5, 2.3])))
    assert parents.tolist() == [5, 4, 5, 4, 6, 6, -1]
    linkage = trees.to_linkage(parents, heights)
    assert linkage[:, :2].tolist() == [[1, 3], [0, 2], [4, 5]]
    assert heights[:4].tolist() == [0] * 4 and (np.diff(heights[4:]) > 0).all()
    radius, between = 0.9, 0.9 * 2 * np.cos(0.15)  # of leaves 1 and 3, 0.3 apart
    apart = 0.9 * 2 * np.sin(0.15)
    depth = np.arcsinh(between / np.hypot(1 - radius**2, apart))
    np.testing.assert_allclose(heights[4], 2 * np.arctanh(radius) - depth)


def test_two_leaves_and_progress():
    key, seen = jax.random.key(0), []
    found = hyphc.fit(key, np.ones((2, 2)))
    assert found.parents.tolist() == [2, 2, -1] and found.cost == 2
    options = dict(num_steps=3, num_triplets=4, num_evaluations=3)
    found = hyphc.fit(key, LEVELS, **options, progress=lambda *n: seen.append(n))
    assert seen == [(1, 3), (2, 3), (3, 3)] and found.assignments.tolist() == [
        0,
        1,
        2,
        3,
        4,
    ]


@pytest.mark.parametrize(
    "similarities, options, message",
    [
        (np.zeros((2, 3)), {}, r"expected similarities of shape \(2, 2\)"),
        (np.zeros(3), {}, "one shape of rank 2"),
        (np.zeros((1, 1)), {}, "rows of similarities >= 2; got 1"),
        (np.triu(LEVELS), {}, "symmetric similarities; got some that differ by 0.9"),
        (np.full((3, 3), np.nan), {}, "got nan of leaves 0 and 1"),
        (LEVELS, dict(dim=1), "expected dim >= 2"),
        (LEVELS, dict(scale=1.0), r"expected scale in \(0, 1\); got 1.0"),
        (LEVELS, dict(temperature=0.0), "expected temperature > 0"),
        (LEVELS, dict(num_steps=0), "expected num_steps >= 1"),
    ],
)
def test_errors(similarities, options, message):
    with pytest.raises(ValueError, match=message):
        hyphc.fit(jax.random.key(0), similarities, **options)
