"""Losses of maps: loops, an oracle, by hand."""

import jax
import numpy as np
import pytest

from repr_jax import losses


def draw():
    rng = np.random.default_rng(32)
    rng.normal(size=(3, 4))
    p = rng.uniform(0.05, 0.95, size=(3, 3))
    mask = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
    return np.log(p / (1 - p))[None], mask[None]


def test_values_of_an_independent_program():
    found = jax.jit(losses.focal_balanced)(*draw())
    np.testing.assert_allclose(found, 0.5030451, rtol=1e-5)
    np.testing.assert_allclose(losses.dice(*draw()), 0.5538077, rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 1.5])
def test_match_loops(gamma):
    rng = np.random.default_rng(0)
    logits, masks = rng.normal(size=(4, 5, 6)), rng.uniform(size=(4, 5, 6)) < 0.3
    p = 1 / (1 + np.exp(-logits))
    on = np.mean([-((1 - q) ** gamma) * np.log(q) for q in p[masks]])
    off = np.mean([-(q**gamma) * np.log(1 - q) for q in p[~masks]])
    found = losses.focal_balanced(logits, masks, gamma=gamma)
    np.testing.assert_allclose(found, on + off, rtol=1e-5)
    terms = [
        1 - (2 * q[m].sum() + 1e-5) / (q.sum() + m.sum() + 1e-5)
        for q, m in zip(p, masks)
    ]
    np.testing.assert_allclose(losses.dice(logits, masks), np.mean(terms), rtol=1e-5)


def test_by_hand_and_images_without_an_anomaly():
    logits, masks = np.zeros((1, 4)), np.array([[True, False, False, False]])
    np.testing.assert_allclose(
        losses.focal_balanced(logits, masks, gamma=2), 2 * np.log(2) / 4, rtol=1e-6
    )
    np.testing.assert_allclose(losses.dice(logits, masks), 1 - 1 / 3, rtol=1e-4)
    none = np.zeros((1, 4), bool)
    np.testing.assert_allclose(
        losses.focal_balanced(logits, none, gamma=0), np.log(2), rtol=1e-6
    )
    assert losses.dice(logits - 50, none) < 1e-6 < losses.dice(logits, none)
    with pytest.raises(TypeError, match="dice: expected masks bool"):
        losses.dice(logits, masks.astype(int))
