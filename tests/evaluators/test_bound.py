"""The held-out bound: rows count once, whatever the batches."""

import numpy as np
import pytest

from repr_jax.evaluators import bound


@pytest.mark.parametrize("batch_size", [4, 8, 21])
def test_bound_is_the_mean_over_rows(perfect, dataset, batch_size):
    found = bound.evaluate(perfect, dataset, batch_size=batch_size)
    rows = np.mean(np.arange(21))
    expected = {"bound/joint": rows - 3} | {f"bound/m{m}": rows - 1 for m in range(3)}
    assert found == pytest.approx(expected, rel=1e-6)


def test_bound_of_one_input_is_joint_alone(perfect, dataset):
    model = perfect._replace(modalities=())
    assert list(bound.evaluate(model, dataset)) == ["bound/joint"]


def test_bound_of_a_model_without_one(perfect, dataset):
    with pytest.raises(ValueError, match="expected a model with an evidence bound"):
        bound.evaluate(perfect._replace(bound=None), dataset)
