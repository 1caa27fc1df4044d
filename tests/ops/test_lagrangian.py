"""Penalties of constraints: both branches, where they meet, and what updates do."""

import jax
import numpy as np
import pytest

from repr_jax.ops import lagrangian

of_multiplier = jax.jit(jax.grad(lagrangian.penalty, argnums=1))


def penalty_from_the_code(c, multiplier, weight):
    if weight * c + multiplier >= 0:
        return multiplier * c + weight * c**2 / 2
    return -(multiplier**2) / (2 * weight)


@pytest.mark.parametrize("c", [-3.0, -0.2, 0.0, 0.7])
@pytest.mark.parametrize(("multiplier", "weight"), [(0.0, 1.0), (0.3, 1.5)])
def test_both_branches(c, multiplier, weight):
    found = jax.jit(lagrangian.penalty)(c, multiplier, weight)
    expected = penalty_from_the_code(c, multiplier, weight)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    move = jax.jit(lagrangian.update, static_argnames="rate")
    moved = move(c, multiplier, weight, rate=0.5)
    inside = weight * c + multiplier < 0
    step = -multiplier / weight if inside else c
    np.testing.assert_allclose(moved, multiplier + 0.5 * step, rtol=1e-6, atol=1e-7)
    slope = of_multiplier(c, multiplier, weight)
    np.testing.assert_allclose(slope, step, rtol=1e-6, atol=1e-7)


def test_a_constraint_that_is_met_pulls_only_through_its_multiplier():
    slope = jax.jit(jax.grad(lagrangian.penalty))
    assert slope(-0.5, 0.0, 1.0) == 0
    assert slope(-0.5, 2.0, 1.0) == 1.5
    assert slope(0.5, 0.0, 1.0) == 0.5
