"""Random datasets."""

import numpy as np
import pytest

from repr_jax.data import synthetic


def test_blobs_cluster_by_class():
    data = synthetic.blobs(num_classes=4, num_examples=64)
    batch = next(data.evaluate("train", 64))
    x = batch["image"].reshape(64, -1)
    nearest = np.argsort(np.square(x[:, None] - x[None]).sum(-1), axis=1)[:, 1]
    np.testing.assert_array_equal(batch["label"][nearest], batch["label"])


def test_blobs_may_have_more_classes_than_examples():
    batch = next(synthetic.blobs(num_classes=9, num_examples=3).evaluate("test", 3))
    np.testing.assert_array_equal(batch["label"], [0, 1, 2])


def test_multiview_is_shaped_like_polymnist():
    data = synthetic.multiview(modalities=("a", "b"), num_classes=3, num_examples=12)
    assert data.modalities == ("a", "b")
    assert data.num_examples == {"train": 12, "test": 12}
    batch = next(data.train(5))
    assert set(batch) == {"a", "b", "label"}
    for name in data.modalities:
        assert batch[name].shape == (5, 28, 28, 3) and batch[name].dtype == np.float32
        assert batch[name].min() >= 0 and batch[name].max() <= 1


def test_multiview_splits_differ_in_noise_alone():
    data = synthetic.multiview(size=8)
    train = next(data.evaluate("train", 64))
    test = next(data.evaluate("test", 64))
    difference = np.abs(train["m0"] - test["m0"])
    assert 0 < difference.max() <= 0.2
    np.testing.assert_array_equal(train["label"], test["label"])


def test_a_class_has_one_pattern_in_every_view():
    batch = next(synthetic.multiview(num_classes=2).evaluate("train", 64))
    means = {
        m: [batch[m][batch["label"] == c].mean(axis=0) for c in (0, 1)]
        for m in ("m0", "m1")
    }
    changed = [np.abs(a - b).max(axis=-1) > 0.1 for a, b in means.values()]
    np.testing.assert_array_equal(changed[0], changed[1])
    assert changed[0].any()


@pytest.mark.parametrize(
    "make, keywords, message",
    [
        (synthetic.blobs, {"num_classes": 0}, "num_classes >= 1; got 0"),
        (synthetic.multiview, {"num_examples": 0}, "num_examples >= 1; got 0"),
        (synthetic.multiview, {"modalities": ()}, "at least one modality"),
        (synthetic.multiview, {"modalities": ("a", "a")}, "each modality once"),
    ],
)
def test_wrong_arguments_are_refused(make, keywords, message):
    with pytest.raises(ValueError, match=message):
        make(**keywords)
