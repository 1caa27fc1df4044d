"""Drawn faces: laws of parameters, what a pixel shows, and that indices decide."""

import jax
import numpy as np
import pytest

from repr_jax.data import faces


def prepared(dataset, split="test", rows=70):
    return jax.jit(dataset.prepare)(next(dataset.evaluate(split, rows)))


def draw(parameters, size=32, head=0):
    parameters = np.asarray(parameters, "f")
    found = faces.render(parameters, np.full(len(parameters), head), size=size)
    return np.asarray(found)


def middle(**changes):
    """A face in the middle of the image, light neither bright nor tinted."""
    values = dict(zip(faces.PARAMETERS, [60, 10, 15, 0.5, 0.2, 1, 0, 0, 0, 1, 0, 0]))
    values |= dict.fromkeys(faces.PARAMETERS[12:], 0.3) | changes
    return [values[name] for name in faces.PARAMETERS]


def test_a_batch_holds_what_the_module_says():
    batch = prepared(faces.load(num_train=70, num_test=70, size=16))
    assert batch["image"].shape == (70, 16, 16, 3)
    assert batch["image"].min() >= 0 and batch["image"].max() <= 1
    np.testing.assert_array_equal(np.bincount(batch["label"]), [10] * 7)
    assert set(np.asarray(batch["head"])) == {0, 1}
    assert batch["parameters"].shape == (70, len(faces.PARAMETERS))
    assert "draws" not in batch and batch["where"].all()


def test_an_index_decides_what_is_drawn():
    dataset = faces.load(num_train=70, num_test=70, size=8)
    raw = next(dataset.train(12))
    batch, part = (
        jax.jit(dataset.prepare)(x) for x in (raw, {n: x[3:5] for n, x in raw.items()})
    )
    np.testing.assert_allclose(part["image"], batch["image"][3:5], atol=1e-6)
    again = faces.load(num_train=700, num_test=70, size=8)
    found, expected = (next(d.evaluate("test", 70)) for d in (again, dataset))
    np.testing.assert_array_equal(found["draws"], expected["draws"])
    other = next(faces.load(num_test=70, data_seed=1).evaluate("test", 70))
    assert not np.any(other["draws"] == expected["draws"])
    train = next(dataset.evaluate("train", 70))
    assert not set(train["index"]) & set(expected["index"])


def test_shares_are_of_the_training_split():
    shares = (0.82, *[0.03] * 6)
    dataset = faces.load(shares=shares, num_train=1000, num_test=14)
    counts = np.bincount(next(dataset.evaluate("train", 1000))["label"])
    np.testing.assert_array_equal(counts, [820, *[30] * 6])
    counts = np.bincount(next(dataset.evaluate("test", 14))["label"])
    np.testing.assert_array_equal(counts, [2] * 7)


def test_unbalanced_rows_can_be_drawn_in_balance():
    shares, options = (0.82, *[0.03] * 6), dict(num_train=1000, num_test=14)
    dataset = faces.load(shares=shares, class_balanced=True, seed=3, **options)
    batch = next(dataset.train(7000))
    counts = np.bincount(batch["label"], minlength=7)
    assert np.all(np.abs(counts - 1000) < 4 * 1000**0.5)
    seen = np.unique(batch["index"])
    assert len(seen) > 700 and set(range(820, 1000)) <= set(seen)  # all rare faces
    again = next(dataset.train(7000, start_step=0))["index"]
    np.testing.assert_array_equal(batch["index"], again)
    assert np.any(next(dataset.train(7000, start_step=1))["index"] != again)


def test_parameters_follow_their_laws():
    label = np.repeat([0, 6], 4000)
    draws = np.random.default_rng(0).uniform(size=(8000, len(faces.PARAMETERS)))
    found = jax.jit(faces.parameters_of)(draws.astype("f"), label)
    columns = dict(zip(faces.PARAMETERS, np.asarray(found).T))
    for k, rows in ((0, slice(4000)), (6, slice(4000, 8000))):
        for name, mean, spread in zip(
            ("lightness", "a", "b"), faces.TONES[k], (4, 2, 2)
        ):
            assert np.mean(columns[name][rows]) == pytest.approx(mean, abs=0.2)
            assert np.std(columns[name][rows]) == pytest.approx(spread, rel=0.05)
        assert np.mean(columns["eye"][rows]) == pytest.approx(faces.EYES[k], abs=2e-3)
        assert np.mean(columns["nose"][rows]) == pytest.approx(faces.NOSES[k], abs=1e-3)
    assert columns["gain"].min() >= 0.6 and columns["gain"].max() <= 1.4
    for name in faces.PARAMETERS[5:]:  # what is no matter of the class
        light, dark = np.split(columns[name], 2)
        assert abs(np.mean(light) - np.mean(dark)) < 4 * np.std(light) / 4000**0.5 * 2


def test_the_cheek_has_the_color_of_the_skin():
    """sRGB of CIELAB (60, 10, 15) is (171, 137, 118) by a color calculator."""
    image = draw([middle(), middle(gain=0.5)], size=64)
    cheek = image[:, 40, 20]
    np.testing.assert_allclose(255 * cheek[0], [171, 137, 118], atol=1.5)
    linear = ((cheek[0] + 0.055) / 1.055) ** 2.4
    dimmed = ((cheek[1] + 0.055) / 1.055) ** 2.4
    np.testing.assert_allclose(dimmed / linear, 0.5, rtol=1e-3)
    corner = 1.055 * 0.3 ** (1 / 2.4) - 0.055  # the background
    np.testing.assert_allclose(image[0, 0, 0], corner, rtol=1e-3)


def test_darker_classes_are_darker_and_shapes_show():
    tones = [middle(**dict(zip(("lightness", "a", "b"), t))) for t in faces.TONES]
    cheek = draw(tones, size=64)[:, 40, 20].mean(axis=-1)
    assert np.all(np.diff(cheek) < -0.04)
    narrow, wide = draw([middle(eye=0.3), middle(eye=0.8)], size=64)
    changed = np.abs(narrow - wide).sum(axis=-1) > 0.05
    rows, columns = np.nonzero(changed)
    assert rows.min() > 20 and rows.max() < 36  # about the eyes, and nowhere else
    assert columns.min() > 12 and columns.max() < 52
    long, round_ = (draw([middle()], head=h)[0] for h in (0, 1))
    assert np.abs(long - round_).max() > 0.1


def test_pixels_are_means_over_finer_ones():
    """Before the light is encoded: twice the size has the means of half of it."""
    fine, coarse = draw([middle()], size=64)[0], draw([middle()], size=32)[0]
    fine, coarse = (
        np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
        for x in (fine, coarse)
    )
    halved = fine.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    difference = np.abs(halved - coarse)
    assert np.mean(difference) < 1e-3
    assert np.max(difference) < 2 / 16  # two of the points of a pixel


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="multiple of 7"):
        faces.load(num_test=10)
    with pytest.raises(ValueError, match="expected 7 shares"):
        faces.load(shares=(0.5, 0.5))
    with pytest.raises(ValueError, match="expected gain"):
        faces.load(gain=(1.0, 0.5))
