"""Greedy subsets against determinants of all extensions, ties, and early stops."""

import jax
import numpy as np
import pytest

from repr_jax.ops import determinantal


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def greedy_in_loops(kernel, num):
    """Each time the item of the largest determinant with those chosen."""
    chosen = []
    for _ in range(num):
        rest = [i for i in range(len(kernel)) if i not in chosen]
        sets = [np.array([*chosen, item]) for item in rest]
        values = [np.linalg.det(kernel[np.ix_(c, c)]) for c in sets]
        chosen.append(rest[int(np.argmax(values))])
    return chosen


def test_it_equals_determinants_and_the_stated_choice():
    rows = unit(np.random.default_rng(3).normal(size=(6, 4)))
    assert determinantal.greedy(rows @ rows.T, 3).tolist() == [0, 1, 5]
    for seed in range(5):
        rows = np.random.default_rng(seed).normal(size=(9, 6))
        kernel = rows @ rows.T
        expected = greedy_in_loops(kernel, 5)
        assert determinantal.greedy(kernel, 5).tolist() == expected


def test_ties_go_to_the_first_and_it_stops_at_the_rank():
    found = determinantal.greedy(np.eye(5, dtype="f"), 3)
    assert found.tolist() == [0, 1, 2]
    rows = unit(np.random.default_rng(3).normal(size=(6, 4)))
    found = jax.jit(determinantal.greedy, static_argnums=1)(rows @ rows.T, 6)
    assert found[:3].tolist() == [0, 1, 5] and (found[4:] == -1).all()
    same = determinantal.greedy(np.ones((4, 4), "f"), 4)
    assert same.tolist() == [0, -1, -1, -1]


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="greedy: expected kernel of shape"):
        determinantal.greedy(np.ones((3, 4)), 2)
    with pytest.raises(ValueError, match="greedy: expected items >= 4; got 3"):
        determinantal.greedy(np.ones((3, 3)), 4)
    with pytest.raises(TypeError, match="greedy: expected kernel of floats"):
        determinantal.greedy(np.ones((3, 3), int), 2)
