"""Trees of logits on the host: arrays and memory maps, read by threads.

The first pass reads every row once and keeps its best two classes with their
confidences. That is all that scores and groups of one need; later groups read their
own rows again, and no others. Threads share the rows of a step.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from repr_jax.estimators.hierarchy import arithmetic, merging
from repr_jax.estimators.hierarchy.merging import Aggregation, Hierarchy, sum_mean
from repr_jax.ops import checks

BUFFER_BYTES = 2**19  # of float32 in a block; three of them stay in a core's cache
CHUNK_BYTES = 2**26  # of logits between two calls of `progress`, and in a spool's chunk
EXACT = 2**22  # int32 summed as float64 by bincount without rounding

Progress = Callable[[str, int, int], None]  # what, done, in all


class FirstPass(NamedTuple):
    """The two best classes of every row, with confidences in fixed point."""

    first: np.ndarray  # [rows] int32
    first_confidence: np.ndarray  # [rows] int32
    second: np.ndarray  # [rows] int32
    second_confidence: np.ndarray  # [rows] int32, when the first class is masked


class Reader:
    """Threads with their buffers, for logits [rows, K] that may be a memory map."""

    def __init__(self, columns: int, dtype, scale, num_threads: int | None):
        self.columns, self.scale = columns, scale
        self.block = max(1, BUFFER_BYTES // (4 * columns))
        if num_threads is None:
            here = getattr(os, "sched_getaffinity", None)  # not on every system
            num_threads = len(here(0)) if here else os.cpu_count()
        self.work = [
            (
                arithmetic.Workspace(self.block, columns),
                np.empty((self.block, columns), dtype),
            )
            for _ in range(num_threads)
        ]
        self.pool = ThreadPoolExecutor(num_threads)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pool.shutdown(cancel_futures=True)

    def share(self, task, num_rows: int) -> None:
        """task(start, stop, workspace, buffer) for blocks of rows, in all threads."""
        starts = range(0, num_rows, self.block)

        def run(turn):
            for start in starts[turn :: len(self.work)]:
                stop = min(start + self.block, num_rows)
                task(start, stop, *self.work[turn])

        if len(starts) < 2 or len(self.work) == 1:
            for start in starts:
                stop = min(start + self.block, num_rows)
                task(start, stop, *self.work[0])
        else:
            list(self.pool.map(run, range(len(self.work))))  # raises what they raise

    def first_pass(self, logits, who: str, first_row: int = 0) -> FirstPass:
        """Best two classes of consecutive rows; ValueError names a row not finite."""
        out = np.empty((4, len(logits)), np.int32)

        def task(start, stop, work, _):
            block = logits[start:stop]
            *found, finite = arithmetic.both_choices(block, self.scale, work)
            if not finite.all():
                raise _not_finite(who, np.asarray(block), finite, first_row + start)
            for row, x in zip(out, found):
                row[start:stop] = x

        self.share(task, len(logits))
        return FirstPass(*out)

    def masked(self, logits, rows, members) -> tuple[np.ndarray, np.ndarray]:
        """Best class and confidence of these rows without the classes of the group."""
        bias = np.zeros(self.columns, np.float32)
        bias[members] = -np.inf
        best, confidence = np.empty((2, len(rows)), np.int32)

        def task(start, stop, work, buffer):
            block = buffer[: stop - start]
            np.take(logits, rows[start:stop], axis=0, out=block, mode="clip")
            best[start:stop], confidence[start:stop] = arithmetic.masked(
                block, bias, self.scale, work
            )

        self.share(task, len(rows))
        return best, confidence


def _not_finite(who, block, finite, first_row) -> ValueError:
    row = int(finite.argmin())
    values = block[row].astype(np.float32)
    column = int(np.isfinite(values).argmin())
    return ValueError(
        f"{who}: expected finite logits; got {values[column]} in row "
        f"{first_row + row}, column {column}."
    )


def exact_bincount(index, values, length: int) -> np.ndarray:
    """[length] int64 sums of int32 values by index."""
    out = np.zeros(length, np.int64)
    for start in range(0, len(index), EXACT):
        part = slice(start, start + EXACT)
        out += np.bincount(index[part], values[part], length).astype(np.int64)
    return out


def grow(
    reader: Reader,
    logits,
    passed: FirstPass,
    *,
    rows=None,
    aggregation,
    empty,
    progress,
):
    """Merges from a first pass; `rows` counts every row so often (a bootstrap).

    Returns:
      Steps, and sums and counts as `merge_all` takes them.
    """
    k = reader.columns
    if rows is None:
        rows = np.arange(len(passed.first))
    order = rows[np.argsort(passed.first[rows], kind="stable")]
    counts = np.bincount(passed.first[rows], minlength=k).astype(np.int64)
    ends = np.cumsum(counts)
    sums = exact_bincount(passed.first[rows], passed.first_confidence[rows], k)

    def reassign(members):
        parts = [order[ends[c] - counts[c] : ends[c]] for c in members]
        chosen = np.concatenate(parts)
        if len(members) == 1:
            best, confidence = passed.second[chosen], passed.second_confidence[chosen]
        else:
            best, confidence = reader.masked(logits, chosen, members)
        moved = exact_bincount(best, confidence, k)
        return moved, np.bincount(best, minlength=k)

    steps = merging.merge_all(
        sums, counts, reassign, aggregation=aggregation, empty=empty, progress=progress
    )
    return steps, sums, counts


def check_logits(who: str, logits):
    """The array or memory map itself, after what can be told without reading it."""
    logits = logits if isinstance(logits, np.ndarray) else np.asarray(logits)
    if not logits.dtype.isnative:
        raise TypeError(f"{who}: expected native byte order; got {logits.dtype}.")
    checks.same_shape(who, rank=2, logits=logits)
    checks.floating(who, logits=logits)
    if 0 in logits.shape:
        raise ValueError(f"{who}: expected rows and classes; got {logits.shape}.")
    return logits


def one_class(num_rows: int, *, height, empty) -> Hierarchy:
    """The tree of a single leaf: no merges; every confidence is 1."""
    one = np.array([num_rows], np.int64)
    sums = one << arithmetic.FRACTION
    steps = merging.merge_all(sums, one, None)
    return merging.finish(
        steps, np.zeros(num_rows), sums, one, height=height, empty=empty
    )


def told(progress: Progress | None, what: str):
    return None if progress is None else lambda *numbers: progress(what, *numbers)


def read_all(reader: Reader, logits, who: str, progress: Progress | None) -> FirstPass:
    """The first pass over an array, in chunks between which progress is told."""
    size = max(reader.block, CHUNK_BYTES // max(logits[:1].nbytes, 1))
    parts = []
    for start in range(0, len(logits), size):
        chunk = logits[start : start + size]
        parts.append(reader.first_pass(chunk, who, start))
        if progress is not None:
            progress("rows read", start + len(chunk), len(logits))
    return FirstPass(*(np.concatenate(x) for x in zip(*parts)))


def fit(
    logits,
    *,
    aggregation: Aggregation = sum_mean,
    empty: str = "last",
    height: str = "score",
    temperature: float = 1.0,
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> Hierarchy:
    """Merges classes bottom-up by where rows go when their own group is taken away.

    With p = softmax(logits / temperature), h = argmax p and g = max p of a row, every
    class starts as a group. K - 1 times: the group G of least score,
    s(G) = sum_{c in G} mean_{h = c} g, is picked; each of its rows is re-assigned to
    the best class c outside G, with the confidence
    exp(logit_c) / sum_{j not in G} exp(logit_j); and G joins the group whose clusters
    draw the most confidence on average. Of equals, the group with the lowest class.

    Reads a row once, and again for every time that its group is picked with two or
    more classes, at most log2(sum_c s_c / min_c s_c) times in all for scores that add
    up. So O(rows K log K + K^2) time, with some 50 bytes per row besides the logits.

    Args:
      logits: [rows, K] float of any width, such as a memory map: rows are read when
        they are needed. float64 is rounded to float32.
      aggregation: sum_mean, sum_sum, mean_mean or mean_all. The last two make chains.
      empty: of classes that are no row's best. "last": they join the root in the
        end, one by one. "zero": their score is 0, so they are picked first, and join
        the lowest other class, as no row says better. "drop": not in the tree;
        `leaves` says which are. The paper does not say.
      height: "score" of the picked group (the largest so far, which sum_mean and
        sum_sum have by themselves), "step" (1, 2, ...), or "neg_affinity", 1 minus
        the confidence drawn per row, the largest so far. The paper gives the order.
      temperature: > 0, divides the logits. The tree depends on it.
      num_threads: all that this process may use if None.
      progress: called with what is counted, how many are done, and of how many.

    Returns:
      Hierarchy. The same to the last bit as those of `fit_dense`, `fit_stream` and
      `fit_sharded`, whatever the blocks, threads and devices.

    Raises:
      ValueError: an empty array, a row that is not finite (which is named), an option
        that does not exist. TypeError: integers.

    Source: Palumbo, Vandenhirtz, Ryser, Daunhawer and Vogt, "From Logits to
      Hierarchies: Hierarchical Clustering made Simple", 2025,
      https://arxiv.org/abs/2410.07858. Ties, empty classes, heights, mean_mean and
      mean_all are ours.
    """
    logits = check_logits("fit", logits)
    merging.check_options("fit", empty=empty, height=height, temperature=temperature)
    num_rows, k = logits.shape
    if k == 1:
        return one_class(num_rows, height=height, empty=empty)
    scale = arithmetic.log2_scale(temperature)
    with Reader(k, logits.dtype, scale, num_threads) as reader:
        passed = read_all(reader, logits, "fit", progress)
        steps, sums, counts = grow(
            reader,
            logits,
            passed,
            aggregation=aggregation,
            empty=empty,
            progress=told(progress, "merges"),
        )
    return merging.finish(steps, passed.first, sums, counts, height=height, empty=empty)
