"""Masked patches: loops, by hand, what is visible or flat."""

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.losses.reconstruction import normalized_patches

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
    value = losses.masked_patches(predictions, patches, hidden)
    np.testing.assert_allclose(value, ((4 + 16) / 2 + (0 + 4) / 2) / 2)
    assert losses.masked_patches(predictions, patches, hidden & False) == 0


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
