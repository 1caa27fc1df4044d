"""Clusters against classes: by hand, at chance, and rows that do not count."""

import numpy as np
import pytest

from repr_jax import metrics
from repr_jax.data.dataset import Dataset, of_rows
from repr_jax.evaluators import clusters
from repr_jax.evaluators.common import Trained

LABELS = np.tile([3, 5, 8, 8], 10)  # names that are not 0, 1, 2
PARENTS = np.array([4, 4, 5, 5, 6, 6, -1])


def data(labels=LABELS, entry="label"):
    def take(split, rows):
        return {"x": np.arange(len(labels))[rows], entry: labels[rows]}

    sizes = {"train": len(labels), "test": len(labels)}
    return of_rows("data", take, sizes, seed=0)


def trained(assignments, parents=None):
    outputs = {"assign": lambda batch: assignments[batch["x"]]}
    if parents is not None:
        outputs["parents"] = lambda batch: parents
    return Trained(outputs, lambda batch: batch, (), "")


def test_clusters_that_are_the_classes_and_a_split_one():
    assignments = np.tile([2, 0, 1, 3], 10)
    found = clusters.evaluate(trained(assignments, PARENTS), data(), batch_size=7)
    assert found.numbers["accuracy"] == 0.75 and found.numbers["num_clusters"] == 4
    table = [[0, 10, 0], [0, 0, 10], [10, 0, 0], [0, 0, 10]]
    for name, metric in (
        ("nmi", metrics.nmi),
        ("ari", metrics.adjusted_rand_index),
        ("dendrogram_purity", lambda t: metrics.dendrogram_purity(PARENTS, t)),
    ):
        np.testing.assert_allclose(found.numbers[name], metric(table))
    assert found.tables[0].header == ("cluster", "3", "5", "8")
    assert found.tables[0].rows[3] == ("3", 0.0, 0.0, 10.0)
    assert set(found.chance) == set(found.numbers) - {"num_clusters"}


def test_chance_is_that_of_random_clusters():
    rng = np.random.default_rng(0)
    labels = np.arange(4000) % 4
    model = trained(rng.integers(4, size=4000), PARENTS)
    found = clusters.evaluate(model, data(labels), batch_size=500)
    for name, chance in found.chance.items():
        np.testing.assert_allclose(found.numbers[name], chance, atol=0.03)
    assert abs(found.chance["ari"]) < 0.01 and 0.25 < found.chance["accuracy"] < 0.3


def test_leaves_without_rows_are_leaves():
    found = clusters.evaluate(trained(np.zeros(40, int), PARENTS), data())
    assert found.numbers["num_clusters"] == 1 and found.numbers["accuracy"] == 0.5


def test_a_limit_is_of_random_rows():
    seen = []
    model = trained(np.tile([0, 1, 2, 2], 10))
    count = model._replace(
        outputs={"assign": lambda batch: seen.append(batch["where"]) or batch["label"]}
    )
    clusters.evaluate(count, data(), batch_size=8, limit=12)
    assert sum(where.sum() for where in seen) == 12


def test_data_without_labels_are_refused():
    with pytest.raises(ValueError, match="collect: expected 'label'"):
        clusters.evaluate(trained(np.zeros(40, int)), data(entry="class"))


def test_a_label_that_prepare_makes_counts():
    plain = data(entry="class")
    prepared = Dataset(
        plain.train,
        plain.evaluate,
        lambda batch: {**batch, "label": batch["class"]},
        plain.num_examples,
    )
    model = trained(np.tile([0, 1, 2, 2], 10))._replace(prepare=prepared.prepare)
    assert clusters.evaluate(model, prepared).numbers["accuracy"] == 1
