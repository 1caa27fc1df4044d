"""Emoji of people in six tones: balance, what is held out, and unbalanced subsets."""

import jax
import numpy as np
import pytest

from repr_jax.data import emoji_people


def all_of(dataset, split):
    return next(dataset.evaluate(split, dataset.num_examples[split]))


def test_tones_and_styles_are_balanced_and_emoji_held_out(people_file):
    dataset = emoji_people.load(path=people_file)
    train, test = (all_of(dataset, split) for split in ("train", "test"))
    assert len(train["label"]) == 8 * 12 and len(test["label"]) == 2 * 12
    for batch in (train, test):
        counts = np.unique(batch["label"], return_counts=True)[1]
        assert len(counts) == 6 and len(set(counts)) == 1
        assert np.mean(batch["style"]) == 0.5
        value = 10 * batch["emoji"] + batch["label"] + 120 * batch["style"]
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], value)
    assert not set(train["emoji"]) & set(test["emoji"])
    batch = jax.jit(dataset.prepare)(train)
    assert batch["image"].dtype == np.float32 and batch["image"].max() <= 1


def test_an_unbalanced_subset_keeps_the_test_split(people_file):
    shares = (0.0, 0.8, 0.05, 0.05, 0.05, 0.05)
    dataset = emoji_people.load(path=people_file, shares=shares, anchor=1)
    counts = np.bincount(all_of(dataset, "train")["label"], minlength=6)
    np.testing.assert_array_equal(counts, [0, 16, 1, 1, 1, 1])
    assert dataset.num_examples["test"] == 24
    options = dict(shares=shares, anchor=1, class_balanced=True)
    drawn = next(emoji_people.load(path=people_file, **options).train(500))
    counts = np.bincount(drawn["label"], minlength=6)
    assert counts[0] == 0 and np.all(np.abs(counts[1:] - 100) < 40)
    one = emoji_people.load(path=people_file, styles=("twemoji",))
    assert set(all_of(one, "train")["style"]) == {1}
    half = emoji_people.load(path=people_file, size=16)
    image, whole = (
        np.asarray(jax.jit(data.prepare)(next(data.evaluate("test", 2)))["image"])
        for data in (half, dataset)
    )
    assert image.shape == (2, 16, 16, 3) and whole.shape == (2, 32, 32, 3)
    np.testing.assert_allclose(image, whole[:, ::2, ::2], atol=1e-6)  # of flat ones
    with pytest.raises(ValueError, match="a size that divides 32; got 12"):
        emoji_people.load(path=people_file, size=12)
    with pytest.raises(ValueError, match="6 shares"):
        emoji_people.load(path=people_file, shares=(0.5, 0.5))
    with pytest.raises(ValueError, match="twitter"):
        emoji_people.load(path=people_file, styles=("twitter",))


def test_real_emoji_get_darker(real_emoji_file):
    dataset = emoji_people.load(path=real_emoji_file)
    batch = all_of(dataset, "test")
    assert len(batch["label"]) == 12 * len(set(batch["emoji"])) > 500
    gray = batch["image"].mean(axis=(1, 2, 3))
    light, dark = (np.mean(gray[batch["label"] == k]) for k in (1, 5))
    assert light > dark + 5
    assert not np.any(np.isin(batch["emoji"], all_of(dataset, "train")["emoji"]))
