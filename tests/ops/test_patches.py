"""Patches: by hand, there and back, and random places."""

import jax
import numpy as np
import pytest

from repr_jax.ops import patches

KEY = jax.random.key(0)


def test_patches_are_rows_of_squares():
    image = np.arange(4 * 6 * 2).reshape(1, 4, 6, 2)
    found = patches.patchify(image, 2)
    assert found.shape == (1, 6, 8)
    for number, patch in enumerate(found[0]):
        i, j = 2 * (number // 3), 2 * (number % 3)
        expected = [
            image[0, i + a, j + b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)
        ]
        np.testing.assert_array_equal(patch, expected)
    np.testing.assert_array_equal(patches.unpatchify(found, (4, 6, 2), 2), image)


@pytest.mark.parametrize(("grid", "window"), [((4, 6), 2), ((5, 7), 3), ((2, 2), 4)])
def test_one_patch_of_each_window_each_as_often(grid, window):
    found = np.asarray(patches.one_per_window(KEY, 4000, grid, window))
    assert found.dtype == bool and found.shape == (4000, grid[0] * grid[1])
    found = found.reshape(-1, *grid)
    for i in range(0, grid[0], window):
        for j in range(0, grid[1], window):
            here = found[:, i : i + window, j : j + window]
            assert (here.sum((1, 2)) == 1).all()
            share = 1 / here[0].size
            near = 5 * np.sqrt(share * (1 - share) / 4000)
            np.testing.assert_allclose(here.mean(0), share, atol=near)
    if window == 2:  # windows are drawn apart
        first, second = found[:, 0, 0], found[:, 2, 2]
        assert abs(np.mean(first & second) - 1 / 16) < 0.02


def test_random_patches_are_ascending_subsets_all_alike():
    found = np.asarray(patches.random_patches(KEY, 6000, 4, 2))
    assert found.dtype == np.int32 and (found[:, 0] < found[:, 1]).all()
    subsets, counts = np.unique(found, axis=0, return_counts=True)
    assert len(subsets) == 6
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)
    np.testing.assert_array_equal(
        patches.random_patches(KEY, 2, 3, 3), [[0, 1, 2], [0, 1, 2]]
    )


def test_bad_input_is_named():
    with pytest.raises(
        ValueError, match=r"patchify: .*multiples of patch_size 4; got 8"
    ):
        patches.patchify(np.zeros((2, 8, 6, 3)), 4)
    with pytest.raises(ValueError, match="patchify: expected one shape of rank 4"):
        patches.patchify(np.zeros((8, 8, 3)), 4)
    with pytest.raises(ValueError, match=r"expected patches \[batch, \*\(4, 12\)\]"):
        patches.unpatchify(np.zeros((2, 4, 8)), (4, 4, 3), 2)
    with pytest.raises(ValueError, match=r"num_kept in 1\.\.4; got 5"):
        patches.random_patches(KEY, 2, 4, 5)


def test_differences_in_the_window_around_each_pixel():
    images, others = np.random.default_rng(0).normal(size=(2, 2, 4, 5, 2)).astype("f")
    found = patches.window_differences(images, others, size=3)
    assert found.shape == (2, 4, 5, 18)
    away = np.abs(images - others)
    np.testing.assert_allclose(found[1, 2, 3], away[1, 1:4, 2:5].reshape(-1), rtol=1e-6)
    np.testing.assert_allclose(found[0, 0, 0, :2], away[0, 0, 0], rtol=1e-6)
    with pytest.raises(ValueError, match="an odd size; got 4"):
        patches.window_differences(images, others, size=4)
