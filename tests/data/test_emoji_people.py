"""Emoji of people in six tones: balance, what is held out, and unbalanced subsets."""

import jax
import numpy as np
import pytest

from repr_jax.data import emoji_people


@pytest.fixture(scope="module")
def people_file(tmp_path_factory):
    """Ten persons in all tones, one in three tones, a hand in all and an apple."""
    base = np.repeat(np.arange(13), [6] * 10 + [3, 6, 1])
    tone = np.concatenate([np.tile(np.arange(6), 10), [0, 1, 5], np.arange(6), [-1]])
    subcategory = np.array([0] * 30 + [1] * 33 + [2] * 6 + [3])
    value = 10 * base + tone
    images = np.broadcast_to(value[:, None, None, None], (len(base), 32, 32, 3))
    path = tmp_path_factory.mktemp("people") / "emoji.npz"
    np.savez(
        path,
        noto=images.astype(np.uint8),
        twemoji=(images + 120).astype(np.uint8),
        name=np.array([f"thing {b}" for b in base]),
        category=np.zeros(len(base), int),
        subcategory=subcategory,
        base=base,
        tone=tone,
        category_names=np.array(["all"]),
        subcategory_names=np.array(["person", "person-role", "hands", "food"]),
    )
    return str(path)


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
    one = emoji_people.load(path=people_file, styles=("twemoji",))
    assert set(all_of(one, "train")["style"]) == {1}
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
