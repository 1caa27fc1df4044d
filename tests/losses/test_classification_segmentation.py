"""Losses of maps: loops, an oracle, by hand."""

import jax
import numpy as np
import pytest

from repr_jax import losses

dice, focal_balanced = map(jax.jit, (losses.dice, losses.focal_balanced))


def draw():
    rng = np.random.default_rng(32)
    rng.normal(size=(3, 4))
    p = rng.uniform(0.05, 0.95, size=(3, 3))
    mask = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
    return np.log(p / (1 - p))[None], mask[None]


def test_values_of_an_independent_program():
    found = focal_balanced(*draw())
    np.testing.assert_allclose(found, 0.5030451, rtol=1e-5)
    np.testing.assert_allclose(dice(*draw()), 0.5538077, rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 1.5])
def test_match_loops(gamma):
    rng = np.random.default_rng(0)
    logits, masks = rng.normal(size=(4, 5, 6)), rng.uniform(size=(4, 5, 6)) < 0.3
    p = 1 / (1 + np.exp(-logits))
    on = np.mean([-((1 - q) ** gamma) * np.log(q) for q in p[masks]])
    off = np.mean([-(q**gamma) * np.log(1 - q) for q in p[~masks]])
    found = focal_balanced(logits, masks, gamma=gamma)
    np.testing.assert_allclose(found, on + off, rtol=1e-5)
    terms = [
        1 - (2 * q[m].sum() + 1e-5) / (q.sum() + m.sum() + 1e-5)
        for q, m in zip(p, masks)
    ]
    np.testing.assert_allclose(dice(logits, masks), np.mean(terms), rtol=1e-5)


def test_by_hand_and_images_without_an_anomaly():
    logits, masks = np.zeros((1, 4)), np.array([[True, False, False, False]])
    np.testing.assert_allclose(
        focal_balanced(logits, masks, gamma=2), 2 * np.log(2) / 4, rtol=1e-6
    )
    np.testing.assert_allclose(dice(logits, masks), 1 - 1 / 3, rtol=1e-4)
    none = np.zeros((1, 4), bool)
    np.testing.assert_allclose(
        focal_balanced(logits, none, gamma=0), np.log(2), rtol=1e-6
    )
    assert dice(logits - 50, none) < 1e-6 < dice(logits, none)
    with pytest.raises(TypeError, match="dice: expected masks bool"):
        losses.dice(logits, masks.astype(int))


def region_by_loops(logits, labels, region):
    """Dice and cross-entropy, a loop over pixels."""
    pixels = [
        (np.exp(z) / np.exp(z).sum(), y)
        for image, answer in zip(logits, labels)
        for z, y in zip(image[region], answer[region])
    ]
    ratios = []
    for c in range(logits.shape[-1]):
        shared = sum(p[c] * (y == c) for p, y in pixels)
        sizes = sum(p[c] ** 2 + (y == c) for p, y in pixels)
        ratios.append(1 - (2 * shared + 1e-10) / (sizes + 1e-10))
    return np.mean(ratios), -np.mean([np.log(p[y]) for p, y in pixels])


def test_copy_paste_matches_loops_and_an_independent_program():
    rng = np.random.default_rng(50)
    logits = rng.normal(size=(2, 4, 4, 3))
    outer, inner = rng.integers(3, size=(2, 4, 4)), rng.integers(3, size=(2, 4, 4))
    outside = np.ones((4, 4), bool)
    outside[1:3, :2] = False
    parts = [
        region_by_loops(logits, *part) for part in ((outer, outside), (inner, ~outside))
    ]
    shared, surprise = 0.5 * np.array(parts[0]) + np.array(parts[1])
    np.testing.assert_allclose([shared, surprise], [0.8216585, 1.955386], rtol=1e-6)
    loss = jax.jit(losses.copy_paste)
    found = loss(logits, outer, inner, outside, outer_weight=0.5, inner_weight=1.0)
    for expected in ((shared + surprise) / 2, 1.388522):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    for name, value in zip(("class_dice", "region_cross_entropy"), parts[0]):
        term = jax.jit(getattr(losses, name))(logits, outer, outside)
        np.testing.assert_allclose(term, value, rtol=1e-5)
    whole = loss(logits, outer, inner, outside | True)  # no box: of one image
    expected = sum(region_by_loops(logits, outer, outside | True)) / 2
    np.testing.assert_allclose(whole, expected, rtol=1e-5)


def test_copy_paste_of_sure_and_of_equal_logits_by_hand():
    labels = np.array([[[0, 1], [1, 0]]])
    region = np.ones((2, 2), bool)
    sure = 50 * np.eye(2)[labels]
    loss = jax.jit(losses.copy_paste)
    np.testing.assert_allclose(loss(sure, labels, labels, region), 0, atol=1e-6)
    flat = jax.jit(losses.class_dice)(0 * sure, labels, region)
    np.testing.assert_allclose(flat, 1 - 2 / 3, rtol=1e-6)  # 2 * 1 / (1 + 2)
    with pytest.raises(ValueError, match=r"copy_paste: expected outside of shape"):
        losses.copy_paste(sure, labels, labels, region[:1])
