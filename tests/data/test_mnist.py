"""The digits: those in the package, and all of them."""

import builtins
import pathlib

import jax
import numpy as np
import pytest

import repr_jax
from repr_jax.data import mnist

ASSETS = pathlib.Path(repr_jax.__file__).parent / "data" / "assets"


@pytest.mark.parametrize("split, count", [("train", 18_000), ("test", 2_000)])
def test_embedded_digits_are_balanced(split, count):
    images, labels = mnist.arrays(split)
    assert images.shape == (count, 28, 28) and images.dtype == np.uint8
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, np.arange(count) % 10)
    assert len(np.unique(images.reshape(count, -1), axis=0)) == count


def test_embedded_digits_look_like_digits():
    """The nearest class mean of the training images is mostly right on the others."""
    images, labels = (x[:5000] for x in mnist.arrays("train"))
    means = np.stack([images[labels == c].mean(axis=0).ravel() for c in range(10)])
    test_images, test_labels = mnist.arrays("test")
    x = test_images.reshape(len(test_images), -1).astype(np.float32)
    scores = x @ means.T - 0.5 * np.sum(means**2, axis=1)[None]
    assert np.mean(scores.argmax(axis=1) == test_labels) > 0.75


def test_assets_are_small():
    sizes = [path.stat().st_size for path in ASSETS.iterdir()]
    assert sum(sizes) <= 4_000_000 and max(sizes) <= 1_500_000


def test_arrays_are_shared_and_read_only():
    images, labels = mnist.arrays("test")
    assert mnist.arrays("test")[0] is images
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        labels[0] = 0


def test_digits_is_a_dataset_of_all_rows():
    data = mnist.digits()
    images, labels = mnist.arrays("test")
    assert data.num_examples == {"train": 18_000, "test": 2_000}
    batch = jax.jit(data.prepare)(next(data.evaluate("test", 64)))
    assert batch["image"].shape == (64, 28, 28, 1)
    np.testing.assert_allclose(batch["image"][..., 0] * 255, images[:64], atol=1e-4)
    np.testing.assert_array_equal(batch["label"], labels[:64])


def test_full_mnist_through_tfds(tfds_data_dir):
    counts = {
        "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    }
    for split in counts:
        images, labels = mnist.arrays(split, source="tfds", data_dir=tfds_data_dir)
        assert images.shape == (sum(counts[split]), 28, 28)
        np.testing.assert_array_equal(np.bincount(labels), counts[split])


@pytest.mark.parametrize("split", ["train", "test"])
def test_embedded_digits_are_in_mnist(tfds_data_dir, split):
    full = {
        (image.tobytes(), label)
        for image, label in zip(
            *mnist.arrays(split, source="tfds", data_dir=tfds_data_dir)
        )
    }
    for image, label in zip(*mnist.arrays(split)):
        assert (image.tobytes(), label) in full


def test_environment_names_the_folder_of_tfds(tfds_data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", tfds_data_dir)
    for unset in (None, ""):
        assert len(mnist.arrays("test", source="tfds", data_dir=unset)[1]) == 10_000


def test_missing_mnist_says_where_and_how(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        mnist.arrays("train", source="tfds", data_dir=str(tmp_path))
    message = str(error.value)
    assert str(tmp_path) in message and "\n" not in message
    assert (
        f"tfds build mnist --file_format=array_record --data_dir={tmp_path}" in message
    )


def test_missing_tfds_says_what_to_install(tmp_path, monkeypatch):
    real_import = builtins.__import__

    def without_tfds(name, *args, **kwargs):
        if name == "tensorflow_datasets":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_tfds)
    with pytest.raises(ImportError, match="pip install tensorflow-datasets"):
        mnist.arrays("train", source="tfds", data_dir=str(tmp_path))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"source among .*'embedded', 'tfds'.*'torch'"):
        mnist.arrays("train", source="torch")
    with pytest.raises(ValueError, match=r"split among .*'train', 'test'.*'valid'"):
        mnist.arrays("valid")


def test_some_classes_alone():
    dataset = mnist.digits(classes=(8, 9))
    assert dataset.num_examples == {"train": 3_600, "test": 400}
    batch = next(dataset.train(64))
    assert set(batch["label"].tolist()) == {8, 9}
    with pytest.raises(ValueError, match=r"mnist\.digits: expected classes among"):
        mnist.digits(classes=(10,))
