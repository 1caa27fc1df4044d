"""Masked patches: loops, by hand, what is visible or flat. pSp: loops, equal images."""

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.losses.reconstruction import normalized_patches

masked_patches, psp = map(jax.jit, (losses.masked_patches, losses.psp))

rng = np.random.default_rng(0)
PREDICTIONS, PATCHES = rng.normal(size=(2, 5, 6, 4)).astype("f")
HIDDEN = rng.random((5, 6)) < 0.6


def masked_patches_from_the_paper(predictions, patches, hidden):
    total, count = 0.0, 0
    for i, p in np.ndindex(hidden.shape):
        if hidden[i, p]:
            difference = np.float64(predictions[i, p]) - patches[i, p]
            total += np.mean(difference**2)
            count += 1
    return total / count


def test_masked_patches_matches_the_paper():
    actual = jax.jit(losses.masked_patches)(PREDICTIONS, PATCHES, HIDDEN)
    expected = masked_patches_from_the_paper(PREDICTIONS, PATCHES, HIDDEN)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_by_hand():
    predictions = np.array([[[0, 0], [1, 3], [9, 9]]], "f")
    patches = np.array([[[2, 4], [1, 1], [0, 0]]], "f")
    hidden = np.array([[True, True, False]])
    value = masked_patches(predictions, patches, hidden)
    np.testing.assert_allclose(value, ((4 + 16) / 2 + (0 + 4) / 2) / 2)
    assert masked_patches(predictions, patches, hidden & False) == 0


def test_only_hidden_patches_have_a_gradient_and_targets_none():
    gradient = jax.jit(jax.grad(losses.masked_patches, argnums=(0, 1)))
    predictions, patches = gradient(PREDICTIONS, PATCHES, HIDDEN)
    assert ((predictions != 0).all(axis=-1) == HIDDEN).all()
    assert (patches == 0).all()


def test_normalized_patches_match_the_published_code():
    actual = jax.jit(normalized_patches)(3 * PATCHES + 5)
    x = 3 * np.float64(PATCHES) + 5
    mean, square = x.mean(-1, keepdims=True), x.var(-1, ddof=1, keepdims=True)
    np.testing.assert_allclose(actual, (x - mean) / np.sqrt(square + 1e-6), rtol=1e-4)
    assert (normalized_patches(np.full((2, 3, 4), 7.0, "f")) == 0).all()


def test_what_does_not_fit_is_named():
    with pytest.raises(TypeError, match="masked_patches: expected hidden bool"):
        losses.masked_patches(PREDICTIONS, PATCHES, HIDDEN.astype(int))
    with pytest.raises(
        ValueError, match=r"masked_patches: .* hidden of shape \(5, 6\)"
    ):
        losses.masked_patches(PREDICTIONS, PATCHES, HIDDEN[:, :2])


WEIGHTS = dict(perceptual_weight=0.7, identity_weight=0.2, offset_weight=0.05)


def restored():
    """Images, targets, features of two layers of both, offsets."""
    shapes = [(4, 6, 6, 3)] * 2
    layers = [(4, 3, 2, 5), (4, 2, 2, 7)]
    draw = np.random.default_rng(1).normal
    images, targets = (draw(size=shape).astype("f") for shape in shapes)
    first, second = ([draw(size=s).astype("f") for s in layers] for _ in range(2))
    return images, targets, first, second, draw(size=(4, 3, 2)).astype("f")


def psp_from_the_paper(images, targets, layers, target_layers, offsets, **weights):
    def unit(v):
        return np.float64(v) / np.linalg.norm(np.float64(v))

    total = 0.0
    for i in range(len(images)):
        total += np.mean((np.float64(images[i]) - targets[i]) ** 2)
        for f, g in zip(layers, target_layers):
            places = list(np.ndindex(f.shape[1:3]))
            gaps = [np.sum((unit(f[i][p]) - unit(g[i][p])) ** 2) for p in places]
            total += weights["perceptual_weight"] * sum(gaps) / len(places)
        f, g = (
            np.mean(np.float64(x[-1][i]).reshape(-1, 7), axis=0)
            for x in (layers, target_layers)
        )
        total += weights["identity_weight"] * (1 - unit(f) @ unit(g))
        length = np.sqrt(np.sum(np.float64(offsets[i]) ** 2))
        total += weights["offset_weight"] * length
    return total / len(images)


def test_psp_matches_the_paper():
    actual = psp(*restored(), **WEIGHTS)
    expected = psp_from_the_paper(*restored(), **WEIGHTS)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    none = dict.fromkeys(WEIGHTS, 0.0)
    images, targets, *rest = restored()
    value = psp(images, targets, *rest, **none)
    np.testing.assert_allclose(value, np.mean((images - targets) ** 2), rtol=1e-5)


def test_psp_of_equal_images_is_what_offsets_cost():
    images, _, layers, _, offsets = restored()
    offsets = np.zeros_like(offsets)
    offsets[:, 0] = [3, 4]
    value = psp(images, images, layers, layers, offsets)
    np.testing.assert_allclose(value, 0.005 * 5, rtol=1e-4)
    gradient = jax.jit(jax.grad(losses.psp, argnums=4))
    found = gradient(images, images, layers, layers, 0 * offsets)
    assert np.isfinite(found).all()
    with pytest.raises(ValueError, match="expected as many layers"):
        losses.psp(images, images, layers, layers[:1], offsets)
