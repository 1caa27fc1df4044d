"""Multimodal Handwritten Digits, from a folder in the layout of the module."""

import jax
import numpy as np
import pytest

from repr_jax.data import mhd, missing


def arrays(rows):
    rng = np.random.default_rng(rows)
    found = {n: rng.random((rows, *s), np.float32) for n, s in mhd.SHAPES.items()}
    return {**found, "label": np.arange(rows) % 10}


@pytest.fixture
def folder(tmp_path):
    for split, rows in (("train", 30), ("test", 12)):
        np.savez(tmp_path / f"mhd_{split}.npz", **arrays(rows))
    return tmp_path


def test_a_batch_holds_what_the_module_says(folder):
    data = mhd.load(path=folder)
    batch = jax.jit(data.prepare)(next(data.evaluate("test", 12)))
    shapes = {"image": (28, 28, 1), "trajectory": (200,), "sound": (32, 96, 1)}
    shapes["symbol"] = (10,)
    assert data.modalities == tuple(shapes)
    for name, shape in shapes.items():
        assert batch[name].shape == (12, *shape) and batch[name].dtype == np.float32
    there = arrays(12)
    np.testing.assert_array_equal(batch["image"][..., 0], there["image"][:, 0])
    for part in range(3):  # row f, column t of the file's square is at (t, f) here
        beside = batch["sound"][:, :, 32 * part :][:, :, :32, 0]
        np.testing.assert_array_equal(
            beside, np.swapaxes(there["sound"][:, part], 1, 2)
        )
    np.testing.assert_array_equal(np.argmax(batch["symbol"], 1), there["label"])


def test_modalities_go_missing_by_class(folder):
    rates = np.zeros((10, 2))
    rates[3, 1] = 1.0
    data = missing.by_class(
        dataset=mhd.load(path=folder, modalities=("image", "trajectory")), rates=rates
    )
    batch = next(data.train(30))
    np.testing.assert_array_equal(batch["present"][:, 1], batch["label"] != 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sound": np.zeros((12, 32, 32))}, r"expected sound \(12, 3, 32, 32\).*got"),
        ({"label": np.arange(12)}, r"mhd_test\.npz: expected label in \[0, 10\)"),
        ({"label": np.zeros(12)}, "expected label .* of whole numbers"),
        (
            {"trajectory": np.full((12, 200), np.nan)},
            r"mhd_test\.npz: expected .*trajectory",
        ),
    ],
)
def test_damage_is_named(folder, change, message):
    np.savez(folder / "mhd_test.npz", **(arrays(12) | change))
    with pytest.raises(ValueError, match=message):
        mhd.load(path=folder)


def test_what_is_not_asked_for_is_not_read(folder):
    found = arrays(12)
    del found["sound"]
    np.savez(folder / "mhd_test.npz", **found)
    data = mhd.load(path=folder, modalities=("symbol", "image"))
    assert data.modalities == ("symbol", "image")
    with pytest.raises(ValueError, match="has no sound"):
        mhd.load(path=folder)
    (folder / "mhd_train.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"mhd_train\.npz"):
        mhd.load(path=folder, modalities=("image",))
