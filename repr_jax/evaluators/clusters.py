"""Clusters, or the leaves of a tree, against the classes of the same rows."""

import numpy as np
from scipy.special import softmax

from repr_jax import metrics, trees
from repr_jax.estimators import cluster_pruning
from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    batches,
    classes_of,
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
    return agreement(assignments, entries["label"], num_clusters, parents, seed)


def agreement(assignments, labels, num_clusters, parents=None, seed=0) -> Evaluation:
    """What `evaluate` returns, of clusters [rows] and labels [rows]."""
    labels = classes_of("label", labels)
    names, labels = np.unique(labels, return_inverse=True)

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


PRUNED = (
    "The cluster of fewest training rows is removed, again and again. Entropy of the "
    "assignments over that of equal odds, less log p(z) a dimension: the number of "
    "clusters at which it is least is kept, {}."
)


@needs("cluster_densities", "cluster_weights", "represent")
def pruned(
    trained,
    dataset,
    *,
    beta: float = 1.0,
    max_train: int | None = 10_000,
    batch_size: int = 256,
    seed: int = 0,
) -> Evaluation:
    """Agreement with the classes of as many clusters of a learned prior as rows need.

    Which are kept `estimators.cluster_pruning` decides, by the posteriors' means of all
    modalities of training rows, each for itself. A test row is assigned by all that it
    has: their odds are averaged.

    Args:
      trained: Trained, with the outputs "cluster_densities" [batch, modality, cluster],
        log p(z | cluster), "cluster_weights" [cluster], log p(cluster), and
        "represent", whose dimensions are those of z.
      dataset: Dataset with a `label`.
      beta: >= 0, weight of the entropy, in the paper that of the divergence.
      max_train: random training rows that decide, at most; None for all.
      batch_size: rows at a time.
      seed: of the shuffles behind the levels of chance.

    Returns:
      As `evaluate`, where "num_clusters" are those that are kept.

    Raises:
      ValueError: as `cluster_pruning.fit`.
    """
    first, found = next(batches(dataset, "train", batch_size)), {}
    ask = {name: f for name, f in trained.outputs.items() if name in pruned.needs}
    weights = np.asarray(ask["cluster_weights"](first))
    dim = ask["represent"](first).shape[1]
    for split, limit in (("train", max_train), ("test", None)):
        found[split] = _densities(trained, dataset, split, batch_size, limit)
    density, here, _ = found["train"]
    fit = cluster_pruning.fit(density[here], weights, dim=dim, beta=beta)
    density, here, labels = found["test"]
    odds = softmax(density + np.asarray(fit.log_weights), axis=-1)
    rows = np.argmax(np.sum(np.where(here[..., None], odds, 0), axis=1), axis=-1)
    evaluation = agreement(rows, labels, density.shape[-1], seed=seed)
    kept = int(np.sum(fit.kept))
    lines = [
        (str(number), float(value), "kept" if number == kept else None)
        for number, value in enumerate(fit.criterion)
        if number >= 2
    ]
    table = Table("Clusters kept", PRUNED.format(kept), ("of", "criterion", ""), lines)
    numbers = {**evaluation.numbers, "num_clusters": float(kept)}
    return evaluation._replace(numbers=numbers, tables=(table, *evaluation.tables))


def _densities(trained, dataset, split, batch_size, limit):
    """[rows, modality, cluster] of "cluster_densities", presence, and labels."""
    first = next(batches(dataset, split, batch_size))
    targets = ("label", "present") if "present" in first else ("label",)
    density, entries = collect_targets(
        trained,
        dataset,
        split,
        batch_size,
        targets,
        limit=limit,
        output="cluster_densities",
    )
    here = entries.get("present", np.ones(density.shape[:2], bool))
    return density, here, entries["label"]


def _table(table, names):
    return Table(
        title="Clusters and classes",
        note="How many rows each cluster has of each class.",
        header=("cluster", *(str(name) for name in names)),
        rows=[(str(i), *map(float, row)) for i, row in enumerate(table)],
    )
