"""Which points are drawn, and by which classes."""

import numpy as np
import pytest

from repr_jax import figures
from repr_jax.evaluators import projection


@pytest.fixture
def drawn(monkeypatch):
    """[(points, labels)] of every scatter that was drawn."""
    calls = []

    def scatter(x, labels=None):
        calls.append((x, labels))
        return b"png"

    monkeypatch.setattr(figures, "scatter", scatter)
    return calls


def test_test_rows_are_drawn_by_class(perfect, dataset, drawn):
    found = projection.evaluate(perfect, dataset, batch_size=8)
    ((x, labels),) = drawn
    np.testing.assert_array_equal(labels, np.arange(21) // 6)
    np.testing.assert_array_equal(x.argmax(axis=1), labels)
    assert found.numbers == {} and list(found.pictures) == ["plane"]
    assert "color a class" in found.pictures["plane"].caption


def test_a_row_without_any_modality_is_not_drawn(perfect, gaps, drawn):
    projection.evaluate(perfect, gaps, max_points=21, batch_size=8)
    np.testing.assert_array_equal(drawn[0][1], np.delete(np.arange(21) // 6, 7))
    projection.evaluate(perfect, gaps, max_points=5, batch_size=8)
    assert len(drawn[1][0]) in (4, 5)


@pytest.mark.parametrize("label", [None, np.eye(21), np.linspace(0, 1, 21)])
def test_what_is_no_class_has_no_colors(perfect, dataset, answering, drawn, label):
    def evaluate(split, batch_size):
        for batch in dataset.evaluate(split, batch_size):
            batch = {name: x for name, x in batch.items() if name != "label"}
            yield batch if label is None else {**batch, "label": label[batch["row"]]}

    data = dataset._replace(evaluate=evaluate)
    model = answering(
        perfect, represent=lambda batch, key=None: np.eye(21)[batch["row"]]
    )
    model = model._replace(prepare=lambda batch: batch)
    found = projection.evaluate(model, data, batch_size=8)
    assert drawn[0][1] is None and len(drawn[0][0]) == 21
    assert "class" not in found.pictures["plane"].caption


def test_nothing_to_draw_is_an_error(perfect, gaps):
    def nothing(*arguments):
        for batch in gaps.evaluate(*arguments):
            yield {**batch, "present": batch["present"] & False}

    with pytest.raises(ValueError, match="projection: expected test rows"):
        projection.evaluate(perfect, gaps._replace(evaluate=nothing))
