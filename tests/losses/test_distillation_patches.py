"""Alignment of patches: kernels in loops, by hand, and what changes nothing."""

import jax
import numpy as np
import pytest

from repr_jax import losses

patch_alignment = jax.jit(losses.patch_alignment)


def draw(batch=3, patches=6, dim=4, other=5):
    rng = np.random.default_rng(2)
    return rng.normal(size=(batch, patches, dim)), rng.normal(
        size=(batch, patches, other)
    )


def of_kernels(online, targets):
    terms = []
    for x, y in zip(online, targets):
        center = np.eye(len(x)) - 1 / len(x)
        a, b = (center @ z @ z.T @ center for z in (x, y))
        alignment = np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b))
        terms.append(1 - alignment)
    return np.mean(terms)


def test_patch_alignment_matches_the_paper():
    for x, y in (draw(), draw(patches=3, dim=7)):
        found = patch_alignment(x, y)
        np.testing.assert_allclose(found, of_kernels(x, y), rtol=1e-5)


def test_values_by_hand():
    """Patches that vary alike along other axes, and those that vary by themselves."""
    x = np.array([[[1, 0], [-1, 0], [1, 0], [-1, 0]]], "f")
    np.testing.assert_allclose(patch_alignment(x, x[:, :, ::-1]), 0, atol=1e-6)
    other = np.array([[[1], [1], [-1], [-1]]], "f")
    np.testing.assert_allclose(patch_alignment(x, other), 1, rtol=1e-6)


def test_rotations_scales_and_shifts_change_nothing():
    x, y = draw()
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    found = patch_alignment(100 * x @ turn + 3, y)
    np.testing.assert_allclose(found, patch_alignment(x, y), rtol=1e-4)
    np.testing.assert_allclose(patch_alignment(x, 2 * x @ turn - 5), 0, atol=1e-5)


def test_targets_get_no_gradient_and_patches_are_left_out():
    x, y = map(np.float32, draw())
    by_x, by_y = jax.grad(patch_alignment, argnums=(0, 1))(x, y)
    assert by_x.any() and not by_y.any()
    counted = np.tile(np.arange(6) % 3 > 0, (3, 1))
    counted[1] = np.arange(6) == 2  # one patch is too few
    found = patch_alignment(x, y, patch_where=counted)
    kept = [
        of_kernels(x[i : i + 1, counted[i]], y[i : i + 1, counted[i]]) for i in (0, 2)
    ]
    np.testing.assert_allclose(found, np.mean(kept), rtol=1e-5)
    with pytest.raises(ValueError, match=r"patch_alignment: expected targets of shape"):
        losses.patch_alignment(x, y[:, :5])
