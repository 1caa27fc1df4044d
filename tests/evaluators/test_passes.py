"""Subsets by name, passes over a split, and averages by number of views."""

import numpy as np
import pytest

from repr_jax.evaluators import common


def test_subsets_are_singles_first_and_all_last():
    named = common.subsets(("a", "b", "c"))
    assert list(named)[:3] == ["a", "b", "c"] and list(named)[-1] == "a+b+c"
    assert len(named) == 7
    np.testing.assert_array_equal(named["a+c"], [True, False, True])
    assert common.subsets(()) == {}


def test_collect_drops_padding(perfect, dataset):
    x, y = common.collect(perfect, dataset, "test", 8)
    np.testing.assert_array_equal(y, np.arange(21) // 6)
    np.testing.assert_array_equal(x.argmax(axis=1), y)
    assert x.dtype == np.float32 and y.dtype == np.int32


def test_collect_asks_for_a_subset(perfect, dataset):
    asked = []

    def represent(batch):
        asked.append(batch["present"])
        return np.zeros((len(batch["label"]), 2))

    model = perfect._replace(represent=represent)
    common.collect(model, dataset, "test", 16, present=[True, False, True])
    assert len(asked) == 2
    for present in asked:
        np.testing.assert_array_equal(present, [[True, False, True]] * 16)


def test_present_of_the_batch_stays_absent():
    batch = {"label": np.arange(2), "present": np.array([[True, False], [True, True]])}
    present = common.with_present(batch, [False, True])["present"]
    np.testing.assert_array_equal(present, [[False, False], [False, True]])


@pytest.mark.parametrize(("limit", "batch_size"), [(13, 4), (1, 8), (16, 4), (39, 64)])
def test_limit_takes_random_rows_without_repeats(dataset, limit, batch_size):
    found = list(common.batches(dataset, "train", batch_size, limit=limit))
    assert all(len(batch["row"]) == batch_size for batch in found)
    rows = np.concatenate([batch["row"][batch["where"]] for batch in found])
    assert len(np.unique(rows)) == len(rows) == limit
    other = list(common.batches(dataset, "train", 5, limit=limit))
    again = np.concatenate([batch["row"][batch["where"]] for batch in other])
    np.testing.assert_array_equal(rows, again)


def test_limit_is_not_the_first_rows(dataset):
    _, labels = zip(
        *(
            (b["row"], b["label"][b["where"]])
            for b in common.batches(dataset, "train", 8, limit=20)
        )
    )
    assert len(np.unique(np.concatenate(labels))) == 4  # the split is sorted by label


def test_limit_above_the_split_is_everything(dataset):
    found = list(common.batches(dataset, "test", 8, limit=1000))
    assert sum(batch["where"].sum() for batch in found) == 21


def test_mean_by_views():
    values = {"m0": 0.2, "m1": 0.4, "m0+m1": 0.9}
    assert common.mean_by_views(values) == pytest.approx(
        {"1_view": 0.3, "2_views": 0.9}
    )
    arrows = {"m0->m1": 0.5, "m1->m0": 0.7, "m0+m1->m2": 1.0}
    assert common.mean_by_views(arrows) == pytest.approx(
        {"1_view": 0.6, "2_views": 1.0}
    )


def test_targets_come_from_the_batch_or_from_prepare(perfect, dataset):
    x, found = common.collect_targets(perfect, dataset, "test", 8, ("row", "m1"))
    np.testing.assert_array_equal(found["row"], np.arange(21))
    assert list(found) == ["row", "m1"] and found["m1"].shape == (21, 28, 28, 3)
    np.testing.assert_array_equal(x.argmax(axis=1), np.arange(21) // 6)
    with pytest.raises(ValueError, match="expected 'hue' among the entries"):
        common.collect_targets(perfect, dataset, "test", 8, ("hue",))
