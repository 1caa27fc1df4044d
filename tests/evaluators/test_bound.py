"""The held-out bound: rows count once, whatever the batches, if they have it."""

import numpy as np
import pytest

from repr_jax.evaluators import bound


@pytest.mark.parametrize("batch_size", [4, 8, 21])
def test_bound_is_the_mean_over_rows(perfect, dataset, batch_size):
    found = bound.evaluate(perfect, dataset, batch_size=batch_size).numbers
    rows = np.mean(np.arange(21))
    expected = {"joint": rows - 3} | {f"m{m}": rows - 1 for m in range(3)}
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_rows_that_lack_what_is_asked_for_do_not_count(perfect, gaps, here, batch_size):
    found = bound.evaluate(perfect, gaps, batch_size=batch_size).numbers
    rows = np.arange(21)
    expected = {f"m{m}": np.mean(rows[here[:, m]]) - 1 for m in range(3)}
    expected["joint"] = np.mean(rows[here.all(axis=1)]) - 3
    assert found == pytest.approx(expected, rel=1e-6)


def test_what_no_row_has_is_left_out(perfect, gaps):
    def never_m0(*arguments):
        for batch in gaps.evaluate(*arguments):
            yield {**batch, "present": batch["present"] & [False, True, True]}

    def nothing(*arguments):
        for batch in gaps.evaluate(*arguments):
            yield {**batch, "present": batch["present"] & False}

    found = bound.evaluate(perfect, gaps._replace(evaluate=never_m0))
    assert set(found.numbers) == {"m1", "m2"}
    assert found.tables[0].rows == list(found.numbers.items())
    with pytest.raises(ValueError, match="bound: expected test rows with a modality"):
        bound.evaluate(perfect, gaps._replace(evaluate=nothing))


def test_bound_of_one_input_is_joint_alone(perfect, dataset):
    model = perfect._replace(modalities=())
    found = bound.evaluate(model, dataset)
    assert list(found.numbers) == ["joint"] and found.headline == ("joint",)
