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


def with_densities(missing=False):
    """Two modalities of rows 0 to 39: clusters 1, 2 and 3 are classes, 0 and 4 empty.

    Of the second modality every third row knows nothing, or has none.
    """
    own = np.tile([1, 2, 3, 3], 10)
    density = np.full((40, 2, 5), -20.0, np.float32)
    for m in range(2):
        density[np.arange(40), m, own] = -1.0
    third = np.arange(40) % 3 == 0
    density[third, 1] = np.nan if missing else -5.0
    outputs = {
        "cluster_densities": lambda batch: density[batch["x"]],
        "cluster_weights": lambda batch: np.zeros(5, np.float32),
        "represent": lambda batch: np.zeros((len(batch["x"]), 3), np.float32),
    }
    present = np.stack([np.ones(40, bool), ~third], axis=1)

    def take(split, rows):
        x = np.arange(40)[rows]
        batch = {"x": x, "label": LABELS[rows]}
        return {**batch, "present": present[x]} if missing else batch

    dataset = of_rows("data", take, {"train": 40, "test": 40}, seed=0)
    return Trained(outputs, lambda batch: batch, ("a", "b"), ""), dataset


@pytest.mark.parametrize("missing", [False, True])
def test_clusters_that_no_row_needs_are_left_out(missing):
    model, dataset = with_densities(missing)
    found = clusters.pruned(model, dataset, batch_size=7)
    assert found.numbers["num_clusters"] == 3 and found.numbers["accuracy"] == 1
    kept, table = found.tables
    assert [line[0] for line in kept.rows] == ["2", "3", "4", "5"]
    assert [line[2] for line in kept.rows] == [None, "kept", None, None]
    assert min(kept.rows, key=lambda line: line[1])[0] == "3"
    assert table.rows[0][1:] == (0.0, 0.0, 0.0)  # a cluster that is left out
