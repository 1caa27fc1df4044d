"""Consolidated targets, and pairs of views to relate."""

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import pairs, targets

consolidated = jax.jit(targets.consolidated)
relation_pairs = jax.jit(pairs.relation_pairs)


def draw():
    rng = np.random.default_rng(34)
    tokens, patches = rng.normal(size=(2, 4)), rng.normal(size=(2, 5, 4))
    center = 0.1 * rng.normal(size=4)
    sampled = np.array([[1, 0, 1, 0, 1], [0, 1, 1, 0, 0]], bool)
    return tokens, patches, sampled, center


def test_consolidated_matches_loops_and_an_independent_program():
    tokens, patches, sampled, center = draw()
    found = np.asarray(consolidated(tokens, patches, sampled))
    for row, token, patch, where in zip(found, tokens, patches, sampled):
        expected = 0.5 * patch[where].mean(axis=0) + 0.5 * token
        np.testing.assert_allclose(row, expected, rtol=1e-5)
    target = np.exp((found[0] - center) / 0.4)
    printed = [0.01828604, 0.001540255, 0.959483, 0.02069074]
    np.testing.assert_allclose(target / target.sum(), printed, rtol=1e-5)


def test_without_patches_the_token_is_the_target_of_dino():
    tokens, patches, sampled, _ = draw()
    np.testing.assert_allclose(
        consolidated(tokens, patches, sampled & False), tokens, rtol=1e-6
    )
    found = consolidated(tokens, patches, sampled, mix=0.0)
    np.testing.assert_allclose(found, tokens, rtol=1e-6)
    gradient = jax.jit(
        jax.grad(lambda p: targets.consolidated(tokens, p, sampled).sum())
    )
    assert not gradient(patches).any()
    with pytest.raises(ValueError, match="consolidated: expected tokens of shape"):
        targets.consolidated(tokens[:1], patches, sampled)


def pairs_by_loops(z):
    same, other, shift = [], [], 1
    for i in range(len(z)):
        for j in range(i + 1, len(z)):
            for row in range(z.shape[1]):
                same.append([*z[i, row], *z[j, row]])
                other.append([*z[i, row], *z[j, (row - shift) % z.shape[1]]])
            shift = shift + 1 if shift + 1 < z.shape[1] else 1
    return np.array(same), np.array(other)


def test_relation_pairs_match_loops_and_an_independent_program():
    z = np.random.default_rng(26).normal(size=(3, 4, 2))
    x, kinds, where = relation_pairs(z)
    same, other = pairs_by_loops(z)
    np.testing.assert_allclose(x, np.concatenate([same, other]), rtol=1e-6)
    assert np.asarray(kinds).tolist() == [True] * 12 + [False] * 12
    assert np.all(where)
    printed = [1.368243, 0.8719673, -2.045856, 0.1487126]
    np.testing.assert_allclose(np.asarray(x)[-4], printed, rtol=1e-6)
    focal = jax.jit(losses.focal_binary)
    logits = np.asarray(x) @ np.array([1, -1, 0.5, 2], "f")
    np.testing.assert_allclose(focal(logits, kinds), 0.7086297, rtol=1e-5)
    plain = focal(0 * logits, kinds, gamma=0.0)
    np.testing.assert_allclose(plain, np.log(2), rtol=1e-6)


def test_more_pairs_of_views_than_rows_never_relate_a_row_to_itself():
    z = np.broadcast_to(np.arange(3.0)[None, :, None], (4, 3, 1))
    where = np.array([True, True, False])
    x, kinds, there = (np.asarray(a) for a in relation_pairs(z, where=where))
    assert len(x) == 2 * 6 * 3
    assert (x[kinds, 0] == x[kinds, 1]).all() or not where.all()
    assert (x[~kinds & there, 0] != x[~kinds & there, 1]).all()
    assert (x[there] != 2).all()
    with pytest.raises(
        ValueError, match="relation_pairs: expected two views and two r"
    ):
        pairs.relation_pairs(z[:, :1])
