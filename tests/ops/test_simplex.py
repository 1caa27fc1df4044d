"""Vertices: of unit length, equally far, around 0."""

import numpy as np
import pytest

from repr_jax.ops import simplex


@pytest.mark.parametrize("num", [2, 4, 100])
def test_vertices_are_a_regular_simplex(num):
    found = np.asarray(simplex.vertices(num))
    assert found.shape == (num, num - 1) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=0), 0, atol=1e-5)
    cosines = np.full((num, num), -1 / (num - 1)) + (1 + 1 / (num - 1)) * np.eye(num)
    np.testing.assert_allclose(found @ found.T, cosines, atol=1e-5)


def test_of_two_vertices_by_hand():
    assert simplex.vertices(2).ravel().tolist() == [1, -1]
    with pytest.raises(ValueError, match="vertices: expected num_vertices >= 2; got 1"):
        simplex.vertices(1)
