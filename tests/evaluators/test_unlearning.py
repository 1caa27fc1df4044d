"""Of models that answer by hand: what was forgotten, where, and compared with what."""

from functools import partial

import numpy as np
import pytest

from repr_jax.data.dataset import Dataset, padded_rows
from repr_jax.evaluators import unlearning
from repr_jax.evaluators.common import Trained

NUM = 60
FORGOTTEN = partial(unlearning.by_class, classes=(2,))


def rows_of(split):
    rng = np.random.default_rng(split == "test")
    labels = (np.arange(NUM) % 3).astype(np.int32)
    return (np.eye(3)[labels] + 0.1 * rng.normal(size=(NUM, 3))).astype("f"), labels


def evaluate(split, batch_size):
    x, labels = rows_of(split)
    for rows, where in padded_rows(NUM, batch_size):
        yield {"x": x[rows], "label": labels[rows], "where": where}


DATASET = Dataset(None, evaluate, None, dict(train=NUM, test=NUM), ())


def model(represent, head):
    outputs = {
        "represent": lambda batch, key=None: represent(np.asarray(batch["x"])),
        "logits": lambda batch, key=None: head(represent(np.asarray(batch["x"]))),
    }
    return Trained(outputs, lambda batch: batch, (), "")


def same(x):
    return x


def without_class_2(x):
    """Class 2 lies where class 0 does."""
    return np.stack([x[:, 0] + x[:, 2], x[:, 1], 0 * x[:, 0]], axis=1)


def logits(h):
    return 10 * h


def head_forgets(h):
    return 10 * h - np.array([[0, 0, 100.0]])


MODELS = dict(original=model(same, logits), retrained=model(without_class_2, logits))


def test_a_model_that_is_the_retrained_one_has_no_gap():
    found = unlearning.evaluate(
        MODELS["retrained"], DATASET, forgotten=FORGOTTEN, downstream=DATASET, **MODELS
    ).numbers
    assert all(value == 0 for name, value in found.items() if name.startswith("gap/"))
    np.testing.assert_allclose(found["cka/retrained"], 1, rtol=1e-5)
    assert found["accuracy/forget"] == 0 and found["accuracy/retain"] == 1


def test_forgetting_in_the_head_alone_is_seen_in_the_features():
    found = unlearning.evaluate(
        model(same, head_forgets),
        DATASET,
        forgotten=FORGOTTEN,
        downstream=DATASET,
        batch_size=16,
        **MODELS,
    ).numbers
    assert found["accuracy/forget"] == found["gap/accuracy/forget"] == 0
    np.testing.assert_allclose(found["cka/original"], 1, rtol=1e-5)
    assert found["cka/retrained"] < 0.9
    assert found["neighbors"] == 1 and found["gap/neighbors"] > 0.2
    assert "gap/cka/original" not in found


def test_a_label_that_is_no_class_of_the_logits_is_refused():
    two = model(same, lambda h: logits(h)[:, :2])
    with pytest.raises(ValueError, match=r"label in \[0, 2\); got 2 in row 2"):
        unlearning.evaluate(two, DATASET, forgotten=FORGOTTEN, **MODELS)


def test_gaps_by_hand_and_the_attack():
    high, low = np.full(50, 0.99), np.full(40, 0.3)
    assert unlearning.membership(high, low, np.full(9, 0.95)) == 1
    assert unlearning.membership(high, low, np.full(9, 0.31)) == 0
    with pytest.raises(ValueError, match="expected rows of each kind"):
        unlearning.membership(high, low, np.zeros(0))
