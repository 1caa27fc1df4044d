"""Effective rank of a representation that is known, and of the rows that count."""

import numpy as np
import pytest

from repr_jax.evaluators import rank


def test_one_hot_rows_use_as_many_dimensions_as_there_are_classes(perfect, dataset):
    """Counts 6, 6, 6 and 3 of four classes; their mean takes away one direction."""
    evaluation = rank.evaluate(perfect, dataset, batch_size=8)
    values = np.sqrt([6, 6, 6, 3])
    p = values / values.sum()
    expected = np.exp(-np.sum(p * np.log(p)))
    assert evaluation.numbers["effective_rank"] == pytest.approx(expected, rel=1e-5)
    assert evaluation.numbers["rankme"] == pytest.approx(expected, rel=1e-4)
    assert evaluation.numbers["centered"] == pytest.approx(3, abs=0.1)
    assert "of 21 test rows use, of 4:" in evaluation.tables[0].note


def test_a_point_uses_one_dimension_and_none_around_it(perfect, dataset, answering):
    model = answering(
        perfect, represent=lambda b, key=None: np.ones((len(b["row"]), 5))
    )
    found = rank.evaluate(model, dataset, batch_size=8).numbers
    assert found["effective_rank"] == pytest.approx(1, abs=1e-4)
    assert found["centered"] == 0


@pytest.mark.parametrize("place", [0.1, 2000.1])
def test_a_point_far_from_0_has_nothing_around_it(perfect, dataset, answering, place):
    """The mean of 10,000 equal numbers of float32, added one by one, is another."""
    point = np.float32([[place, -place, 1]])

    def evaluate(split, batch_size):
        for batch in dataset.evaluate(split, batch_size):
            yield {name: np.tile(x, 1000) for name, x in batch.items()}

    model = answering(
        perfect, represent=lambda b, key=None: np.tile(point, (len(b["row"]), 1))
    )
    found = rank.evaluate(model, dataset._replace(evaluate=evaluate), limit=None)
    assert found.numbers["centered"] == 0


def test_absent_rows_do_not_count(perfect, gaps, here, answering):
    def represent(batch, key=None):
        given = np.any(batch["present"], axis=1)[:, None]
        return np.where(given, np.eye(4, dtype="f")[batch["label"]], np.nan)

    model = answering(perfect, represent=represent)
    evaluation = rank.evaluate(model, gaps, batch_size=8)
    assert f"of {here.any(axis=1).sum()} test rows" in evaluation.tables[0].note
    assert 3 < evaluation.numbers["effective_rank"] < 4
