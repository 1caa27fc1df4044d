"""Permutations far apart, and the policy that draws groups of them."""

import itertools

import numpy as np
import pytest

from repr_jax.data import permutations


def by_loops(num_tiles, num, first):
    every = list(itertools.permutations(range(num_tiles)))
    chosen = [first]
    while len(chosen) < num:
        away = [
            -1
            if p in chosen
            else sum(a != b for c in chosen for a, b in zip(every[c], q))
            for p, q in enumerate(every)
        ]
        chosen.append(away.index(max(away)))
    return chosen, every


@pytest.mark.parametrize(
    ("num_tiles", "num", "first"), [(4, 5, 11), (3, 6, 0), (5, 9, 7)]
)
def test_the_farthest_permutations_match_loops(num_tiles, num, first):
    chosen, every = by_loops(num_tiles, num, first)
    found = permutations.maximal(num_tiles, num, first=first)
    assert found.tolist() == [list(every[place]) for place in chosen]
    if num_tiles == 4:
        assert chosen == [11, 1, 12, 22, 0]  # an independent program


def test_two_permutations_by_hand_and_too_many():
    found = permutations.maximal(3, 2)
    assert found.tolist() == [[0, 1, 2], [1, 2, 0]]
    assert len(np.unique(permutations.maximal(4, 24), axis=0)) == 24
    with pytest.raises(ValueError, match=r"maximal: expected at most 9 tiles; got 10"):
        permutations.maximal(10, 2)
    with pytest.raises(ValueError, match=r"expected num and first within 6 permutat"):
        permutations.maximal(3, 7)


def test_a_policy_step_moves_towards_what_was_rewarded():
    logits = np.array([0.2, -0.1, 0.5])
    found = permutations.policy_step(logits, 1, 0.3, baseline=0.1, rate=0.5)
    printed = [0.1676446, -0.02396945, 0.4563248]
    np.testing.assert_allclose(found, printed, rtol=1e-6)
    np.testing.assert_allclose((found - logits).sum(), 0, atol=1e-12)
    same = permutations.policy_step(logits, 1, 0.3, baseline=0.3, rate=0.5)
    np.testing.assert_array_equal(same, logits)
    with pytest.raises(ValueError, match=r"policy_step: expected group in \[0, 3\)"):
        permutations.policy_step(logits, 3, 0.3, baseline=0.1, rate=0.5)
