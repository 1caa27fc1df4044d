"""Dominoes: shapes, what a digit tells, splits, and CIFAR-10 in place of drawings."""

import functools

import jax
import numpy as np
import pytest

from repr_jax.data import augment, dominoes, mnist, shift, tfds_images


def small(**options):
    sizes = dict(num_train=800, num_test=400, num_head=100)
    return dominoes.load(**sizes | options)


def split_of(dataset, split, batch_size=100):
    prepare = jax.jit(dataset.prepare)
    batches = [
        {**b, **prepare({k: x for k, x in b.items() if k != "where"})}
        for b in dataset.evaluate(split, batch_size)
    ]
    where = np.concatenate([b["where"] for b in batches])
    return {k: np.concatenate([b[k] for b in batches])[where] for k in batches[0]}


@pytest.fixture(scope="module")
def found():
    dataset = small()
    return {split: split_of(dataset, split) for split in shift.SPLITS}


def test_a_digit_is_above_a_picture(found):
    image = found["train"]["image"]
    assert image.shape == (800, 64, 32, 3) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1
    top, below = image[:, :32], image[:, 32:]
    assert (top == top[..., :1]).all() and (top[:, :2] == 0).all()
    assert (below != below[..., :1]).any()
    images, labels = mnist.arrays("train")
    known = {x.tobytes(): y for x, y in zip(images, labels)}
    shown = np.round(top[:, 2:30, 2:30, 0] * 255).astype(np.uint8)
    digits = [known[x.tobytes()] for x in shown]
    np.testing.assert_array_equal(digits, found["train"]["spurious"])


def nearest_digit_accuracy(train, test):
    """By the label of the training row whose upper block is nearest."""
    a, b = (
        x["image"][:, :32, :, 0].reshape(len(x["image"]), -1) for x in (train, test)
    )
    squares = (a**2).sum(axis=1)[None] - 2 * b @ a.T
    return (train["label"][squares.argmin(axis=1)] == test["label"]).mean()


def test_a_rule_of_the_digit_alone_is_right_at_one_and_a_guess_at_zero(found):
    assert nearest_digit_accuracy(found["train"], found["test"]) >= 0.99
    accuracy = nearest_digit_accuracy(found["train"], found["ood_test"])
    assert abs(accuracy - 0.5) < 5 * np.sqrt(0.25 / 400)
    none = small(r_id=0.0)
    accuracy = nearest_digit_accuracy(split_of(none, "train"), split_of(none, "test"))
    assert abs(accuracy - 0.5) < 5 * np.sqrt(0.25 / 400)


def test_splits_are_disjoint_and_of_their_correlation(found):
    index = np.concatenate([x["index"] for x in found.values()])
    assert len(np.unique(index)) == len(index) == 1700
    for split, x in found.items():
        assert abs(x["label"].mean() - 0.5) < 0.12
        assert (x["domain"] == split.startswith("ood")).all()
    half = split_of(small(r_id=0.5), "train")
    assert abs(shift.cramers_v(half["label"], half["spurious"]) - 0.5) < 0.1


def test_drawn_pictures_show_their_class(found):
    """The drawing without noise is recovered from the two colors' contrast."""
    labels = np.array([0, 1], np.int32)
    key = jax.random.key(3)
    square, heart = (np.asarray(jax.jit(dominoes.draw)(key, y)) for y in labels)
    assert np.abs(square - heart).max() > 0.2  # same pose and colors
    rows = np.flatnonzero(found["train"]["label"] == 0)[:2]
    a, b = found["train"]["image"][rows, 32:]
    assert np.abs(a - b).mean() > 0.05
    again = split_of(small(), "train")
    np.testing.assert_allclose(again["image"], found["train"]["image"], atol=1e-6)
    other = split_of(small(data_seed=1), "train")
    assert (other["index"] != found["train"]["index"]).any()


def test_training_depends_on_seed_and_step():
    dataset = small()
    batches = dataset.train(8)
    next(batches)
    second, again = next(batches), next(dataset.train(8, start_step=1))
    for name in second:
        np.testing.assert_array_equal(second[name], again[name])


def test_pictures_of_cifar(monkeypatch):
    rng = np.random.default_rng(0)

    def arrays(name, split, *, data_dir):
        assert (name, data_dir) == ("cifar10", "somewhere")
        n = {"train": 300, "test": 100}[split]
        labels = (np.arange(n) % 10).astype(np.int32)
        images = rng.integers(256, size=(n, 32, 32, 3)).astype(np.uint8)
        images[:, 0, 0, 0] = labels
        return images, labels

    monkeypatch.setattr(tfds_images, "arrays", arrays)
    options = dict(pictures="cifar10", data_dir="somewhere", num_train=50)
    dataset = dominoes.load(**options, num_head=10, num_test=10)
    for split, size in zip(shift.SPLITS, (50, 10, 10, 10)):
        x = split_of(dataset, split, 7)
        assert x["image"].shape == (size, 64, 32, 3)
        classes = np.round(x["image"][:, 32, 0, 0] * 255)
        np.testing.assert_array_equal(classes, np.where(x["label"] == 0, 1, 9))
    with pytest.raises(ValueError, match="at most 60 examples"):
        dominoes.load(**options, num_head=11, num_test=10)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="pictures among"):
        small(pictures="cats")
    with pytest.raises(
        ValueError, match=r"dominoes\.load: expected r_ood in \[-1, 1\]"
    ):
        small(r_ood=2.0)


def test_blocks_are_changed_one_by_one():
    """Each by a key of its own, and nothing moves from one to the other."""
    images = np.float32([0.2, 0.8]).repeat(32)[None, :, None, None]
    images = np.broadcast_to(images, (5, 64, 32, 1))

    def brighter(key, block):
        return block + jax.random.uniform(key, (len(block), 1, 1, 1))

    brighten = jax.jit(functools.partial(dominoes.each_block, view=brighter))
    changed = np.asarray(brighten(jax.random.key(0), images))
    top, below = (np.ptp(x, axis=(1, 2)).max() for x in np.split(changed, 2, axis=1))
    assert top == below == 0
    added = (changed - images)[:, [0, -1], 0, 0]
    assert len(np.unique(np.round(added, 5))) == 10
    crop = functools.partial(augment.random_resized_crop, size=32, scale=(0.1, 0.2))
    cropped = jax.jit(functools.partial(dominoes.each_block, view=crop))
    same = cropped(jax.random.key(1), images)
    np.testing.assert_allclose(same, images, atol=1e-6)
