"""The robust hinge against a search over all moves."""

import jax
import numpy as np
import pytest

from repr_jax import losses

robust_hinge = jax.jit(losses.robust_hinge)


def by_search(margins, norm, gamma):
    """Moving by d along w lowers the margin by norm d."""
    moves = np.linspace(0, 4 + np.max(margins) / norm, 400_001)
    terms = []
    for a in margins:
        best = np.clip(1 - (a - norm * moves), 0, 1) - gamma * moves**2
        terms.append(best.max())
    return np.mean(terms)


def draw():
    rng = np.random.default_rng(53)
    x, unlabeled, w = (
        rng.normal(size=(4, 3)),
        rng.normal(size=(5, 3)),
        rng.normal(size=3),
    )
    w = 0.5 * w
    y = np.array([1, -1, -1, 1])
    return y * (x @ w), np.abs(unlabeled @ w), np.linalg.norm(w)


@pytest.mark.parametrize("gamma", [0.05, 0.5, 2.0, 20.0])
def test_is_the_largest_over_all_moves(gamma):
    margins = np.linspace(-1.5, 3, 19)
    for norm in (0.3, 1.0, 2.5):
        found = robust_hinge(margins, norm, gamma=gamma)
        np.testing.assert_allclose(found, by_search(margins, norm, gamma), rtol=1e-4)


def test_has_the_values_of_an_independent_program():
    margins, unlabeled, norm = draw()
    own = robust_hinge(margins, norm, gamma=2.0)
    other = robust_hinge(unlabeled, norm, gamma=2.0)
    np.testing.assert_allclose(other, 0.4732105, rtol=1e-5)
    np.testing.assert_allclose(own + other, 1.223211, rtol=1e-5)


def test_free_and_dear_moves_by_hand():
    margins = np.array([-1.0, 0.25, 0.75, 3])
    found = robust_hinge(margins, 1.0, gamma=1e9)
    np.testing.assert_allclose(found, (1 + 0.75 + 0.25 + 0) / 4, rtol=1e-6)
    assert robust_hinge(margins, 0.0, gamma=2.0) == found  # nothing moves a margin
    np.testing.assert_allclose(robust_hinge(margins, 1.0, gamma=1e-9), 1, rtol=1e-6)
    one = robust_hinge(np.array([0.5]), 1.0, gamma=1.0)  # d = 1/2: 1 - 1/2 + 1/4
    np.testing.assert_allclose(one, 0.75, rtol=1e-6)


def test_it_refuses_a_price_of_nothing():
    with pytest.raises(ValueError, match="robust_hinge: expected gamma > 0; got 0"):
        losses.robust_hinge(np.ones(3), 1.0, gamma=0.0)
    with pytest.raises(ValueError, match=r"robust_hinge: expected norm of shape \(\)"):
        losses.robust_hinge(np.ones(3), np.ones(3), gamma=1.0)
