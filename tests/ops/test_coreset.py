"""Greedy k-center; more of it with the memory that is made by it."""

import jax
import numpy as np
import pytest

from repr_jax.ops.coreset import k_center


def test_no_row_is_chosen_twice_and_no_more_than_are_present():
    x, where = np.array([[0.0], [1], [9], [4]]), np.array([True, True, False, True])
    chosen = jax.jit(k_center, static_argnums=1)(x, 3, where=where)
    np.testing.assert_array_equal(chosen, [0, 3, 1])
    with pytest.raises(ValueError, match="k_center: expected num up to 3 rows; got 4"):
        k_center(x, 4, where=where)
    with pytest.raises(ValueError, match="k_center: expected num up to 4 rows; got 5"):
        jax.jit(k_center, static_argnums=1)(x, 5, where=where)
