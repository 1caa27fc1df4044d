"""A drawn stand-in for Multimodal Handwritten Digits."""

import jax
import numpy as np
import pytest

from repr_jax.data import mhd, mhd_drawn


@pytest.fixture(scope="module")
def batches():
    data = mhd_drawn.load(seed=3)
    prepare = jax.jit(data.prepare)
    return data, [prepare(b) for _, b in zip(range(2), data.evaluate("test", 100))]


def test_a_batch_is_that_of_the_set(batches):
    data, (batch, _) = batches
    assert data.modalities == mhd.MODALITIES
    shapes = {"image": (28, 28, 1), "trajectory": (200,), "sound": (32, 96, 1)}
    shapes["symbol"] = (10,)
    for name, shape in shapes.items():
        assert batch[name].shape == (100, *shape) and batch[name].dtype == np.float32
    assert batch["image"].min() >= 0 and batch["image"].max() == 1
    assert batch["sound"].min() >= 0 and 1 < batch["sound"].max() <= 1.1
    np.testing.assert_array_equal(np.argmax(batch["symbol"], axis=1), batch["label"])
    assert "id" not in batch and "stream" not in batch


def test_points_of_a_way_are_equally_far_apart():
    ways = mhd_drawn.ways()
    assert ways.shape == (10, 100, 2)
    steps = np.linalg.norm(np.diff(ways, axis=1), axis=2)
    corners = np.array([len(stroke) - 2 for stroke in mhd_drawn.STROKES])
    apart = steps.max(axis=1)
    assert (np.sum(steps < 0.99 * apart[:, None], axis=1) <= corners).all()
    for way, stroke in zip(ways, mhd_drawn.STROKES):
        np.testing.assert_allclose(way[[0, -1]], [stroke[0], stroke[-1]], atol=1e-6)


def test_the_class_is_what_sound_and_trajectory_tell(batches):
    """Nearest means of half the rows name the class of the other half."""
    _, parts = batches
    for name in ("trajectory", "sound"):
        x, y = (
            np.concatenate([np.asarray(part[n]).reshape(100, -1) for part in parts])
            for n in (name, "label")
        )
        y = y[:, 0]
        means = np.stack([x[:100][y[:100] == c].mean(axis=0) for c in range(10)])
        distance = ((x[100:, None] - means[None]) ** 2).sum(axis=-1)
        assert np.mean(np.argmin(distance, axis=1) == y[100:]) > 0.8, name


def test_rows_of_a_class_differ_and_stay_what_they_are(batches):
    data, (batch, _) = batches
    again = jax.jit(data.prepare)(next(data.evaluate("test", 100)))
    for name in ("trajectory", "sound"):
        np.testing.assert_array_equal(batch[name], again[name])
        same = np.asarray(batch[name])[np.asarray(batch["label"]) == 4]
        assert np.ptp(same, axis=0).max() > 0.1
    train = jax.jit(data.prepare)(next(data.evaluate("train", 100)))
    assert np.abs(train["sound"] - batch["sound"]).max() > 0.1


def test_some_of_the_modalities():
    data = mhd_drawn.load(modalities=("sound", "symbol"))
    batch = jax.jit(data.prepare)(next(data.train(8)))
    assert set(batch) == {"sound", "symbol", "label"}
    with pytest.raises(ValueError, match="mhd_drawn"):
        mhd_drawn.load(modalities=("sound", "smell"))
