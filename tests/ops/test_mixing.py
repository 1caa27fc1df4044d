"""Rows between rows: unit length, by hand, and draws that follow their rows."""

import jax
import numpy as np
import pytest

from repr_jax.ops import mixing

mixed_negatives = jax.jit(mixing.mixed_negatives, static_argnames="num")
listwise, between = jax.jit(mixing.listwise), jax.jit(mixing.between)


def test_between_and_listwise_by_hand():
    axes = np.eye(2, dtype="f")
    np.testing.assert_allclose(
        between(axes[0], 5 * axes[1], 0.6), [0.6, 0.4] / np.sqrt(0.52), rtol=1e-6
    )
    found = listwise(axes[:1], axes[None], temperature=1.0)[0]
    np.testing.assert_allclose(found[0] / found[1], np.e, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found), 1, rtol=1e-6)
    cold = listwise(axes[:1], axes[None], temperature=1e-3)
    np.testing.assert_allclose(cold, axes[:1], atol=1e-6)


def test_mixed_negatives_lie_between_two_different_ones():
    key = jax.random.key(0)
    negatives = np.tile(np.eye(4, 5, dtype="f"), (3, 1, 1))
    found = np.asarray(mixed_negatives(key, negatives, num=50))
    assert found.shape == (3, 50, 5)
    assert ((found > 0).sum(axis=-1) == 2).all()
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, rtol=1e-5)
    share = np.sort(found, axis=-1)[..., -2] / found.sum(axis=-1)
    assert 0.25 < share.mean() < 0.4  # of Beta(2, 2) the lesser share has mean 5/16


def test_absent_rows_change_nothing():
    key, where = jax.random.key(0), np.array([True, False, True])
    negatives = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("f")
    found = mixed_negatives(key, negatives, where=where)
    deleted = mixed_negatives(key, negatives[where])
    np.testing.assert_allclose(np.asarray(found)[where], deleted, rtol=1e-6)
    assert not np.asarray(found)[1].any()


def test_one_negative_cannot_be_mixed():
    with pytest.raises(ValueError, match="mixed_negatives: expected candidates >= 2"):
        mixing.mixed_negatives(jax.random.key(0), np.ones((3, 1, 2)))
