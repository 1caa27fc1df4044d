"""Random datasets."""

import jax
import jax.numpy as jnp
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
        (synthetic.graph, {"num_nodes": 7}, "num_nodes >= 8; got 7"),
        (synthetic.multiview, {"modalities": ()}, "at least one modality"),
        (synthetic.multiview, {"modalities": ("a", "a")}, "each modality once"),
    ],
)
def test_wrong_arguments_are_refused(make, keywords, message):
    with pytest.raises(ValueError, match=message):
        make(**keywords)


def test_a_graph_keeps_its_edges_whole_and_batches_its_nodes():
    data = synthetic.graph(num_classes=3, num_nodes=90, degree=8)
    nodes = {
        split: next(data.evaluate(split, 45))["node"] for split in ("train", "test")
    }
    assert sorted(np.concatenate([*nodes.values()])) == list(range(90))
    senders, receivers = data.fixed["senders"], data.fixed["receivers"]
    edges = set(zip(senders.tolist(), receivers.tolist()))
    assert len(edges) == len(senders) and all((b, a) in edges for a, b in edges)
    assert all(a != b for a, b in edges)
    assert 6 < len(edges) / 90 < 10  # the degree
    labels = np.arange(90) % 3
    assert 0.7 < np.mean(labels[senders] == labels[receivers]) < 0.95
    again = synthetic.graph(num_classes=3, num_nodes=90, degree=8)
    np.testing.assert_array_equal(data.fixed["features"], again.fixed["features"])


def test_neighbors_of_a_graph_tell_its_classes():
    """One mean over neighbors, in a jitted function of a batch with `fixed` in it."""
    data = synthetic.graph(num_nodes=400, degree=12)

    @jax.jit
    def classes(batch):
        sums = jax.ops.segment_sum(
            batch["features"][batch["senders"]], batch["receivers"], num_segments=400
        )
        return jnp.argmax((sums + batch["features"])[batch["node"], :4], axis=1)

    batch = next(data.evaluate("test", 200))
    alone = np.mean(
        data.fixed["features"][batch["node"], :4].argmax(1) == batch["label"]
    )
    found = classes({**data.prepare(batch), **data.fixed})
    assert alone < 0.65 and np.mean(found == batch["label"]) > 0.85
