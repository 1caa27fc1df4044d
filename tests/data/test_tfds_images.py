"""Images that tensorflow-datasets has: its fake_tfds of known sets, and real MNIST."""

import itertools
import sys

import jax
import numpy as np
import pytest

from repr_jax.data import mnist, tfds_images


def test_a_set_of_one_size(fake_tfds):
    images, labels = tfds_images.arrays("cifar100", "train", data_dir=fake_tfds)
    assert images.shape == (10, 32, 32, 3) and images.dtype == np.uint8
    assert labels.shape == (10,) and labels.max() > 19
    _, coarse = tfds_images.arrays(
        "cifar100", "train", data_dir=fake_tfds, label="coarse_label"
    )
    assert coarse.max() <= 19
    assert tfds_images.arrays("cifar100", "train", data_dir=fake_tfds)[0] is images


def test_images_of_any_size_become_squares(fake_tfds):
    images, _ = tfds_images.arrays("food101", "train", data_dir=fake_tfds, size=12)
    assert images.shape == (10, 12, 12, 3)
    with pytest.raises(ValueError, match="expected size="):
        tfds_images.arrays("food101", "train", data_dir=fake_tfds)


def test_a_dataset_of_them(fake_tfds):
    data = tfds_images.images(
        name="food101", splits=("train", "validation"), data_dir=fake_tfds, size=8
    )
    assert data.num_examples == {"train": 10, "test": 10}
    batch = jax.jit(data.prepare)(next(data.evaluate("test", 4)))
    assert batch["image"].shape == (4, 8, 8, 3)
    assert 0 <= batch["image"].min() < batch["image"].max() <= 1


def test_a_streamed_set_is_the_same_and_read_by_row(fake_tfds, monkeypatch):
    pytest.importorskip("grain")
    options = dict(
        name="food101", splits=("train", "validation"), data_dir=fake_tfds, size=8
    )
    whole = tfds_images.images(**options, seed=3)
    data = tfds_images.streamed(**options, seed=3, num_threads=2)
    assert data.num_examples == whole.num_examples

    def same(count):
        pairs = zip(whole.train(4, start_step=2), data.train(4, start_step=2))
        for expected, actual in itertools.islice(pairs, count):
            jax.tree.map(np.testing.assert_array_equal, actual, expected)
            yield len(actual["label"])

    assert list(same(4)) == [4] * 4  # crosses an epoch
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    assert list(same(4)) == [2] * 4
    pairs = zip(data.evaluate("test", 4), whole.evaluate("test", 4), strict=True)
    for actual, expected in pairs:
        jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_a_streamed_label_that_is_no_class_is_refused(monkeypatch):
    pytest.importorskip("grain")
    image = np.zeros((8, 8, 3), np.uint8)
    found = [{"image": image, "id": np.int64(n)} for n in (1, 2**32 + 1)]
    monkeypatch.setattr(tfds_images, "records", lambda *_: found)
    data = tfds_images.streamed(name="cifar", size=8, label="id", num_threads=1)
    message = r"streamed: cifar: expected id in \[0, 2147483648\); got 4294967297"
    with pytest.raises(ValueError, match=message):
        next(data.evaluate("test", 2))


def test_a_streamed_set_without_grain_is_refused(fake_tfds, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(ImportError, match="pip install grain"):
        tfds_images.streamed(name="food101", data_dir=fake_tfds, size=8)


def test_unknown_label_is_refused(fake_tfds):
    with pytest.raises(ValueError, match="label among"):
        tfds_images.arrays("cifar100", "train", data_dir=fake_tfds, label="color")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 2**32 + 1], r"cifar: expected id in \[0, 2147483648\); got 4294967297"),
        ([0, -1], "got -1 in row 1"),
        ([0.0, np.nan], "whole numbers, one a row, in place of id of cifar; got float"),
        (["a", "b"], "in place of id of cifar; got <U1"),
        ([[0], [1]], r"got int64 \(2, 1\)"),
    ],
)
def test_a_feature_that_is_no_class_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        tfds_images._classes("who", "cifar", "id", values)


def test_mnist_is_the_same_set(tfds_data_dir):
    images, labels = tfds_images.arrays("mnist", "test", data_dir=tfds_data_dir)
    known = mnist.arrays("test", source="tfds", data_dir=tfds_data_dir)
    np.testing.assert_array_equal(images[..., 0], known[0])
    np.testing.assert_array_equal(labels, known[1])
