"""The protocol around the logistic regression, which has tests of its own."""

import functools

import numpy as np
import pytest

from repr_jax.data import synthetic
from repr_jax.estimators import logistic
from repr_jax.evaluators import linear_probe
from repr_jax.evaluators.common import Trained


def test_stratified_keeps_proportions():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    rows = linear_probe.stratified(labels, 50)
    assert len(np.unique(rows)) == 50
    np.testing.assert_array_equal(np.bincount(labels[rows]), [30, 15, 5])
    assert set(rows) != set(linear_probe.stratified(labels, 50, seed=1))
    assert len(linear_probe.stratified(labels, 5000)) == 1000


def test_score_with_labels_that_skip_a_class():
    x = np.eye(3, dtype=np.float32)
    y = np.array([2, 5, 9])
    assert linear_probe.score(x, y, x, y).accuracy == 1
    with pytest.raises(ValueError, match="two or more classes"):
        linear_probe.score(x, y * 0, x, y)


def test_a_label_that_is_not_a_number_is_no_class():
    x, y = np.eye(3, dtype="f"), np.array([0.0, 1.0, np.nan])
    with pytest.raises(ValueError, match=r"linear_probe: expected y finite; .* row 2"):
        linear_probe.score(x, y, x, y)


def test_one_hot_features_are_perfect(perfect, dataset):
    evaluation = linear_probe.evaluate(perfect, dataset, num_train=12, batch_size=8)
    found = evaluation.numbers
    assert set(found.values()) == {1.0}
    assert len(found) == 2 * (7 + 3)
    assert {"m0+m2", "12_rows/m0+m1+m2", "1_view", "12_rows/3_views"} <= set(found)
    assert evaluation.chance == pytest.approx(dict.fromkeys(found, 6 / 21))
    assert evaluation.headline == ("1_view", "3_views")
    by_size, by_subset = evaluation.tables
    assert by_size.header == ("given", "all rows", "12 rows", "chance")
    assert by_size.rows[2][:3] == ("3 views", 1.0, 1.0) and len(by_subset.rows) == 7


def test_subsets_are_scored_apart_and_averaged(perfect, dataset, answering):
    """m0 tells everything, the others nothing: chance is the largest class, 6 of 21."""

    def represent(batch, key=None):
        here = batch["present"][:, :1]
        return np.where(here, np.eye(4)[batch["label"]], 0.0)

    model = answering(perfect, represent=represent)
    found = linear_probe.evaluate(model, dataset, num_train=8, batch_size=8).numbers
    assert found["m0"] == found["m0+m1"] == 1
    guess = found["m1"]
    assert guess < 0.5 and guess == found["m1+m2"]
    one_view = (1 + 2 * guess) / 3
    assert found["1_view"] == pytest.approx(one_view)
    assert found["2_views"] == pytest.approx((2 + guess) / 3)


def test_a_model_with_one_input():
    blobs = synthetic.blobs(num_examples=32)
    model = Trained(
        outputs={
            "represent": lambda batch: batch["image"].reshape(len(batch["image"]), -1)
        },
        prepare=blobs.prepare,
        modalities=(),
        workdir="",
    )
    found = linear_probe.evaluate(model, blobs, num_train=16, batch_size=8)
    assert found.numbers == {"accuracy": 1.0, "accuracy/16_rows": 1.0}
    assert found.chance == {"accuracy": 0.25, "accuracy/16_rows": 0.25}
    assert found.tables[0].rows == [("all rows", 1.0, 0.25), ("16 rows", 1.0, 0.25)]


def test_few_rows_are_drawn_several_times_and_averaged():
    """Two pixels do not tell four classes apart: every draw is worth another number."""
    blobs = synthetic.blobs(num_examples=32)

    def represent(batch):
        image = np.asarray(batch["image"]).reshape(len(batch["image"]), -1)
        return image[:, :2]

    model = Trained({"represent": represent}, blobs.prepare, (), "")
    options = dict(num_train=6, batch_size=8)
    apart = [
        linear_probe.evaluate(model, blobs, seed=seed, **options).numbers
        for seed in range(3)
    ]
    found = linear_probe.evaluate(model, blobs, num_draws=3, **options).numbers
    name = "accuracy/6_rows"
    assert len({numbers[name] for numbers in apart}) > 1
    assert found[name] == pytest.approx(np.mean([numbers[name] for numbers in apart]))
    assert found["accuracy"] == apart[0]["accuracy"]
    with pytest.raises(ValueError, match="linear_probe: expected num_draws >= 1"):
        linear_probe.evaluate(model, blobs, num_draws=0, **options)


def test_rows_that_lack_what_is_asked_for_do_not_count(perfect, gaps, here, answering):
    """Labels of what is given, and nothing else: perfect where it is there."""

    def represent(batch, key=None):
        given = np.any(batch["present"], axis=1)[:, None]
        return np.where(given, np.eye(4)[batch["label"]], np.nan)

    model = answering(perfect, represent=represent)
    found = linear_probe.evaluate(model, gaps, num_train=12, batch_size=8)
    assert set(found.numbers.values()) == {1.0} and len(found.numbers) == 2 * (7 + 3)
    labels = np.arange(21) // 6
    share = np.bincount(labels[here[:, 0] & here[:, 1]])
    assert found.chance["m0+m1"] == pytest.approx(share.max() / share.sum())


def test_a_subset_that_no_row_has_is_left_out(perfect, gaps):
    def never_both(*arguments):
        for batch in gaps.evaluate(*arguments):
            first = batch["row"] % 2 == 0
            present = np.stack([first, ~first, first], axis=1)
            yield {**batch, "present": present}

    data = gaps._replace(evaluate=never_both)
    found = linear_probe.evaluate(perfect, data, num_train=12, batch_size=8)
    assert {n for n in found.numbers if not n.startswith("12")} == {
        "m0",
        "m1",
        "m2",
        "m0+m2",
        "1_view",
        "2_views",
    }
    assert found.tables[0].rows[2] == ("3 views", None, None, None)


def test_no_row_at_all_is_an_error(perfect, gaps):
    def nothing(*arguments):
        for batch in gaps.evaluate(*arguments):
            yield {**batch, "present": batch["present"] & False}

    with pytest.raises(ValueError, match="linear_probe: expected rows of both splits"):
        linear_probe.evaluate(perfect, gaps._replace(evaluate=nothing))


def test_a_fit_that_did_not_converge_is_told(monkeypatch):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype("f")
    y = np.arange(40) % 2
    good = linear_probe.score(x, y, x, y)
    assert linear_probe.unfinished([good, good]) == ""
    stopped = functools.partial(logistic.fit, max_steps=1)
    monkeypatch.setattr(logistic, "fit", stopped)
    bad = linear_probe.score(x, y, x, y)._replace(gradient=3e-4)
    note = linear_probe.unfinished([good, bad])
    assert note == " 1 of 2 fits had not converged (gradient 3.0e-04)."
