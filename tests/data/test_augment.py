"""Augmentations: nothing where nothing is asked, what is asked by hand, row by row."""

from functools import partial

import jax
import numpy as np
import pytest

from repr_jax.data import augment

STILL = dict(shift=0.0, zoom=0.0, brightness=0.0, contrast=0.0)
KEY = jax.random.key(0)


def changed(function, images, **options):
    return np.asarray(jax.jit(partial(function, **options))(KEY, images))


def draw():
    rng = np.random.default_rng(0)
    return rng.uniform(size=(6, 8, 8, 3)).astype("f")


def test_jitter_without_any_is_the_image():
    images = draw()
    found = changed(augment.jitter, images, **STILL)
    np.testing.assert_allclose(found, images, rtol=1e-5, atol=1e-6)


def test_jitter_shifts_by_whole_and_half_images_at_most():
    corner = np.ones((64, 8, 8, 1), "f")
    corner[:, 3:5, 3:5] = 0.0  # a dark square in the middle
    moved = changed(augment.jitter, corner, **(STILL | dict(shift=0.25)))
    dark = 1 - moved[..., 0]
    np.testing.assert_allclose(dark.sum(axis=(1, 2)), 4.0, rtol=1e-4)  # stays inside
    rows = (dark.sum(axis=2) * np.arange(8)).sum(axis=1) / 4 - 3.5
    assert np.abs(rows).max() <= 2.0 + 1e-4
    assert np.abs(rows).max() > 1.5 and np.abs(np.mean(rows)) < 0.6


def test_jitter_brightness_and_contrast_by_hand():
    gray = np.full((32, 4, 4, 3), 0.5, "f")
    bright = changed(augment.jitter, gray, **(STILL | dict(brightness=0.2)))
    assert np.ptp(bright, axis=(1, 2, 3)).max() < 1e-6  # all pixels alike
    assert 0.15 < np.abs(bright - 0.5).max() <= 0.2 + 1e-6
    halves = gray + np.float32([-0.1, -0.1, 0.1, 0.1])[:, None, None]
    stretched = changed(augment.jitter, halves, **(STILL | dict(contrast=0.5)))
    np.testing.assert_allclose(stretched.mean(axis=(1, 2, 3)), 0.5, atol=1e-6)
    spread = stretched[:, 3, 0, 0] - stretched[:, 0, 0, 0]
    assert spread.min() >= 0.1 - 1e-6 and spread.max() <= 0.3 + 1e-6
    assert np.ptp(spread) > 0.1


def test_jitter_stays_in_range_and_differs_by_row_and_key():
    jitter = jax.jit(augment.jitter)
    same = np.repeat(draw()[:1], 6, axis=0)
    one, other = (np.asarray(jitter(jax.random.key(seed), same)) for seed in (0, 1))
    for images in (one, other):
        assert images.min() >= 0 and images.max() <= 1
    assert all((one[0] != one[i]).any() for i in range(1, 6))
    assert (one != other).any()
    np.testing.assert_array_equal(one, jitter(KEY, same))


REST = dict(shift=0.0, zoom=0.0, shear=0.0, flip_rate=0.0)


def test_affine_without_any_is_the_image_and_flips_alone_are_exact():
    images = np.random.default_rng(0).uniform(size=(6, 8, 6, 3)).astype("f")
    still = changed(augment.affine, images, **REST)
    np.testing.assert_allclose(still, images, atol=1e-6)
    flipped = changed(augment.affine, images, **REST | dict(flip_rate=1.0))
    np.testing.assert_allclose(flipped, images[:, :, ::-1], atol=1e-6)


def test_affine_moves_edges_and_middle_as_it_says():
    """A ramp along the columns tells where each pixel was taken from."""
    ramp = np.broadcast_to(np.arange(33.0)[None, None, :, None] / 32, (400, 33, 33, 1))
    ramp = ramp.astype("f")
    affine = jax.jit(augment.affine)
    taken = 32 * np.asarray(affine(KEY, ramp, **REST | dict(shear=20.0)))
    slopes = (taken[:, 17, 16, 0] - taken[:, 15, 16, 0]) / 2
    assert np.abs(slopes).max() == pytest.approx(np.tan(np.radians(20)), rel=0.05)
    np.testing.assert_allclose(taken[:, 16, 16], 16, atol=1e-3)
    taken = 32 * np.asarray(affine(KEY, ramp, **REST | dict(shift=0.1)))
    away = taken[:, 16, 16, 0] - 16
    assert 3.1 < away.max() <= 3.301 and -3.301 <= away.min() < -3.1
    taken = 32 * np.asarray(affine(KEY, ramp, **REST | dict(zoom=0.1)))
    spacing = taken[:, 16, 20, 0] - taken[:, 16, 19, 0]
    assert spacing.min() == pytest.approx(1 / 1.1, rel=0.01)
    assert spacing.max() == pytest.approx(1 / 0.9, rel=0.01)
    every = np.asarray(affine(KEY, ramp))
    assert every.min() >= 0 and every.max() <= 1  # edges are continued
    with pytest.raises(ValueError, match=r"augment\.affine: expected"):
        augment.affine(KEY, ramp[0])
    with pytest.raises(ValueError, match=r"augment\.affine: expected flip_rate"):
        augment.affine(KEY, ramp, flip_rate=-0.5)


def test_dropout_keeps_or_drops():
    ones = np.ones((200, 100), "f")
    kept = changed(augment.dropout, ones, rate=0.3)
    assert set(np.unique(kept)) == {0.0, 1.0}
    assert abs(kept.mean() - 0.7) < 4 * np.sqrt(0.21 / kept.size)
    np.testing.assert_array_equal(changed(augment.dropout, ones, rate=0.0), ones)


def test_bad_input_is_named():
    with pytest.raises(
        ValueError, match=r"augment.jitter: expected one shape of rank 4"
    ):
        augment.jitter(KEY, draw()[0])
    with pytest.raises(ValueError, match="expected zoom >= 0; got -1"):
        augment.jitter(KEY, draw(), zoom=-1)


def test_a_mixture_is_of_the_share_that_it_names():
    images, others = draw(), draw()[::-1]
    for seed in range(5):
        key = jax.random.key(seed)
        mixed, share = jax.jit(augment.mix)(key, images, others)
        assert 0 < share < 1
        share = np.asarray(share)
        expected = share * images + (1 - share) * others
        np.testing.assert_allclose(mixed, expected, rtol=1e-5)


def test_a_cut_mixture_is_a_box_of_the_others_of_the_area_that_is_left():
    images, others = np.zeros((3, 8, 12, 2), "f"), np.ones((3, 8, 12, 2), "f")
    shares = []
    for seed in range(30):
        mixed, share = jax.jit(augment.cut_mix)(jax.random.key(seed), images, others)
        box = np.asarray(mixed)[0, :, :, 0]
        assert (np.asarray(mixed) == box[None, :, :, None]).all()
        rows, columns = box.any(axis=1), box.any(axis=0)
        np.testing.assert_array_equal(box, np.outer(rows, columns))
        for line in (rows, columns):
            inside = np.flatnonzero(line)
            assert len(inside) == 0 or len(inside) == inside[-1] - inside[0] + 1
        shares.append(float(share))
        np.testing.assert_allclose(shares[-1], 1 - box.mean(), rtol=1e-6)
    assert min(shares) < 0.5 < max(shares)
    with pytest.raises(ValueError, match=r"augment\.cut_mix: expected one shape"):
        augment.cut_mix(KEY, images, others[:2])
