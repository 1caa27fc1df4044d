"""A tree grown with its autoencoder: on images of four kinds, and step by step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import metrics, optim, trees
from repr_jax.estimators import deep_ect
from repr_jax.models.mlp import MLP
from repr_jax.trees import growing

ENCODER = MLP((16, 2))
SMALL = dict(encoder=ENCODER, decoder=MLP((16, 36)), num_leaves=4)
SMALL |= dict(num_steps=60, batch_size=32, learning_rate=1e-2)


@pytest.fixture(scope="module")
def fitted(four_kinds):
    seen = []
    found = deep_ect.fit(
        jax.random.key(0),
        four_kinds()[0],
        **SMALL,
        progress=lambda *n: seen.append(n),
    )
    return found, seen


def test_finds_the_kinds(fitted, four_kinds):
    found, seen = fitted
    kind = four_kinds()[1]
    table = metrics.contingency(found.assignments, kind, num_clusters=4)
    assert metrics.hungarian_accuracy(table) == 1
    trees.check("test", found.parents, 4)
    coarse = metrics.contingency(found.assignments, kind // 2, num_clusters=4)
    assert metrics.dendrogram_purity(found.parents, coarse) == 1
    assert seen[0] == (7, 126) and seen[-1] == (126, 126)
    assert len(found.losses) == 63 and np.isfinite(found.losses).all()


def test_assigns_other_rows_as_the_rows_fitted_on(fitted, four_kinds):
    found, _ = fitted
    x, kind = four_kinds(40, seed=1)
    assign = jax.jit(functools.partial(deep_ect.assign, encoder=ENCODER))
    np.testing.assert_array_equal(assign(found, four_kinds()[0]), found.assignments)
    leaf = {k: found.assignments[k] for k in range(4)}
    assert assign(found, x).tolist() == [leaf[k] for k in kind]
    assert deep_ect.assign(found, x[:0], encoder=ENCODER).shape == (0,)
    embeddings = deep_ect.embed(found, x, encoder=ENCODER)
    apart = ((embeddings[:, None] - found.centers[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(apart.argmin(axis=1), assign(found, x))


def test_one_key_gives_one_tree(four_kinds):
    x = four_kinds()[0]
    one, other = (deep_ect.fit(jax.random.key(1), x, **SMALL) for _ in "ab")
    np.testing.assert_array_equal(one.losses, other.losses)
    np.testing.assert_array_equal(one.parents, other.parents)


def state_of(parents, centers, weights):
    """With the centers in place of their moments, too."""
    params = {"centers": jnp.asarray(centers)}
    weights = jnp.asarray(weights)
    return optim.Descent(0, params, weights, {"centers": params["centers"]}, 0)


def test_the_leaf_of_the_most_spread_is_split():
    """Leaf 1 has more rows, leaf 2 more spread."""
    parents = np.array([-1, 0, 0, -2, -2], np.int32)
    centers = np.array([[0, 0], [0, 0], [9, 0], [0, 0], [0, 0]], np.float32)
    rows = np.array([[0, 0.1 * i] for i in range(8)] + [[9, 3], [9, -3]], np.float32)
    state = state_of(parents, centers, np.full(5, 7.0, np.float32))
    rng = np.random.default_rng(0)
    grown, after = deep_ect._grown(parents, state, rows, 3, rng)
    assert grown.tolist() == [-1, 0, 0, 2, 2]
    assert sorted(np.asarray(after.params["centers"])[3:].tolist()) == [[9, -3], [9, 3]]
    assert after.extras.tolist() == [7, 7, 7, 1, 1]
    again, _ = deep_ect._grown(grown, after, rows, 3, rng)
    assert again.tolist() == grown.tolist()  # no room


def test_nodes_without_rows_are_pruned_with_their_moments():
    parents = np.array([-1, 0, 0, 1, 1], np.int32)
    centers = np.arange(10, dtype=np.float32).reshape(5, 2)
    state = state_of(parents, centers, np.array([9, 5, 4, 0.05, 5], np.float32))
    pruned, after = deep_ect._pruned(parents, state, 0.1)
    assert pruned.tolist() == [-1, 0, 0, -2, -2]
    kept = np.asarray(after.params["centers"])[1:3].tolist()
    assert sorted(kept) == [[4, 5], [8, 9]]  # old nodes 2 and 4
    np.testing.assert_array_equal(after.opt_state["centers"], after.params["centers"])
    empty = state._replace(extras=jnp.zeros(5))
    left, _ = deep_ect._pruned(parents, empty, 0.1)
    assert growing.leaves(left).sum() == 1  # never none


def test_two_means():
    rng = np.random.default_rng(0)
    x = np.array([[0.0], [1.0], [10.0], [12.0]])
    assert sorted(deep_ect.two_means(x, rng)[:, 0].tolist()) == [0.5, 11]
    assert deep_ect.two_means(np.ones((3, 2)), rng) is None


def test_rows_that_all_agree_are_one_leaf(four_kinds):
    same = np.ones_like(four_kinds()[0])
    found = deep_ect.fit(jax.random.key(0), same, **SMALL)
    assert found.parents.tolist() == [-1] and not found.assignments.any()


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(num_leaves=1), "expected num_leaves >= 2"),
        (dict(images=np.zeros((1, 4), "f")), "at least 2 rows; got shape"),
        (dict(images=np.zeros(4, "f")), r"expected images \[rows, ...\]"),
        (dict(images=np.full((2, 36), np.nan, "f")), "finite; got nan in row 0"),
        (dict(decoder=MLP((3,))), "decoder to the 36 entries of an image; got 3"),
        (dict(encoder=MLP((3, 2), batch_norm=True)), "parameters alone; got batch_st"),
        (dict(num_steps=0), "expected num_steps >= 1"),
        (dict(clustering_rate=0.0), "expected clustering_rate > 0"),
        (dict(prune_below=-1.0), "expected prune_below >= 0"),
        (dict(clustering_weight=-1.0), "expected clustering_weight >= 0"),
    ],
)
def test_errors(change, message, four_kinds):
    arguments = dict(images=four_kinds()[0], **SMALL)
    with pytest.raises(ValueError, match=message):
        deep_ect.fit(jax.random.key(0), **{**arguments, **change})
