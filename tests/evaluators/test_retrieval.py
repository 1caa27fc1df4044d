"""Retrieval of a model that knows labels: rows of one label cannot be told apart."""

import jax
import numpy as np
import pytest

from repr_jax.evaluators import retrieval


def one_hot_rows(batch):
    return jax.nn.one_hot(batch["row"], 21)


def test_a_model_that_knows_every_row_finds_it(perfect, dataset):
    model = perfect._replace(represent=jax.jit(one_hot_rows))
    found = retrieval.evaluate(model, dataset, ks=(1, 5), batch_size=8)
    assert len(found) == 2 + 6 * 3
    assert found["retrieval/m0->m2/recall_1"] == 1
    assert found["retrieval/m2->m0/median_rank"] == 1
    assert found["retrieval/chance/recall_5"] == pytest.approx(5 / 21)


def test_a_model_that_knows_labels_confuses_rows_of_one_label(perfect, dataset):
    found = retrieval.evaluate(perfect, dataset, ks=(1, 5, 6))
    groups = np.array([6] * 18 + [3] * 3)  # rows of the same label, itself included
    for k in (1, 5, 6):
        expected = np.mean(groups <= k)  # ties count against the query
        assert found[f"retrieval/m0->m1/recall_{k}"] == pytest.approx(expected)


def test_one_modality_is_refused(perfect, dataset):
    with pytest.raises(ValueError, match="expected a model of two or more"):
        retrieval.evaluate(perfect._replace(modalities=("m0",)), dataset)


def test_similarities_are_cosines():
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    found = retrieval.similarities(3 * rows, rows[:2])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(found, unit @ unit[:2].T, rtol=1e-5, atol=1e-6)
