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
    assert linear_probe.score(x, y, x, y) == 1
    with pytest.raises(ValueError, match="two or more classes"):
        linear_probe.score(x, y * 0, x, y)


def test_a_fit_that_did_not_converge_is_reported(monkeypatch, caplog):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype("f")
    y = np.arange(40) % 2
    linear_probe.score(x, y, x, y)
    assert not caplog.records
    stopped = functools.partial(logistic.fit, max_steps=1)
    monkeypatch.setattr(logistic, "fit", stopped)
    linear_probe.score(x, y, x, y)
    assert "fit to 40 rows did not converge: after 1 steps" in caplog.text


def test_a_label_that_is_not_a_number_is_no_class():
    x, y = np.eye(3, dtype="f"), np.array([0.0, 1.0, np.nan])
    with pytest.raises(ValueError, match=r"linear_probe: expected y finite; .* row 2"):
        linear_probe.score(x, y, x, y)


def test_one_hot_features_are_perfect(perfect, dataset):
    found = linear_probe.evaluate(perfect, dataset, num_train=12, batch_size=8)
    assert set(found.values()) == {1.0}
    assert len(found) == 2 * (7 + 3)
    assert {"linear_probe/m0+m2", "linear_probe_12/m0+m1+m2"} <= set(found)
    assert {"linear_probe/1_view", "linear_probe_12/3_views"} <= set(found)


def test_subsets_are_scored_apart_and_averaged(perfect, dataset):
    """m0 tells everything, the others nothing: chance is the largest class, 6 of 21."""

    def represent(batch):
        here = batch["present"][:, :1]
        return np.where(here, np.eye(4)[batch["label"]], 0.0)

    model = perfect._replace(represent=represent)
    found = linear_probe.evaluate(model, dataset, num_train=8, batch_size=8)
    assert found["linear_probe/m0"] == found["linear_probe/m0+m1"] == 1
    guess = found["linear_probe/m1"]
    assert guess < 0.5 and guess == found["linear_probe/m1+m2"]
    one_view = (1 + 2 * guess) / 3
    assert found["linear_probe/1_view"] == pytest.approx(one_view)
    assert found["linear_probe/2_views"] == pytest.approx((2 + guess) / 3)


def test_a_model_with_one_input():
    blobs = synthetic.blobs(num_examples=32)
    model = Trained(
        represent=lambda batch: batch["image"].reshape(len(batch["image"]), -1),
        generate=None,
        bound=None,
        prepare=blobs.prepare,
        modalities=(),
        workdir="",
    )
    found = linear_probe.evaluate(model, blobs, num_train=16, batch_size=8)
    assert found == {"accuracy": 1.0, "accuracy_16": 1.0}
