"""How well clusters agree with classes: functions of their contingency table.

    table = metrics.contingency(assignments, labels)
    metrics.adjusted_rand_index(table)

On the host and in float64, since pairs of rows are too many for float32. Tables of
parts of the data add up to that of the whole. Rows of a table are clusters, or the
leaves of a tree; columns are classes.
"""

import numpy as np
from numpy.typing import ArrayLike

from repr_jax.ops import checks


def contingency(
    assignments: ArrayLike,
    labels: ArrayLike,
    *,
    num_clusters: int | None = None,
    num_classes: int | None = None,
    where: np.ndarray | None = None,
) -> np.ndarray:
    """How many rows each cluster has of each class.

    Args:
      assignments: [rows] int from 0, the cluster of each row.
      labels: [rows] int from 0, its class.
      num_clusters, num_classes: the table's shape; as many as there are if None.
      where: [rows] bool, False for rows that do not count; None if all do.

    Returns:
      [clusters, classes] int64.

    Raises:
      ValueError: shapes differ, or a number is negative or too large for the table.
      TypeError: numbers that are not whole.
    """
    who = "contingency"
    assignments, labels = np.asarray(assignments), np.asarray(labels)
    checks.same_shape(who, rank=1, assignments=assignments, labels=labels)
    if where is not None:
        checks.shape(who, labels.shape, where=where)
        checks.boolean(who, where=where)
        assignments, labels = assignments[where], labels[where]
    shape = []
    for name, x, size in [
        ("assignments", assignments, num_clusters),
        ("labels", labels, num_classes),
    ]:
        if x.dtype.kind not in "iu":
            raise TypeError(f"{who}: expected {name} of whole numbers; got {x.dtype}.")
        low, high = (x.min(), x.max()) if len(x) else (0, -1)
        size = int(high) + 1 if size is None else size
        if low < 0 or high >= size:
            raise ValueError(
                f"{who}: expected {name} from 0 to {size - 1}; got {low} to {high}."
            )
        shape.append(size)
    index = assignments.astype(np.int64) * shape[1] + labels.astype(np.int64)
    return np.bincount(index, minlength=shape[0] * shape[1]).reshape(shape)


def check_table(who: str, table: ArrayLike) -> np.ndarray:
    """The table in float64; ValueError unless it is a matrix of counts, not all 0."""
    table = np.asarray(table, np.float64)
    checks.same_shape(who, rank=2, table=table)
    checks.finite(who, table=table)
    if not table.sum() > 0 or table.min() < 0:
        raise ValueError(f"{who}: expected counts of one row or more in the table.")
    return table


def entropy(p: np.ndarray) -> float:
    """-sum p log p of probabilities, in nats."""
    p = p[p > 0]
    return float(-np.sum(p * np.log(p)))


def _information(who, table) -> tuple[float, float, float]:
    """Mutual information, entropy of clusters, entropy of classes; nats."""
    p = check_table(who, table)
    p = p / p.sum()
    clusters, classes = entropy(p.sum(axis=1)), entropy(p.sum(axis=0))
    return max(clusters + classes - entropy(p), 0.0), clusters, classes


def nmi(table: ArrayLike) -> float:
    """Mutual information over the arithmetic mean of both entropies.

    Returns:
      in [0, 1], 1 is the same partition; 1 if both have a single part. The
      normalization of scikit-learn's default.

    Raises:
      ValueError: table is not [clusters, classes] of counts.
    """
    information, clusters, classes = _information("nmi", table)
    mean = (clusters + classes) / 2
    return information / mean if mean > 0 else 1.0


def nmi_geometric(table: ArrayLike) -> float:
    """Mutual information over the geometric mean of both entropies.

    Returns:
      in [0, 1], 1 is the same partition, and never below `nmi`; 1 if both have a single
      part, 0 if one of them has.

    Raises:
      ValueError: table is not [clusters, classes] of counts.
    """
    information, clusters, classes = _information("nmi_geometric", table)
    if clusters == classes == 0:
        return 1.0
    mean = np.sqrt(clusters * classes)
    return float(information / mean) if mean > 0 else 0.0


def pairs(counts: np.ndarray) -> np.ndarray:
    """n (n - 1) / 2, elementwise."""
    return counts * (counts - 1) / 2


def adjusted_rand_index(table: ArrayLike) -> float:
    """Share of pairs of rows that are treated alike, so that chance gives 0.

    (together - expected) / (maximum - expected), where `together` pairs share cluster
    and class, `expected` of them by chance, and `maximum` is the mean of the pairs that
    share a cluster and those that share a class.

    Returns:
      at most 1, which is the same partition; about 0 for independent ones; 1 if both
      are trivial in the same way.

    Raises:
      ValueError: table is not [clusters, classes] of counts.

    Source: Hubert and Arabie, "Comparing partitions", 1985, eq. 5.
    """
    table = check_table("adjusted_rand_index", table)
    together = pairs(table).sum()
    clusters, classes = pairs(table.sum(axis=1)).sum(), pairs(table.sum(axis=0)).sum()
    total = pairs(table.sum())
    expected = clusters * classes / total if total else 0.0
    maximum = (clusters + classes) / 2
    if maximum == expected:
        return 1.0
    return float((together - expected) / (maximum - expected))


def hungarian_matching(table: ArrayLike) -> np.ndarray:
    """[clusters] int: the class of each cluster in the best one-to-one matching.

    -1 for clusters that get none, as there are more clusters than classes. By
    scipy.optimize.linear_sum_assignment, on the host.
    """
    from scipy.optimize import linear_sum_assignment

    table = check_table("hungarian_matching", table)
    clusters, classes = linear_sum_assignment(table, maximize=True)
    out = np.full(len(table), -1)
    out[clusters] = classes
    return out


def hungarian_accuracy(table: ArrayLike) -> float:
    """Share of rows in the cluster that is matched to their class, at best.

    max over one-to-one maps m of sum_k table[k, m(k)] / rows. Needs scipy.

    Returns:
      in (0, 1], 1 is the same partition.

    Raises:
      ValueError: table is not [clusters, classes] of counts.
    """
    table = check_table("hungarian_accuracy", table)
    matching = hungarian_matching(table)
    found = np.flatnonzero(matching >= 0)
    return float(table[found, matching[found]].sum() / table.sum())


def majority_accuracy(fitted_table: ArrayLike, table: ArrayLike) -> float:
    """Share of rows that are of their cluster's most frequent class in other rows.

    sum_k table[k, argmax_y fitted_table[k, y]] / rows; the first class where equal, so
    that clusters without a row in fitted_table stand for class 0. Two clusters may have
    one class, so many small clusters score high: compare at equal numbers of them.

    Args:
      fitted_table: [clusters, classes] counts of rows that name the clusters.
      table: of the same shape, counts of the rows that are judged.

    Returns:
      in [0, 1], 1 if each cluster has rows of its class alone.

    Raises:
      ValueError: not two tables of counts of one shape.
    """
    who = "majority_accuracy"
    fitted, table = (check_table(who, t) for t in (fitted_table, table))
    checks.same_shape(who, fitted_table=fitted, table=table)
    named = np.argmax(fitted, axis=1)
    return float(table[np.arange(len(table)), named].sum() / table.sum())


def leaf_purity(table: ArrayLike) -> float:
    """Share of rows that are of the largest class of their leaf (or cluster).

    Returns:
      in (0, 1], 1 if no leaf mixes classes. Leaves weigh as they have rows.

    Raises:
      ValueError: table is not [leaves, classes] of counts.
    """
    table = check_table("leaf_purity", table)
    return float(table.max(axis=1).sum() / table.sum())


def mean_leaf_purity(table: ArrayLike) -> float:
    """Mean over the leaves with rows of the share of their largest class; (0, 1]."""
    table = check_table("mean_leaf_purity", table)
    table = table[table.sum(axis=1) > 0]
    return float(np.mean(table.max(axis=1) / table.sum(axis=1)))
