"""Votes of nearest neighbors: known numbers, loops, ties, and rows that are absent."""

import numpy as np
import pytest

from repr_jax.data import synthetic
from repr_jax.evaluators import knn
from repr_jax.evaluators.common import Trained


@pytest.fixture
def drawn():
    """(bank, labels, queries), of which the shares of 7 neighbors are known."""
    rng = np.random.default_rng(8)
    bank, queries = (rng.normal(size=(n, 3)).astype("f") for n in (20, 2))
    return bank, np.arange(20) % 4, queries


def votes_in_loops(bank, labels, queries, k, temperature, num_classes):
    found = np.zeros((len(queries), num_classes))
    bank, queries = (
        x.astype(np.float64) / np.linalg.norm(x, axis=1, keepdims=True)
        for x in (bank, queries)
    )
    for i, query in enumerate(queries):
        similarity = bank @ query
        for j in np.argsort(-similarity, kind="stable")[:k]:
            found[i, labels[j]] += np.exp((similarity[j] - 1) / temperature)
    return found / found.sum(axis=1, keepdims=True)


def test_weighted_votes_of_a_known_case(drawn):
    """The numbers were computed in float64 by another program."""
    found = knn.shares(*drawn, num_neighbors=7, num_classes=4, temperature=0.07)
    expected = [
        [0, 0.9326448, 0.00144807, 0.06590715],
        [0.3671382, 0.6121876, 0.01194484, 0.008729372],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.02, 0.5, np.inf])
@pytest.mark.parametrize("k", [1, 6, 20])
def test_votes_match_loops_at_any_scale(drawn, k, temperature):
    bank, labels, queries = drawn
    options = dict(num_neighbors=k, num_classes=4, temperature=temperature)
    expected = votes_in_loops(bank, labels, queries, k, temperature, 4)
    for scale in (1e-15, 1.0, 1e15):
        found = knn.shares(scale * bank, labels, queries, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_many_queries_are_answered_in_blocks(drawn):
    bank, labels, _ = drawn
    queries = np.random.default_rng(1).normal(size=(700, 3)).astype("f")
    found = knn.shares(bank, labels, queries, num_neighbors=3, num_classes=4)
    expected = votes_in_loops(bank, labels, queries, 3, 0.07, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_of_equally_near_rows_the_first_vote():
    bank, labels = np.ones((6, 2), "f"), np.array([2, 0, 1, 1, 1, 1])
    options = dict(num_neighbors=2, num_classes=3, temperature=np.inf)
    found = knn.shares(bank, labels, bank[:1], **options)
    np.testing.assert_allclose(found, [[0.5, 0, 0.5]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(num_neighbors=21), "at most 20 neighbors"),
        (dict(temperature=0.0), "temperature > 0"),
        (dict(labels=np.arange(20)), r"labels in \[0, 4\)"),
        (dict(queries=np.full((2, 3), np.nan, "f")), "queries finite"),
    ],
)
def test_wrong_inputs_are_refused(drawn, change, message):
    arrays = dict(zip(("bank", "labels", "queries"), drawn))
    with pytest.raises(ValueError, match=f"knn.shares: expected {message}"):
        knn.shares(**{**arrays, "num_neighbors": 7, "num_classes": 4, **change})


def test_a_model_with_one_input():
    blobs = synthetic.blobs(num_examples=32)
    model = Trained(
        {"represent": lambda batch: batch["image"].reshape(len(batch["image"]), -1)},
        blobs.prepare,
        (),
        "",
    )
    found = knn.evaluate(model, blobs, num_neighbors=(3, 500), batch_size=8)
    assert found.numbers == {"accuracy/3": 1.0, "unweighted/3": 1.0}
    assert found.chance == {"accuracy/3": 0.25, "unweighted/3": 0.25}
    with pytest.raises(ValueError, match="knn: expected num_neighbors of at most 32"):
        knn.evaluate(model, blobs, num_neighbors=(33,), batch_size=8)


def test_absent_rows_neither_vote_nor_ask(perfect, gaps, answering):
    """Row 7 has no view: its representation is NaN, which would be refused."""

    def represent(batch, key=None):
        given = np.any(batch["present"], axis=1)[:, None]
        return np.where(given, np.eye(4, dtype="f")[batch["label"]], np.nan)

    model = answering(perfect, represent=represent)
    found = knn.evaluate(model, gaps, num_neighbors=(3,), batch_size=8).numbers
    assert found == {"accuracy/3": 1.0, "unweighted/3": 1.0}
