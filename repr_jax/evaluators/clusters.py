"""Clusters, or the leaves of a tree, against the classes of the same rows."""

import numpy as np

from repr_jax import metrics, trees
from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    batches,
    collect_targets,
    needs,
)

MAX_CELLS = 20  # rows and columns of the table that is shown
NUM_SHUFFLES = 10  # of the labels, for the level of chance


@needs("assign")
def evaluate(
    trained,
    dataset,
    *,
    split: str = "test",
    batch_size: int = 256,
    limit: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """Agreement of clusters with classes, and of a tree over clusters, if there is one.

    Args:
      trained: Trained, with the output "assign", [batch] int from 0; and perhaps
        "parents", a tree with the clusters as leaves.
      dataset: Dataset with a `label`.
      split: "train" or "test".
      batch_size: rows at a time.
      limit: number of random rows to stop at; None for all.
      seed: of the shuffles.

    Returns:
      "accuracy", in [0, 1], with the best one-to-one matching of clusters and classes;
      "nmi" in [0, 1] and "ari" at most 1, see `metrics`; "num_clusters", how many have
      rows; of a tree "dendrogram_purity" in [0, 1]. 1 is best. Chance: the same of
      shuffled labels, the mean of ten shuffles.

    Raises:
      ValueError: the batches have no label.
    """
    assignments, entries = collect_targets(
        trained, dataset, split, batch_size, ("label",), limit=limit, output="assign"
    )
    assignments = assignments.astype(np.int32)
    num_clusters, parents = int(assignments.max()) + 1, None
    if "parents" in trained.outputs:
        batch = next(batches(dataset, split, batch_size))
        parents = np.asarray(trained.outputs["parents"](batch))
        num_clusters = max(num_clusters, trees.count_leaves(parents))
    names, labels = np.unique(entries["label"], return_inverse=True)

    def table_of(labels):
        options = dict(num_clusters=num_clusters, num_classes=len(names))
        return metrics.contingency(assignments, labels, **options)

    rng, table = np.random.default_rng(seed), table_of(labels)
    shuffled = [table_of(rng.permutation(labels)) for _ in range(NUM_SHUFFLES)]
    shuffled = [_scores(parents, other) for other in shuffled]
    numbers = _scores(parents, table)
    chance = {name: float(np.mean([s[name] for s in shuffled])) for name in numbers}
    numbers["num_clusters"] = float(np.sum(table.sum(axis=1) > 0))
    tables = (_table(table, names),) if max(table.shape) <= MAX_CELLS else ()
    headline = [name for name in chance if name != "ari"]
    return Evaluation(numbers, tables=tables, chance=chance, headline=headline)


def _scores(parents, table) -> dict[str, float]:
    found = {
        "accuracy": metrics.hungarian_accuracy(table),
        "nmi": metrics.nmi(table),
        "ari": metrics.adjusted_rand_index(table),
    }
    if parents is not None:
        found["dendrogram_purity"] = metrics.dendrogram_purity(parents, table)
    return {name: float(value) for name, value in found.items()}


def _table(table, names):
    return Table(
        title="Clusters and classes",
        note="How many rows each cluster has of each class.",
        header=("cluster", *(str(name) for name in names)),
        rows=[(str(i), *map(float, row)) for i, row in enumerate(table)],
    )
