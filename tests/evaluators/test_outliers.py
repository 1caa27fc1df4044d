"""Detection of outliers and accuracy, by classifiers whose logits are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.data.dataset import of_rows
from repr_jax.evaluators import accuracy, outliers
from repr_jax.evaluators.common import Trained


def numbers(values):
    """Rows with a single number each; the label says whether it is above 0."""
    values = np.array(values, np.float32)

    def take(split, rows):
        return {"x": values[rows], "label": (values[rows] > 0).astype(np.int32)}

    return of_rows("numbers", take, {"train": 1, "test": len(values)}, seed=0)


def two_classes(batch, key=None):
    return jnp.stack([-batch["x"], batch["x"]], axis=1)


@pytest.fixture
def trained():
    return Trained({"logits": two_classes}, lambda batch: batch, (), "")


def size(logits):
    """Anomalous is what is small."""
    return -jnp.max(logits, axis=-1)


def test_every_score_meets_every_set_of_outliers(trained):
    sets = {"near": lambda: numbers([1.5, -0.5, 0.1]), "far": lambda: numbers([0.0])}
    found = outliers.evaluate(
        trained,
        numbers([2.0, -3.0, 1.0, 4.0]),
        scores={"size": size, "reversed": lambda x: -size(x)},
        outliers=sets,
        batch_size=2,
    )
    assert found.numbers["far/size/auroc"] == 1
    assert found.numbers["far/reversed/auroc"] == 0
    np.testing.assert_allclose(found.numbers["near/size/auroc"], 11 / 12, rtol=1e-6)
    np.testing.assert_allclose(found.numbers["near/size/fpr_at_95"], 0.25)
    assert len(found.tables[0].rows) == 4
    assert found.numbers["far/size/average_precision"] == 1
    np.testing.assert_allclose(found.chance["near/size/average_precision"], 3 / 7)
    assert found.chance["near/size/fpr_at_95"] == 0.95


def test_accuracy_and_the_share_of_the_largest_class(trained):
    flipped = trained._replace(outputs={"logits": lambda b, key=None: -two_classes(b)})
    data = numbers([1.0, 2.0, -1.0])
    assert accuracy.evaluate(trained, data, batch_size=2).numbers["accuracy"] == 1
    found = accuracy.evaluate(flipped, data, batch_size=2)
    assert found.numbers["accuracy"] == 0
    np.testing.assert_allclose(found.chance["accuracy"], 2 / 3)
