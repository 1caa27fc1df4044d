"""MNIST-labels: pixels that are drawn in training and fixed in evaluation."""

import jax
import numpy as np
import pytest

from repr_jax.data import mnist, mnist_labels


@pytest.fixture(scope="module")
def data():
    return mnist_labels.load()


def test_a_batch_holds_what_the_module_says(data):
    batch = jax.tree.map(np.asarray, jax.jit(data.prepare)(next(data.train(6))))
    assert set(batch) == {"image", "digit", "label"}
    assert batch["image"].shape == (6, 28, 28, 1) and batch["image"].dtype == np.float32
    assert set(np.unique(batch["image"])) == {0, 1}
    np.testing.assert_array_equal(batch["digit"].argmax(axis=1), batch["label"])
    np.testing.assert_array_equal(batch["digit"].sum(axis=1), 1)
    alone = mnist_labels.load(modalities=("digit",))
    assert set(alone.prepare(next(alone.train(2)))) == {"digit", "label"}


def test_a_pixel_is_white_as_often_as_it_is_bright():
    """Of 400 draws of the same rows; black and white ones never change."""
    images, _ = mnist.arrays("train")
    draws = []
    for seed in range(400):
        other = mnist_labels.load(pixel_seed=seed)
        draws.append(next(other.evaluate("train", 8))["image"][..., 0])
    brightness = images[:8] / 255
    error = np.abs(np.mean(draws, axis=0) - brightness)
    assert np.all(error <= 5 * np.sqrt(brightness * (1 - brightness) / 400))


def test_training_draws_anew_and_evaluation_does_not(data):
    same, other = (mnist_labels.load(seed=seed) for seed in (0, 1))
    first = [next(x.evaluate("test", 50))["image"] for x in (data, data, other)]
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(first[0], first[2])
    epoch = data.num_examples["train"]
    steps = [next(data.train(epoch, step)) for step in (0, 1)]
    orders = [data.train_rows(step, epoch) for step in (0, 1)]
    back = [batch["image"][np.argsort(rows)] for batch, rows in zip(steps, orders)]
    assert 0 < np.mean(back[0] != back[1]) < 0.1
    np.testing.assert_array_equal(
        steps[1]["image"], next(same.train(epoch, 1))["image"]
    )


def test_what_is_unknown_is_named():
    with pytest.raises(ValueError, match=r"mnist_labels\.load: .* got 'word'"):
        mnist_labels.load(modalities=("image", "word"))
