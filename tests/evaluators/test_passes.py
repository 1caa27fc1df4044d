"""Subsets by name, passes over a split, and averages by number of views."""

import math

import jax
import numpy as np
import pytest

from repr_jax.evaluators import (
    bound,
    clusters,
    coherence,
    common,
    factors,
    frechet,
    knn,
    latent_clusters,
    latents,
    likelihood,
    linear_probe,
    projection,
    rank,
    reconstruction,
    retrieval,
    samples,
    shift_heads,
)


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


@pytest.mark.parametrize("row", [0, 20])
def test_a_representation_that_is_not_finite_is_refused(
    perfect, dataset, answering, row
):
    def represent(batch, key=None):
        return np.where(batch["row"] == row, np.nan, 1.0)[:, None]

    model = answering(perfect, represent=represent)
    message = f"collect, test: expected represent finite; got nan in row {row}"
    with pytest.raises(ValueError, match=message):
        common.collect(model, dataset, "test", 8)


@pytest.mark.parametrize("value", [np.nan, 0.5, 2**32 + 1, -(2**31) - 1])
def test_labels_that_are_no_classes_are_refused(perfect, dataset, value):
    kind = type(value)

    def evaluate(split, batch_size):
        for batch in dataset.evaluate(split, batch_size):
            labels = batch["label"].astype("i8" if kind is int else "f4")
            labels[batch["row"] == 7] = value
            yield {**batch, "label": labels}

    wrong = dataset._replace(evaluate=evaluate)
    message = rf"expected label of whole numbers that int32 has; got {value} in row 7"
    with pytest.raises(ValueError, match=message):
        common.collect(perfect, wrong, "test", 8)
    with pytest.raises(ValueError, match=message):
        clusters.agreement(np.zeros(8, int), np.array([*[0] * 7, value]), 1)
    whole = common.classes_of("label", np.array([3.0, -1.0], "f4"))
    assert whole.dtype == np.int32 and whole.tolist() == [3, -1]
    with pytest.raises(TypeError, match="expected label of numbers; got <U1"):
        common.classes_of("label", np.array(["a"]))


def test_moments_of_columns_far_from_0_and_of_constant_ones():
    away = np.random.default_rng(0).normal(size=(20_000, 3))
    x = np.float32(2000 + away)
    x[:, 2] = 0.1
    mean, std = common.moments(x)
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std[:2], away[:, :2].std(axis=0), rtol=1e-4)
    assert std[2] == 1 and not np.any(x[:, 2] - mean[2])


def test_collect_asks_for_a_subset(perfect, dataset, answering):
    asked = []

    def represent(batch, key=None):
        asked.append(batch["present"])
        return np.zeros((len(batch["label"]), 2))

    model = answering(perfect, represent=represent)
    common.collect(model, dataset, "test", 16, present=[True, False, True])
    assert len(asked) == 2
    for present in asked:
        np.testing.assert_array_equal(present, [[True, False, True]] * 16)


def test_subsets_that_are_encoded_together_are_those_encoded_apart(
    perfect, gaps, answering, monkeypatch
):
    """With gaps, in groups of 2 of the 7 subsets, on all rows and on some."""
    monkeypatch.setattr(common, "SUBSETS", 2)

    def represent(batch, key=None):
        return np.column_stack([batch["label"], batch["present"]])

    def represent_subsets(batch, key=None):
        asked = np.moveaxis(batch["given"], 1, 0)
        parts = [common.with_present(batch, given[0]) for given in asked]
        return np.stack([represent(part) for part in parts], axis=1)

    apart = answering(perfect, represent=represent)
    together = answering(apart, represent_subsets=represent_subsets)
    for limit in (None, 17):
        expected, found = (
            {
                name: splits
                for name, *splits in common.collect_subsets(m, gaps, 8, limit)
            }
            for m in (apart, together)
        )
        assert list(expected) == list(found) == list(common.subsets(perfect.modalities))
        for name, splits in expected.items():
            for (x, y), (x_found, y_found) in zip(splits, found[name]):
                assert np.ptp(x[:, 1:], axis=0).max() == 0 and len(x) > 2
                np.testing.assert_array_equal(x, x_found)
                np.testing.assert_array_equal(y, y_found)


def test_present_of_the_batch_stays_absent():
    batch = {"label": np.arange(2), "present": np.array([[True, False], [True, True]])}
    present = common.with_present(batch, [False, True])["present"]
    np.testing.assert_array_equal(present, [[False, False], [False, True]])


def test_collect_drops_rows_that_lack_what_is_asked_for(perfect, gaps, here):
    for m in range(3):
        alone = np.arange(3) == m
        _, found = common.collect_targets(perfect, gaps, "test", 8, ("row",), alone)
        np.testing.assert_array_equal(found["row"], np.flatnonzero(here[:, m]))
    _, found = common.collect_targets(perfect, gaps, "test", 8, ("row",))
    np.testing.assert_array_equal(found["row"], np.delete(np.arange(21), 7))


def test_rows_with_counts_neither_padding_nor_absent_modalities():
    present = np.array([[1, 1], [1, 0], [0, 1], [0, 0], [1, 1]], bool)
    batch = {"where": np.arange(5) < 4, "present": present}
    for subset, expected in (
        ([True, True], [0]),
        ([True, False], [0, 1]),
        (None, [0, 1, 2]),
        ([False, False], [0, 1, 2, 3]),
    ):
        np.testing.assert_array_equal(
            np.flatnonzero(common.rows_with(batch, subset)), expected
        )
    del batch["present"]
    np.testing.assert_array_equal(common.rows_with(batch, [True, True]), batch["where"])


def test_examples_are_of_every_class_and_present():
    labels = np.array([3, 3, 3, 1, 1, 0, 2, 0])
    where = np.array([True] * 6 + [False, True])
    rows = common.examples(labels, where, 4)
    np.testing.assert_array_equal(labels[rows], [0, 1, 3, 3])
    np.testing.assert_array_equal(common.examples(labels, where, 3), [5, 3, 0])
    assert len(common.examples(labels, where, 100)) == 7
    np.testing.assert_array_equal(common.examples(None, ~where, 3), [6])


def test_rows_of_a_table_by_number_of_views():
    scores = {"a": {"1_view": 0.5, "2_views": 0.7}, "b": {"2_views": 0.9}}
    assert common.by_size(scores, ("m0", "m1")) == [
        ("1 view", 0.5, None),
        ("2 views", 0.7, 0.9),
    ]


@pytest.mark.parametrize(("limit", "batch_size"), [(13, 4), (1, 8), (16, 4), (39, 64)])
def test_limit_takes_random_rows_without_repeats(dataset, limit, batch_size):
    found = list(common.batches(dataset, "train", batch_size, limit=limit))
    devices = jax.device_count()
    most = min(batch_size, math.ceil(limit / devices) * devices)
    assert all(len(batch["row"]) == most for batch in found)
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


@pytest.mark.parametrize(
    ("output", "evaluators"),
    [
        ("bound", [bound]),
        ("generate", [coherence, frechet, reconstruction, samples]),
        ("log_weights", [likelihood]),
        ("represent", [factors, latent_clusters, latents, linear_probe, projection]),
        ("represent", [knn, rank, retrieval, shift_heads]),
    ],
)
def test_evaluators_say_what_they_need(output, evaluators):
    for evaluator in evaluators:
        assert evaluator.evaluate.needs == (output,), evaluator.__name__


def test_subsets_are_asked_for_by_name():
    names = ("m0", "m1", "m2", "m3")
    found = common.given_subsets(names, ("m2+m0", "m3"))
    assert list(found) == ["m0+m2", "m3"]
    np.testing.assert_array_equal(found["m0+m2"], [True, False, True, False])
    sizes = [row.sum() for row in common.given_subsets(names).values()]
    assert sizes == [1] * 4 + [3] * 4
    assert [*common.given_subsets(names[:2])] == ["m0", "m1"]
    assert common.given_subsets(names[:1]) == common.given_subsets(()) == {}
    for wrong in (("m0", "m0"), ("m9",), ("m0+m9",), ("m0+m1", "m1+m0"), ("",)):
        with pytest.raises(ValueError, match="given: expected different subsets"):
            common.given_subsets(names, wrong)


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
