"""CdSprites: numbers of images, shapes by their properties, and splits."""

import math

import jax
import numpy as np
import pytest

from repr_jax.data import shift, sprites


def test_index_and_factors_are_a_bijection():
    index = np.arange(sprites.NUM_IMAGES)
    factors = sprites.factors_of(index)
    np.testing.assert_array_equal(sprites.index_of(factors), index)
    np.testing.assert_array_equal(factors.max(axis=0) + 1, sprites.COUNTS)
    strides = (245_760, 40_960, 1_024, 32, 1)
    for column, stride in enumerate(strides):
        one = np.zeros((1, 5), int)
        one[0, column] = 1
        assert sprites.index_of(one) == stride


def pictures(rows, size=48):
    """[batch, size, size] coverage of white sprites."""
    rows = np.array(rows, np.int32)
    draw = jax.jit(lambda f, c: sprites.render(f, c, size=size))
    found = np.asarray(draw(rows, np.zeros(len(rows), np.int32)))
    np.testing.assert_array_equal(found[..., 0], found[..., 1])
    return found[..., 0]


def value(shape, u, v):
    if shape == 0:
        return max(abs(u), abs(v)) - 0.8
    if shape == 1:
        return math.sqrt(u * u + (v / 0.6) ** 2) - 1
    a, b = 1.15 * u, -1.15 * v + 0.1
    return math.cbrt((a * a + b * b - 1) ** 3 - a * a * b**3)


def test_images_are_those_of_loops_over_pixels():
    rows = [(0, 5, 3, 10, 20), (1, 2, 17, 31, 0), (2, 4, 30, 5, 16)]
    color = np.array([0, 1, 2], np.int32)
    found = jax.jit(lambda f, c: sprites.render(f, c, size=12))(np.array(rows), color)
    for (shape, scale, turn, column, row), c, image in zip(rows, color, found):
        radius = 0.42 * (0.5 + 0.5 * scale / 5)
        angle = 2 * math.pi * turn / 39
        for i, j in np.ndindex(12, 12):
            x = (2 * j + 1) / 12 - 1 - (column / 31 - 0.5)
            y = (2 * i + 1) / 12 - 1 - (row / 31 - 0.5)
            u = (math.cos(angle) * x + math.sin(angle) * y) / radius
            v = (-math.sin(angle) * x + math.cos(angle) * y) / radius
            shown = 1 / (1 + math.exp(14 * min(value(shape, u, v), 5)))
            expected = shown * np.array(sprites.COLORS[c]) / 255
            np.testing.assert_allclose(image[i, j], expected, atol=2e-5)


def test_area_grows_with_scale_and_centers_move_with_places():
    for shape in range(3):
        areas = pictures([(shape, s, 7, 16, 16) for s in range(6)]).sum(axis=(1, 2))
        assert (np.diff(areas) > 0).all()
        for column, axis in ((3, 1), (4, 2)):  # x moves columns, y rows
            rows = np.tile([shape, 5, 7, 16, 16], (32, 1))
            rows[:, column] = np.arange(32)
            found = pictures(rows)
            mass = found.sum(axis=axis)
            centers = (mass * np.arange(48)).sum(axis=1) / mass.sum(axis=1)
            assert (np.diff(centers) > 0.5).all()


def test_nothing_is_cut_off():
    """The edge of the image is outside of every shape; soft edges reach beyond."""
    rows = [(s, 5, t, x, 31) for s in range(3) for t in range(40) for x in (0, 31)]
    found = pictures(rows, size=256)
    edges = found[:, [0, -1]], found[:, :, [0, -1]]
    assert max(edge.max() for edge in edges) < 0.5


def coverage(shape, angle):
    one = np.ones(1, np.float32)
    draw = jax.jit(
        lambda a: sprites.coverage(
            np.array([shape]), 0.4 * one, a, np.zeros((1, 2)), size=32
        )
    )
    return np.asarray(draw(np.array([angle], np.float32)))


def test_symmetries():
    for shape, turn in ((0, math.pi / 2), (1, math.pi), (2, 2 * math.pi)):
        same = coverage(shape, 0.3 + turn)
        np.testing.assert_allclose(coverage(shape, 0.3), same, atol=1e-4)
        assert np.abs(coverage(shape, 0.3 + turn / 2) - same).max() > 0.1
    first, last = pictures([(2, 5, 0, 9, 9), (2, 5, 39, 9, 9)])
    np.testing.assert_allclose(first, last, atol=1e-4)  # both ends of the grid


def small(**options):
    sizes = dict(num_train=600, num_test=300, num_head=100, size=16)
    return sprites.load(**sizes | options)


def split_of(dataset, split, batch_size=64):
    batches = list(dataset.evaluate(split, batch_size))
    where = np.concatenate([b["where"] for b in batches])
    return {k: np.concatenate([b[k] for b in batches])[where] for k in batches[0]}


def test_splits_are_disjoint_and_of_their_correlation():
    dataset = small(r_id=1.0, r_ood=0.0)
    found = {s: split_of(dataset, s) for s in shift.SPLITS}
    assert [len(found[s]["label"]) for s in shift.SPLITS] == [600, 300, 100, 300]
    together = np.concatenate([x["index"] for x in found.values()])
    assert len(np.unique(together)) == 1300
    for split in ("train", "test"):
        np.testing.assert_array_equal(found[split]["label"], found[split]["spurious"])
        assert (found[split]["domain"] == 0).all()
    out = found["ood_test"]
    assert (out["domain"] == 1).all()
    assert shift.cramers_v(out["label"], out["spurious"]) < 0.15
    np.testing.assert_array_equal(sprites.index_of(out["factors"]), out["index"])
    half = split_of(small(r_id=0.5), "train")
    assert abs(shift.cramers_v(half["label"], half["spurious"]) - 0.5) < 0.1
    np.testing.assert_array_equal(half["index"], found["train"]["index"])


def test_batches_are_those_of_seed_and_step_and_images_are_made_on_the_device():
    dataset = small()
    batches = dataset.train(8)
    next(batches)
    second, again = next(batches), next(dataset.train(8, start_step=1))
    np.testing.assert_array_equal(second["index"], again["index"])
    np.testing.assert_array_equal(
        split_of(dataset, "train")["index"][dataset.train_rows(1, 8)], second["index"]
    )
    image = jax.jit(dataset.prepare)(second)["image"]
    assert image.shape == (8, 16, 16, 3) and image.dtype == np.float32
    assert image.min() >= 0 and 0.9 < image.max() <= 1
    other = next(small(data_seed=1).train(8))
    assert (other["index"] != next(dataset.train(8))["index"]).any()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"sprites\.load: expected r_id in"):
        small(r_id=1.5)
    with pytest.raises(ValueError, match="at most 737280 examples"):
        small(num_train=10**6)
    with pytest.raises(ValueError, match="split among"):
        small().evaluate("validation", 8)
