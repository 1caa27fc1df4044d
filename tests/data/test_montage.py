"""Montages: each tile is what its labels say; the values of both losses."""

from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.data import augment, montage

KEY = jax.random.key(0)
sup_con, cross_entropy = jax.jit(losses.sup_con), jax.jit(losses.cross_entropy)


def numbered(batch=5, height=10, width=20):
    """No two pixels of all images are equal."""
    shape = (batch, height, width, 1)
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def as_they_are(key, patches):
    del key
    return patches


@partial(jax.jit, static_argnames="options")
def made(key, images, options=()):
    return montage.montage(key, images, change=as_they_are, **dict(options))


@pytest.mark.parametrize(
    ("cells", "overlap", "sides", "rows", "columns"),
    [(2, 0.3, (8, 16), [0, 2], [0, 4]), (2, 0.0, (5, 10), [0, 5], [0, 10])],
)
def test_every_place_shows_the_cell_of_the_image_that_its_labels_say(
    cells, overlap, sides, rows, columns
):
    images = numbered()
    options = (("cells", cells), ("overlap", overlap))
    found = jax.tree.map(np.asarray, made(KEY, images, options))
    tall, wide = sides
    assert found.images.shape == (5, cells * tall, cells * wide, 1)
    for i, place in np.ndindex(5, cells**2):
        down, right = divmod(place, cells)
        tile = found.images[i, down * tall :, right * wide :][:tall, :wide]
        top, left = divmod(found.cell[i, place], cells)
        source = images[found.source[i, place], rows[top] :, columns[left] :]
        np.testing.assert_array_equal(tile, source[:tall, :wide])
    both = np.stack([found.source, found.cell]).reshape(2, -1)
    assert len(np.unique(both, axis=1).T) == 5 * cells**2  # each patch once


def test_places_are_drawn_anew_with_each_key_and_patches_changed_apart():
    images = numbered()
    first, other = (made(jax.random.key(seed), images) for seed in (0, 1))
    assert (first.source != other.source).any()
    crop = partial(augment.random_resized_crop, size=7)
    same = np.tile(np.random.default_rng(0).uniform(size=(1, 14, 14, 3)), (6, 1, 1, 1))
    found = jax.jit(partial(montage.montage, change=crop))(KEY, same.astype("f"))
    assert found.images.shape == (6, 14, 14, 3)
    tiles = np.asarray(found.images).reshape(6, 2, 7, 2, 7, 3)
    tiles = tiles.swapaxes(2, 3).reshape(24, -1)
    assert len(np.unique(tiles, axis=0)) == 24


def test_the_order_of_an_independent_program_and_its_losses():
    rng = np.random.default_rng(23)
    features, logits = rng.normal(size=(12, 4)), rng.normal(size=(12, 4))
    order = rng.permutation(12)
    found = montage.arranged(np.zeros((12, 1, 1, 1)), order, cells=2)
    source, cell = (np.asarray(x).T.ravel() for x in (found.source, found.cell))
    np.testing.assert_array_equal(source, order % 3)
    np.testing.assert_array_equal(cell, order // 3)
    clustering = sup_con(features, source, temperature=0.07)
    np.testing.assert_allclose(clustering, 10.99774, rtol=1e-5)
    np.testing.assert_allclose(cross_entropy(logits, cell), 1.830396, rtol=1e-5)
    moved = rng.permutation(12)
    again = sup_con(features[moved], source[moved], temperature=0.07)
    np.testing.assert_allclose(again, clustering, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(cells=1), "overlapping_patches: expected cells >= 2; got 1"),
        (dict(overlap=0.6), r"overlapping_patches: expected overlap in \[0, 0.5\]"),
        (dict(change=lambda key, x: x[1:]), "montage: expected patches of change with"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        montage.montage(KEY, numbered(), **dict(change=as_they_are) | options)
