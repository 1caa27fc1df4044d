"""Scores of trees over clusters, and of trees over named classes; tables of both."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.results import tables
from repr_jax import figures, metrics, trees


class Tree(NamedTuple):
    """What a method makes of some rows: clusters, and a tree over them."""

    parents: np.ndarray  # [nodes] int, leaves first, the root last, see metrics
    assignments: np.ndarray  # [rows] int, the leaf of each row
    seconds: float = 0.0  # that it took, without what it was given
    logits: np.ndarray | None = None  # [rows, leaves], where the tree is made of them


def of_clusters(tree: Tree, labels, coarse=None) -> dict[str, float]:
    """How the leaves and the tree over them agree with the classes of rows.

    labels: [rows] int from 0; coarse: [rows] int, classes of classes, or None. With
    them the tree is also cut into as many groups as there are coarse classes.
    """
    num = trees.count_leaves(tree.parents)
    table = metrics.contingency(tree.assignments, labels, num_clusters=num)
    parents = tree.parents
    heights = trees.sizes(parents) - 1
    found = {
        "leaves": float(np.sum(table.sum(axis=1) > 0)),
        "NMI": metrics.nmi(table),
        "ARI": metrics.adjusted_rand_index(table),
        "ACC": metrics.hungarian_accuracy(table),
        "leaf purity": metrics.leaf_purity(table),
        "dendrogram purity": metrics.dendrogram_purity(parents, table),
        "macro dendrogram purity": metrics.macro_dendrogram_purity(parents, table),
        "lhd_pair": metrics.lhd_pair(parents, table),
        "lhd_mistake": metrics.lhd_mistake(parents, table, heights),
        "lhd_log": metrics.lhd_log(parents, table),
    }
    if coarse is not None:
        table = metrics.contingency(tree.assignments, coarse, num_clusters=num)
        cut = trees.cut(parents, min(table.shape[1], num))[tree.assignments]
        cut_table = metrics.contingency(cut, coarse)
        found["coarse dendrogram purity"] = metrics.dendrogram_purity(parents, table)
        found["coarse NMI"] = metrics.nmi(cut_table)
        found["coarse ARI"] = metrics.adjusted_rand_index(cut_table)
    return found | {"seconds": tree.seconds}


def random_tree(seed: int, num_leaves: int) -> np.ndarray:
    """[2 num_leaves - 1] parents: two random groups are joined at a time."""
    return trees.random_binary(np.random.default_rng(seed), num_leaves)


def reference_tree(coarse: np.ndarray) -> np.ndarray:
    """[L + groups + 1] parents: leaves below their group, groups below the root.

    coarse: [L] int, the group of each leaf, all of 0 ... groups - 1 occurring.
    """
    num = len(coarse)
    groups = int(coarse.max()) + 1
    above = [num + groups] * groups
    return np.concatenate([num + coarse, above, [-1]])


def of_taxonomy(tree: Tree, coarse: np.ndarray) -> dict[str, float]:
    """How a tree over classes agrees with a two-level taxonomy of them.

    coarse: [L] int, the group of each class.
    """
    reference = reference_tree(coarse)
    members = coarse[None] == np.arange(coarse.max() + 1)[:, None]
    best = metrics.best_f1(tree.parents, members)
    size = members.sum(axis=1)
    cut = trees.cut(tree.parents, len(members))
    table = metrics.contingency(cut, coarse)
    return {
        "best F1": float(np.mean(best)),
        "best F1 by size": float(np.sum(best * size) / np.sum(size)),
        "triplets": metrics.triplet_agreement(tree.parents, reference),
        "cophenetic": metrics.cophenetic_correlation(
            tree.parents,
            reference,
            trees.sizes(tree.parents),
            trees.sizes(reference),
        ),
        "Robinson-Foulds": metrics.robinson_foulds(tree.parents, reference),
        "coarse NMI": metrics.nmi(table),
        "coarse ARI": metrics.adjusted_rand_index(table),
        "seconds": tree.seconds,
    }


LOWER = ("lhd_pair", "lhd_mistake", "lhd_log", "Robinson-Foulds", "seconds")
SILENT = ("leaves", "depth", "seconds")  # never the best


FORMATS = {"leaves": ".0f", "depth": ".0f", "seconds": ".2f"}
CSV_HEADER = ("method", "seed", "metric", "value")


def table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> tables.Table:
    """{method: a dict a seed} as mean and spread; the best mean of a column is bold."""
    columns = list(next(iter(found.values()))[0])
    cells = {
        (method, column): tables.over_seeds(seed[column] for seed in seeds)
        for method, seeds in found.items()
        for column in columns
    }
    for column in columns:
        means = {method: cells[method, column].mean for method in found}
        best = (min if column in LOWER else max)(means.values())
        for method, mean in means.items():
            shown = dict(sd=None) if column in SILENT else dict(best=mean == best)
            cells[method, column] = cells[method, column]._replace(**shown)
    return tables.Table(
        ("method", *(c + (" ↓" if c in LOWER else "") for c in columns)),
        [(method, *(cells[method, column] for column in columns)) for method in found],
        ("", *(FORMATS.get(column, ".3f") for column in columns)),
    )


def csv_rows(found: Mapping[str, Sequence[Mapping[str, float]]]) -> Iterator[tuple]:
    """Rows of CSV_HEADER: every number of every seed."""
    for method, seeds in found.items():
        for seed, values in enumerate(seeds):
            for metric, value in values.items():
                yield method, seed, metric, value


def draw(found: Mapping[str, Sequence[Mapping[str, float]]], shown) -> bytes:
    """A panel for each of the metrics `shown`: a bar a method, a point a seed."""
    from matplotlib.figure import Figure

    methods = list(found)
    size = (2.4 * len(shown) + 2.2, 0.34 * len(methods) + 1.0)
    figure = Figure(figsize=size, dpi=figures.DPI, layout="constrained")
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    place = np.arange(len(methods))
    for axis, metric in zip(axes, shown):
        values = [[seed[metric] for seed in found[method]] for method in methods]
        axis.barh(place, [np.mean(v) for v in values], color=figures.GRID)
        for at, points in zip(place, values):
            axis.plot(points, [at] * len(points), "o", color=figures.INK, markersize=3)
        better = "lower is better" if metric in LOWER else "higher is better"
        axis.set_title(f"{metric}\n{better}", fontsize=8, loc="left")
        axis.set_yticks(place, methods, fontsize=8)
        figures.tidy(axis)
    axes[0].invert_yaxis()
    return figures.png(figure)
