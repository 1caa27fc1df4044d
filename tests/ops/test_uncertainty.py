import math

import jax
import numpy as np
import pytest

from repr_jax.ops import uncertainty


def energy_from_the_paper(logits, temperature):
    return [
        -temperature * math.log(sum(math.exp(x / temperature) for x in row))
        for row in np.asarray(logits, np.float64)
    ]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_energy_matches_the_paper(temperature):
    logits = np.random.default_rng(0).normal(0, 3, size=(5, 4)).astype(np.float32)
    actual = jax.jit(uncertainty.energy)(logits, temperature=temperature)
    expected = energy_from_the_paper(logits, temperature)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_value_of_an_independent_program():
    logits = 2 * np.random.default_rng(2).normal(size=(2, 6))
    np.testing.assert_allclose(uncertainty.energy(logits)[0], -3.885508, rtol=1e-5)


def test_equal_logits_by_hand_and_a_constant_is_seen():
    logits = np.full((1, 8), 2.0, np.float32)
    np.testing.assert_allclose(uncertainty.energy(logits), -2 - math.log(8), rtol=1e-6)
    moved = uncertainty.energy(logits + 5) - uncertainty.energy(logits)
    np.testing.assert_allclose(moved, -5.0, rtol=1e-6)
    assert np.isfinite(uncertainty.energy(np.full((1, 3), 1e4, np.float32))).all()
