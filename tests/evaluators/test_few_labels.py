"""Probes of frozen features: with few labels, and with labels that images set."""

import numpy as np
import pytest

from repr_jax.data.dataset import Dataset, padded_rows
from repr_jax.evaluators import few_labels, linear_probe, rotation_probe
from repr_jax.evaluators.common import Trained


def arrows(num=30):
    """Images that are bright at the top, and a label that is their size."""
    rng = np.random.default_rng(0)
    images = 0.01 * rng.uniform(size=(num, 6, 6, 1)).astype("f")
    labels = (np.arange(num) % 3).astype(np.int32)
    images[:, 0] += 1 + labels[:, None, None]

    def evaluate(split, batch_size):
        for rows, where in padded_rows(num, batch_size):
            yield {"image": images[rows], "label": labels[rows], "where": where}

    return Dataset(None, evaluate, None, dict(train=num, test=num), ())


def trained(represent):
    return Trained({"represent": represent}, lambda batch: batch, (), "")


def pixels(batch, key=None):
    return np.asarray(batch["image"]).reshape(len(batch["where"]), -1)


def blind(batch, key=None):
    """Sees how bright an image is, not where."""
    return pixels(batch).sum(axis=1, keepdims=True)


def test_rows_of_each_class():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    counts = [
        np.bincount(labels[few_labels.rows_of_fraction(labels, f)]).tolist()
        for f in (0.1, 0.01, 1.0)
    ]
    assert counts == [[5, 3, 2], [1, 1, 1], [50, 30, 20]]
    small, large = (few_labels.rows_of_fraction(labels, f, 3) for f in (0.1, 0.5))
    assert set(small) < set(large)
    with pytest.raises(ValueError, match=r"fraction in \(0, 1\]"):
        few_labels.rows_of_fraction(labels, 0)


def test_gaps():
    found = few_labels.gaps(dict(a=0.4, b=0.6, c=0.8), dict(a=0.3, b=0.55, c=0.79))
    np.testing.assert_allclose([*found.values()], [0.1, 0.05, 0.01])


def test_all_labels_are_the_plain_probe():
    model, dataset = trained(blind), arrows()
    found = few_labels.evaluate(model, dataset, fractions=(0.1, 1), batch_size=8)
    plain = linear_probe.evaluate(model, dataset, batch_size=8)
    assert found.numbers["accuracy/1"] == plain.numbers["accuracy"] > 0.6
    assert set(found.numbers) == {"accuracy/0.1", "accuracy/1"}
    assert found.chance["accuracy/1"] == pytest.approx(1 / 3)


def test_all_rows_are_fitted_once_however_many_draws(monkeypatch):
    sizes, score = [], linear_probe.score

    def counted(x, *args, **options):
        sizes.append(len(x))
        return score(x, *args, **options)

    monkeypatch.setattr(linear_probe, "score", counted)
    options = dict(fractions=(0.5, 1), num_draws=3, batch_size=8)
    few_labels.evaluate(trained(blind), arrows(), **options)
    assert sizes == [15, 15, 15, 30]


def test_rotations_are_told_by_who_sees_places():
    found = {
        represent: rotation_probe.evaluate(trained(represent), arrows(), batch_size=8)
        for represent in (pixels, blind)
    }
    assert found[pixels].numbers["accuracy"] == 1
    assert found[blind].numbers["accuracy"] < 0.4
