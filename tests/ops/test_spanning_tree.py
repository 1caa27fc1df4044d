import jax
import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial import distance_matrix

from repr_jax.ops.spanning_tree import edge_lengths


def test_as_scipy_and_under_jit():
    x = np.random.default_rng(0).normal(size=(30, 3))
    expected = np.sort(minimum_spanning_tree(distance_matrix(x, x)).data)
    np.testing.assert_allclose(jax.jit(edge_lengths)(x), expected, rtol=1e-5)


def test_by_hand_with_duplicates_and_absent_rows():
    x = np.array([[0.0], [5.0], [0.0], [2.0]])
    lengths = jax.jit(edge_lengths)
    np.testing.assert_array_equal(lengths(x), [0, 2, 3])
    spoiled = np.where(np.arange(4)[:, None] == 3, np.nan, x)
    where = np.arange(4) != 3
    np.testing.assert_array_equal(lengths(spoiled, where=where), [0, 5, np.inf])
    assert lengths(x[:1]).shape == (0,)


def test_rows_that_are_not_finite():
    x = np.array([[0.0], [np.nan], [1.0]])
    with pytest.raises(ValueError, match="x finite; got nan in row 1"):
        edge_lengths(x)
    assert not np.isfinite(jax.jit(edge_lengths)(x)).all()
    with pytest.raises(ValueError, match="rows >= 1"):
        edge_lengths(np.zeros((0, 2)))
