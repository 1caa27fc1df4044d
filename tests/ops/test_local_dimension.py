"""Estimates of local dimension: stated values, by hand, scale, and true dimensions."""

import jax
import numpy as np
import pytest

from repr_jax.ops import local_dimension

moments, likelihood = map(
    jax.jit, (local_dimension.moments, local_dimension.likelihood)
)


def distances(x, k):
    apart = np.linalg.norm(x[:, None] - x, axis=-1)
    return np.sort(apart, axis=1)[:, 1 : k + 1]


def test_they_match_the_papers_and_have_the_stated_values():
    a = distances(np.random.default_rng(4).normal(size=(12, 3)), 5)
    expected = [row[:-1].mean() / (row[-1] - row[:-1].mean()) for row in a]
    np.testing.assert_allclose(moments(a), expected, rtol=1e-5)
    np.testing.assert_allclose(
        moments(a)[:3], [2.196778, 1.874493, 1.469598], rtol=1e-5
    )
    expected = [-1 / np.mean([np.log(d / row[-1]) for d in row[:-1]]) for row in a]
    np.testing.assert_allclose(likelihood(a), expected, rtol=1e-5)
    stated = [2.350063, 2.053151, 1.528007]
    np.testing.assert_allclose(likelihood(a)[:3], stated, rtol=1e-5)
    for estimate in (moments, likelihood):
        np.testing.assert_allclose(estimate(1e3 * a), estimate(a), rtol=1e-4)


def test_by_hand_and_where_distances_are_equal_or_0():
    a = np.array([[1.0, 3.0, 4.0]], "f")
    np.testing.assert_allclose(moments(a), [2 / 2], rtol=1e-6)
    a = np.array([[np.exp(-1.0), np.exp(-3.0), 1.0]], "f")
    np.testing.assert_allclose(likelihood(a), [0.5], rtol=1e-6)
    for estimate in (moments, likelihood):
        assert estimate(np.ones((1, 4), "f")) == 1e4
        assert np.isnan(estimate(np.full((1, 4), np.nan, "f")))
        assert np.isfinite(estimate(np.zeros((1, 4), "f")))
    assert moments(np.array([[0.0, 0.0, 1.0]], "f")) == np.float32(1e-3)


@pytest.mark.parametrize("dim", [2, 5])
def test_gaussian_rows_have_about_their_dimension(dim):
    x = np.random.default_rng(0).normal(size=(600, dim))
    for estimate in (moments, likelihood):
        assert abs(np.mean(estimate(distances(x, 20))) / dim - 1) < 0.2


def test_one_neighbor_says_nothing():
    with pytest.raises(ValueError, match="moments: expected neighbors >= 2; got 1"):
        local_dimension.moments(np.ones((3, 1)))
