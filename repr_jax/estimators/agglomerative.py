"""Agglomerative clustering: the two nearest groups are merged, until one is left.

Linkage is scipy's, on the host in float64. It takes O(rows^2) time and memory, so large
sets are clustered by a subsample of rows, or by the means of their classes.
"""

from typing import NamedTuple

import numpy as np

from repr_jax import trees
from repr_jax.ops import checks

METHODS = ("average", "ward", "complete", "single")
METRICS = ("euclidean", "cosine", "cityblock")
MAX_BYTES = 2**32  # of distances that `fit` computes unasked
ROWS_AT_A_TIME = 4096  # that `assign` compares with the leaves


class Agglomerative(NamedTuple):
    """A binary tree over L groups of rows, in the form of `repr_jax.trees`.

    Leaves are numbered by their first row; node L + t is merge t of them.
    """

    parents: np.ndarray  # [2 L - 1] int32, -1 for the root
    heights: np.ndarray  # [2 L - 1] float64, distance of a node's children; 0 of leaves
    assignments: np.ndarray  # [rows] int32, the leaf of each row
    means: np.ndarray  # [L, dim] float64, of the rows of each leaf that were merged
    metric: str  # of the distances, also of `assign`

    @property
    def linkage(self) -> np.ndarray:
        """[L - 1, 4] float64 as scipy has it: two nodes, height, leaves below."""
        return trees.to_linkage(self.parents, self.heights)


def fit(
    x,
    *,
    num_leaves: int,
    method: str = "average",
    metric: str = "euclidean",
    max_rows: int | None = None,
    seed: int = 0,
) -> Agglomerative:
    """The tree of all rows, cut where num_leaves groups are left.

    Distances of a merged group i + j to another k, with n rows each:
      single    min(d_ik, d_jk)
      complete  max(d_ik, d_jk)
      average   (n_i d_ik + n_j d_jk) / (n_i + n_j)
      ward      sqrt(((n_i + n_k) d_ik^2 + (n_j + n_k) d_jk^2 - n_k d_ij^2) / n), where
                n = n_i + n_j + n_k: the merge that raises the squared distances of
                rows to the means of their groups least.

    Args:
      x: [rows, dim] float.
      num_leaves: from 1 to the number of rows that are merged.
      method: one of METHODS.
      metric: one of METRICS; ward takes "euclidean" alone.
      max_rows: the largest number of rows to merge. If there are more, so many are
        drawn, and the others join the leaf of the nearest mean, by `assign`. None
        merges all, if their distances and scipy's copy of them, 8 rows (rows - 1)
        bytes, stay within 4 GiB.
      seed: of the draw.

    Raises:
      ValueError: x is not of rank 2 or has entries that are not finite, rows of zeros
        under "cosine", an unknown method or metric, more leaves than rows, or rows
        whose distances take too much memory.
      TypeError: integers in x.

    Source: Lance and Williams, "A general theory of classificatory sorting strategies",
      1967; Ward, "Hierarchical grouping to optimize an objective function", 1963 (both
      from memory). As a peer of hierarchies from logits in Palumbo et al., 2025, whose
      linkage and number of leaves are not known to us.
    """
    who = "agglomerative.fit"
    _check_choices(who, method, metric)
    checks.count(who, num_leaves=num_leaves)
    x = _rows(who, x, metric)
    rows = _subsample(who, len(x), num_leaves, max_rows, seed)
    linkage = _linkage(x[rows], method, metric)
    parents, heights, leaf = trees.from_linkage(linkage, num_leaves)
    means = _means(x[rows], leaf, num_leaves)
    fitted = Agglomerative(parents, heights, leaf, means, metric)
    if len(rows) == len(x):
        return fitted
    others = np.setdiff1d(np.arange(len(x)), rows)
    assignments = np.empty(len(x), np.int32)
    assignments[rows] = leaf
    assignments[others] = assign(fitted, x[others])
    return fitted._replace(assignments=assignments)


def fit_classes(
    x, labels, *, method: str = "average", metric: str = "euclidean"
) -> Agglomerative:
    """The tree of the class means: leaf c is class c, and a row is in its own class.

    Args:
      x: [rows, dim] float.
      labels: [rows] int, from 0; every class up to the largest has a row.
      method, metric: as for `fit`.

    Raises:
      ValueError: as `fit`, or labels of another length, negative or with gaps.
      TypeError: as `fit`, or labels that are not whole numbers.
    """
    who = "agglomerative.fit_classes"
    _check_choices(who, method, metric)
    x, labels = _rows(who, x, None), np.asarray(labels)
    checks.shape(who, (len(x),), labels=labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{who}: expected labels of integers; got {labels.dtype}.")
    num = int(labels.max()) + 1
    missing = np.setdiff1d(np.arange(num), labels)
    if labels.min() < 0 or len(missing):
        raise ValueError(
            f"{who}: expected rows of every class from 0 to {num - 1}; got labels from "
            f"{labels.min()}, without {missing[:5].tolist()}."
        )
    means = _means(x, labels, num)
    linkage = _linkage(_rows(who, means, metric), method, metric)
    parents, heights, leaf = trees.from_linkage(linkage)
    return Agglomerative(parents, heights, leaf[labels], means, metric)


def assign(fitted: Agglomerative, x) -> np.ndarray:
    """[rows, dim] -> [rows] int32, the leaf of the nearest mean; the first of equals.

    Nearest by the metric of the fit. ValueError for rows of another width, or as in
    `fit`.
    """
    from scipy.spatial.distance import cdist

    who = "agglomerative.assign"
    x = _rows(who, x, fitted.metric)
    checks.shape(who, (len(x), fitted.means.shape[1]), x=x)
    out = np.empty(len(x), np.int32)
    for start in range(0, len(x), ROWS_AT_A_TIME):
        some = slice(start, start + ROWS_AT_A_TIME)
        distance = cdist(x[some], fitted.means, fitted.metric)
        distance[np.isnan(distance)] = np.inf  # to a mean of zeros, by cosine
        out[some] = distance.argmin(axis=1)
    return out


def _subsample(who, num_rows, num_leaves, max_rows, seed):
    """The rows to merge, rising; ValueError for too few, or too many for the memory."""
    rows = np.arange(num_rows)
    if max_rows is not None:
        checks.count(who, max_rows=max_rows)
        if num_rows > max_rows:
            drawn = np.random.default_rng(seed).choice(num_rows, max_rows, False)
            rows = np.sort(drawn)
    if num_leaves > len(rows):
        raise ValueError(
            f"{who}: expected at most as many leaves as rows, {len(rows)}; got "
            f"num_leaves {num_leaves}."
        )
    needed = 8 * len(rows) * (len(rows) - 1)
    if needed > MAX_BYTES:
        raise ValueError(
            f"{who}: expected at most {MAX_BYTES} bytes of distances, or max_rows to "
            f"merge a subsample; got {len(rows)} rows, which need {needed} bytes."
        )
    return rows


def _linkage(x, method, metric):
    """scipy's linkage; of one row, none."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist

    if len(x) == 1:
        return np.empty((0, 4))
    return linkage(pdist(x, metric), method)


def _means(x, leaf, num_leaves):
    total = np.zeros((num_leaves, x.shape[1]))
    np.add.at(total, leaf, x)
    return total / np.bincount(leaf, minlength=num_leaves)[:, None]


def _rows(who, x, metric):
    """x in float64, refused if distances of it would make no sense."""
    x = np.asarray(x)
    checks.same_shape(who, rank=2, x=x)
    checks.floating(who, x=x)
    checks.count(who, **{"rows of x": len(x)})
    x = x.astype(np.float64)
    bad = ~np.isfinite(x).all(axis=1)
    if metric == "cosine":
        bad |= ~x.any(axis=1)
    if bad.any():
        wanted = "finite rows" + (", none of zeros," * (metric == "cosine"))
        row = int(bad.argmax())
        raise ValueError(
            f"{who}: expected {wanted} in x; got {x[row][:5].tolist()} in row {row}."
        )
    return x


def _check_choices(who, method, metric):
    checks.one_of(who, METHODS, method=method)
    checks.one_of(who, METRICS, metric=metric)
    if method == "ward" and metric != "euclidean":
        raise ValueError(f'{who}: expected metric "euclidean" of ward; got {metric!r}.')
