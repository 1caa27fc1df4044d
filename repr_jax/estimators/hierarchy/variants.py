"""Relatives of the algorithm: expected re-assignments, bootstrap, class vectors."""

import numpy as np

from repr_jax.estimators.hierarchy import arithmetic, host, merging
from repr_jax.estimators.hierarchy.merging import Aggregation, Hierarchy, sum_mean
from repr_jax.ops import checks


def fit_soft(
    logits,
    *,
    aggregation: Aggregation = sum_mean,
    empty: str = "last",
    height: str = "score",
    temperature: float = 1.0,
    num_threads: int | None = None,
) -> Hierarchy:
    """An approximation that reads the logits once: expected re-assignments (ours).

    With M_cd = sum_{h = c} p_d over rows, a group G draws
    sum_{c in G} M_cd from class d, in place of the hard and renormalised masked
    confidence of `fit`. O(rows K + K^2 log K); not the published algorithm, and another
    tree: compare the two by `metrics.triplet_agreement`.

    Args:
      logits, aggregation, empty, height, temperature, num_threads: as for `fit`.

    Returns:
      Hierarchy; supports are NaN, as no row is re-assigned.

    Raises:
      ValueError, TypeError: as `fit`.
    """
    logits = host.check_logits("fit_soft", logits)
    merging.check_options(
        "fit_soft", empty=empty, height=height, temperature=temperature
    )
    num_rows, k = logits.shape
    if k == 1:
        return host.one_class(num_rows, height=height, empty=empty)
    scale = arithmetic.log2_scale(temperature)
    flow = np.zeros((k, k))
    with host.Reader(k, logits.dtype, scale, num_threads) as reader:
        passed = host.read_all(reader, logits, "fit_soft", None)
        order = np.argsort(passed.first, kind="stable")
        for start in range(0, num_rows, reader.block):
            rows = order[start : start + reader.block]
            x = np.asarray(logits[rows], np.float64) / temperature
            p = np.exp(x - x.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            names, starts = np.unique(passed.first[rows], return_index=True)
            flow[names] += np.add.reduceat(p, starts, axis=0)

    def reassign(members):
        moved = np.rint(flow[members].sum(axis=0) * 2**arithmetic.FRACTION)
        moved[members] = 0
        return moved.astype(np.int64), np.zeros(k, np.int64)

    counts = np.bincount(passed.first, minlength=k).astype(np.int64)
    sums = host.exact_bincount(passed.first, passed.first_confidence, k)
    steps = merging.merge_all(
        sums, counts, reassign, aggregation=aggregation, empty=empty
    )
    tree = merging.finish(steps, passed.first, sums, counts, height=height, empty=empty)
    return tree._replace(supports=np.full(k - 1, np.nan)[: len(tree.supports)])


def bootstrap(
    logits,
    *,
    num_samples: int = 20,
    seed: int = 0,
    aggregation: Aggregation = sum_mean,
    empty: str = "last",
    temperature: float = 1.0,
    num_threads: int | None = None,
    progress: host.Progress | None = None,
) -> list[Hierarchy]:
    """Trees of rows drawn with replacement; see `clade_support`.

    Args:
      logits, aggregation, empty, temperature, num_threads, progress: as for `fit`, but
        for empty="drop", with which trees would differ in their leaves.
      num_samples: how many trees. The first pass is made once for all of them.
      seed: tree i depends on (seed, i) alone.

    Returns:
      num_samples trees; the assignments are those of the drawn rows, in their order.

    Raises:
      ValueError, TypeError: as `fit`.
    """
    logits = host.check_logits("bootstrap", logits)
    merging.check_options(
        "bootstrap", empty=empty, height="score", temperature=temperature
    )
    checks.one_of("bootstrap", ("last", "zero"), empty=empty)
    checks.count("bootstrap", num_samples=num_samples)
    num_rows, k = logits.shape
    if k == 1:
        return [host.one_class(num_rows, height="score", empty=empty)] * num_samples
    scale = arithmetic.log2_scale(temperature)
    trees = []
    with host.Reader(k, logits.dtype, scale, num_threads) as reader:
        passed = host.read_all(reader, logits, "bootstrap", None)
        for sample in range(num_samples):
            rng = np.random.default_rng((seed, sample))
            rows = np.sort(rng.integers(num_rows, size=num_rows))
            steps, sums, counts = host.grow(
                reader,
                logits,
                passed,
                rows=rows,
                aggregation=aggregation,
                empty=empty,
                progress=None,
            )
            first = passed.first[rows]
            trees.append(
                merging.finish(steps, first, sums, counts, height="score", empty=empty)
            )
            if progress is not None:
                progress("bootstrap trees", sample + 1, num_samples)
    return trees


def class_vector_logits(kernel, bias, *, length: float) -> np.ndarray:
    """[K, K] float64: what a linear classifier says of its own class vectors.

    logits_ij = length * w_i . w_j / |w_i| + b_j: a tree without any data (ours), of one
    row for each class. With no bias row i is of class i if no other vector reaches
    further into its direction.

    Args:
      kernel: [dim, K] float, a vector w for each class in its columns.
      bias: [K] float.
      length: > 0, of the rows, as long as the features that the classifier is used to.
        The longer, the nearer to 1 are confidences, of which `fit` keeps float32:
        where many are within 1e-7 of 1, the order of such classes is lost.

    Raises:
      ValueError: shapes do not fit, a vector is zero, or length is not above 0.
    """
    who = "class_vector_logits"
    kernel, bias = np.asarray(kernel, np.float64), np.asarray(bias, np.float64)
    checks.same_shape(who, rank=2, kernel=kernel)
    checks.shape(who, kernel.shape[1:], bias=bias)
    checks.positive(who, length=length)
    norm = np.linalg.norm(kernel, axis=0)
    if not np.all(norm > 0):
        raise ValueError(f"{who}: expected vectors; that of {norm.argmin()} is zero.")
    return length * (kernel / norm).T @ kernel + bias
