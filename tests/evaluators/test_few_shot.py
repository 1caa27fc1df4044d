"""Probes of a few rows: of representations that say all, nothing, or are noisy."""

import numpy as np
import pytest

from repr_jax.evaluators import few_shot, linear_probe


def test_one_row_a_class_is_enough_where_classes_are_points(perfect, dataset):
    evaluation = few_shot.evaluate(perfect, dataset, shots=(1, 3), batch_size=8)
    assert evaluation.numbers == {
        "accuracy/1_shots": 1.0,
        "sd/1_shots": 0.0,
        "accuracy/3_shots": 1.0,
        "sd/3_shots": 0.0,
    }
    assert evaluation.chance["accuracy/1_shots"] == pytest.approx(6 / 21)
    assert evaluation.tables[0].rows == [("1 a class", 1.0, 0.0), ("3 a class", 1, 0)]


def test_a_point_is_as_good_as_chance(perfect, dataset, answering):
    model = answering(
        perfect, represent=lambda b, key=None: np.ones((len(b["row"]), 5), "f")
    )
    found = few_shot.evaluate(model, dataset, shots=(2,), batch_size=8).numbers
    assert 3 / 21 <= found["accuracy/2_shots"] <= 6 / 21


def test_draws_are_of_so_many_rows_of_each_class_and_repeat(
    perfect, dataset, answering, monkeypatch
):
    """The mean and the spread are those of fits to rows that the seeds name."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(40, 4)).astype(np.float32)

    def represent(batch, key=None):
        return np.eye(4, dtype="f")[batch["label"]] + noise[batch["row"]]

    seen, score = [], linear_probe.score

    def watched(x, y, *rest, **options):
        seen.append(np.bincount(y))
        return score(x, y, *rest, **options)

    monkeypatch.setattr(few_shot, "score", watched)
    model = answering(perfect, represent=represent)
    options = dict(shots=(2, 11), num_draws=3, batch_size=8)
    first = few_shot.evaluate(model, dataset, **options).numbers
    assert [list(counts) for counts in seen] == [[2, 2, 2, 2]] * 3  # 11: too many
    assert first["sd/2_shots"] > 0
    assert first == few_shot.evaluate(model, dataset, **options).numbers
    other = few_shot.evaluate(model, dataset, seed=7, **options).numbers
    assert first != other


def test_shots_that_no_class_has_are_refused(perfect, dataset):
    message = r"at most 10, the rows of the smallest class; got \(11,\)"
    with pytest.raises(ValueError, match=message):
        few_shot.evaluate(perfect, dataset, shots=(11,), batch_size=8)
