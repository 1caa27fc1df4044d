import itertools

import jax
import numpy as np
import pytest

from repr_jax.data import pretext
from repr_jax.data.dataset import of_rows

KEY = jax.random.key(0)
grid_patches, yoked_patches = (
    jax.jit(cut, static_argnames=("num_cells", "patch_size"))
    for cut in (pretext.grid_patches, pretext.yoked_patches)
)


def test_permutations_of_an_independent_program():
    every = [*itertools.permutations(range(5))]
    found = [every.index(tuple(p)) for p in pretext.permutations(5, 5)]
    assert found == [0, 27, 64, 93, 108]
    with pytest.raises(ValueError, match="count up to 6"):
        pretext.permutations(3, 7)


def test_rotations_undo_one_another_and_say_their_turns():
    images = np.random.default_rng(0).normal(size=(3, 4, 4, 2))
    turned, labels = map(np.asarray, jax.jit(pretext.rotations)(images))
    for image, turns, original in zip(turned, labels, np.tile(images, (4, 1, 1, 1))):
        np.testing.assert_array_equal(
            np.rot90(image, -int(turns)), original.astype("f")
        )
    np.testing.assert_array_equal(np.bincount(labels), [3] * 4)
    with pytest.raises(ValueError, match="equal sides"):
        pretext.rotations(images[:, :3])


def test_patches_lie_in_their_cells_and_are_standardized():
    row, column = np.meshgrid(np.arange(12.0), np.arange(12.0), indexing="ij")
    images = np.stack([row, column], axis=-1)[None].repeat(5, axis=0)
    patches = np.asarray(grid_patches(KEY, images, patch_size=3))
    assert patches.shape == (5, 9, 3, 3, 2)
    np.testing.assert_allclose(patches.mean(axis=(2, 3, 4)), 0, atol=1e-6)
    np.testing.assert_allclose(patches.std(axis=(2, 3, 4)), 1, rtol=1e-5)
    flat = grid_patches(KEY, np.ones((1, 6, 6, 1)), patch_size=2)
    assert (np.asarray(flat) == 0).all()
    with pytest.raises(ValueError, match="within a cell"):
        pretext.grid_patches(KEY, images, patch_size=5)
    mean = images[0].reshape(3, 4, 3, 4, 2)[0, :, 1].mean(axis=(0, 1))  # cell 1
    whole = np.asarray(grid_patches(KEY, images, patch_size=4))[0, 1]
    spread = np.std(images[0, :4, 4:8])
    expected = (images[0, :4, 4:8] - mean.mean()) / spread
    np.testing.assert_allclose(whole, expected, rtol=1e-5, atol=1e-5)


def test_labels_say_which_patch_and_which_order():
    patches = np.tile(np.arange(9.0)[None, :, None], (40, 1, 1))
    found = jax.jit(pretext.relative_pairs)(KEY, patches)
    pairs, labels = map(np.asarray, found)
    around = np.array([0, 1, 2, 3, 5, 6, 7, 8])
    np.testing.assert_array_equal(pairs[:, 1, 0], around[labels])
    assert (pairs[:, 0] == 4).all() and len(np.unique(labels)) > 4
    orders = pretext.permutations(4, 3)
    found = jax.jit(pretext.shuffled)(KEY, patches[:, :4], orders)
    moved, labels = map(np.asarray, found)
    for row, label in zip(moved[..., 0], labels):
        np.testing.assert_array_equal(row[np.argsort(orders[label])], np.arange(4))


def numbered(seed=0):
    """Ten images, of which all pixels are the image's number; of two classes."""

    def take(split, rows):
        image = np.tile(rows[:, None, None, None], (1, 2, 2, 1)).astype(np.uint8)
        return {"image": image, "label": (rows % 2).astype(np.int32)}

    return of_rows("numbered", take, {"train": 10, "test": 4}, seed=seed)


def test_each_training_row_is_a_class_and_evaluation_keeps_labels():
    dataset = pretext.instances(dataset=numbered)
    later = itertools.islice(dataset.train(4, start_step=3), 5)
    for batch, again in zip(later, itertools.islice(numbered().train(4), 3, 8)):
        np.testing.assert_array_equal(batch["image"], again["image"])
        np.testing.assert_array_equal(batch["label"], batch["image"][:, 0, 0, 0])
        assert batch["label"].dtype == np.int32
    whole = next(dataset.evaluate("train", 10))
    np.testing.assert_array_equal(whole["label"], np.arange(10) % 2)
    unnumbered = numbered()._replace(train_rows=None)
    with pytest.raises(ValueError, match="rows are numbered"):
        pretext.instances(dataset=unnumbered)


def test_yoked_patches_move_together_within_their_cells():
    """Of images of one bright pixel in each cell, at the same place in all."""
    images = np.tile(np.eye(4)[1][:, None] * np.eye(4)[2][None], (3, 3))
    images = np.tile(images[None, :, :, None], (64, 1, 1, 1)).astype("f")
    patches = np.asarray(yoked_patches(KEY, images, patch_size=3))
    assert patches.shape == (64, 9, 3, 3, 1)
    np.testing.assert_array_equal(patches, patches[:, :1].repeat(9, axis=1))
    places = patches[:, 0].reshape(64, 9).argmax(axis=1)
    assert len(np.unique(places)) == 4  # 2 x 2 places in each cell, one an image
    assert (np.asarray(grid_patches(KEY, images, patch_size=3)) != patches).any()
    with pytest.raises(ValueError, match="yoked_patches: expected sides that are"):
        pretext.yoked_patches(KEY, images, patch_size=5)
