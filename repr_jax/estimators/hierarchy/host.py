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
from repr_jax.estimators.hierarchy.merging import (
    Aggregation,
    Hierarchy,
    Rules,
    rules_of,
    sum_mean,
)
from repr_jax.ops import checks

BUFFER_BYTES = 2**19  # of float32 in a block; three of them stay in a core's cache
CHUNK_BYTES = 2**26  # of logits between two calls of `progress`, and in a spool's chunk
EXACT = 2**22  # int32 summed as float64 by bincount without rounding

Progress = Callable[[str, int, int], None]  # what, done, in all


class FirstPass(NamedTuple):
    """The two best classes of every row, with confidences in fixed point."""

    first: np.ndarray  # [rows] int32
    first_confidence: np.ndarray  # [rows] int32
    second: np.ndarray | None  # [rows] int32
    second_confidence: np.ndarray | None  # [rows] int32, when the first is masked


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

        if len(starts) < 2:
            run(0)
        else:
            list(self.pool.map(run, range(len(self.work))))  # raises what they raise

    def first_pass(self, logits, who: str, first_row: int = 0) -> FirstPass:
        """Best two classes of consecutive rows; ValueError names a row not finite."""
        out = np.empty((4, len(logits)), np.int32)

        def task(start, stop, work, _):
            block = logits[start:stop]
            *found, finite = arithmetic.both_choices(block, self.scale, work)
            if not finite.all():
                raise not_finite(who, np.asarray(block), finite, first_row + start)
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


def not_finite(who, block, finite, first_row) -> ValueError:
    """The error that names the first entry of a block that is not finite."""
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
    rules: Rules,
    *,
    rows=None,
    progress: Progress | None = None,
) -> Hierarchy:
    """The tree from a first pass; `rows` counts every row so often (a bootstrap)."""
    k = reader.columns
    first, confidence = passed.first, passed.first_confidence
    if rows is None:
        order = np.argsort(first, kind="stable")
    else:
        first, confidence = first[rows], confidence[rows]
        order = rows[np.argsort(first, kind="stable")]
    counts = np.bincount(first, minlength=k).astype(np.int64)
    ends = np.cumsum(counts)
    sums = exact_bincount(first, confidence, k)

    def reassign(members):
        chosen = np.concatenate([order[ends[c] - counts[c] : ends[c]] for c in members])
        if len(members) == 1 and passed.second is not None:
            best, drawn = passed.second[chosen], passed.second_confidence[chosen]
        else:
            best, drawn = reader.masked(logits, chosen, members)
        return exact_bincount(best, drawn, k), np.bincount(best, minlength=k)

    def merges(*numbers):
        if progress is not None:
            progress("merges", *numbers)

    steps = merging.merge_all(sums, counts, reassign, rules, merges)
    return merging.finish(steps, first, sums, counts, rules)


def check_logits(who: str, logits):
    """The array or memory map itself, checked as far as it need not be read."""
    logits = logits if isinstance(logits, np.ndarray) else np.asarray(logits)
    if not logits.dtype.isnative:
        raise TypeError(f"{who}: expected native byte order; got {logits.dtype}.")
    checks.same_shape(who, rank=2, logits=logits)
    if logits.dtype.kind in "OVSU" and logits.dtype != "bfloat16":
        raise TypeError(f"{who}: expected logits of floats; got {logits.dtype}.")
    checks.floating(who, logits=logits)
    if 0 in logits.shape:
        raise ValueError(f"{who}: expected rows and classes; got {logits.shape}.")
    return logits


def read_all(reader: Reader, logits, who: str, progress: Progress | None) -> FirstPass:
    """The first pass over an array, in chunks between which progress is reported."""
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
    """Merges classes bottom-up by their rows' next best classes.

    With p = softmax(logits / temperature), h = argmax p and g = max p of a row, every
    class starts as a group. K - 1 times: the group G of lowest score,
    s(G) = sum_{c in G} mean_{h = c} g, is merged; each of its rows is re-assigned to
    the best class c outside G, with the confidence
    exp(logit_c) / sum_{j not in G} exp(logit_j); and G is merged into the group whose
    classes draw the most confidence on average. Of equals, the group of lowest class.

    Reads a row once, and again for every time that its group is merged with two or
    more classes, at most log2(sum_c s_c / min_c s_c) times in all for scores that add
    up. So O(rows K log K + K^2) time, with some 50 bytes per row besides the logits.

    Args:
      logits: [rows, K] float of any width, such as a memory map: rows are read when
        they are needed. float64 is rounded to float32.
      aggregation: sum_mean, sum_sum, mean_mean or mean_all. The last two make chains.
      empty: of classes that are no row's best. "last": they join the root in the
        end, one by one. "zero": their score is 0, so they are merged first, into the
        lowest other class. "drop": not in the tree; `leaves` says which are. The paper
        does not say.
      height: "score" of the merged group (the largest so far, which sum_mean and
        sum_sum have by themselves), "step" (1, 2, ...), or "neg_affinity", 1 minus
        the confidence drawn per row, the largest so far. The paper gives the order.
      temperature: > 0, divides the logits. The tree depends on it.
      num_threads: all that this process may use if None.
      progress: called with what is counted, how many are done, and of how many.

    Returns:
      Hierarchy. The same to the last bit as those of `fit_stream` and `fit_sharded`,
      whatever the blocks, threads and devices.

    Raises:
      ValueError: an empty array, a row that is not finite (which is named), an option
        that does not exist. TypeError: not floats.

    Source: Palumbo, Vandenhirtz, Ryser, Daunhawer and Vogt, "From Logits to
      Hierarchies: Hierarchical Clustering made Simple", 2025,
      https://arxiv.org/abs/2410.07858. Ties, empty classes, heights, mean_mean and
      mean_all are ours.
    """
    logits = check_logits("fit", logits)
    rules = rules_of("fit", aggregation, empty, height)
    scale = arithmetic.log2_scale("fit", temperature)
    with Reader(logits.shape[1], logits.dtype, scale, num_threads) as reader:
        passed = read_all(reader, logits, "fit", progress)
        return grow(reader, logits, passed, rules, progress=progress)


def bootstrap(
    logits,
    *,
    num_samples: int = 20,
    seed: int = 0,
    aggregation: Aggregation = sum_mean,
    empty: str = "last",
    temperature: float = 1.0,
    num_threads: int | None = None,
    progress: Progress | None = None,
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
    logits = check_logits("bootstrap", logits)
    checks.one_of("bootstrap", ("last", "zero"), empty=empty)
    checks.count("bootstrap", num_samples=num_samples)
    rules = Rules(aggregation, empty, "score")
    scale = arithmetic.log2_scale("bootstrap", temperature)
    num_rows, k = logits.shape
    found = []
    with Reader(k, logits.dtype, scale, num_threads) as reader:
        passed = read_all(reader, logits, "bootstrap", None)
        for sample in range(num_samples):
            rng = np.random.default_rng((seed, sample))
            rows = np.sort(rng.integers(num_rows, size=num_rows))
            found.append(grow(reader, logits, passed, rules, rows=rows))
            if progress is not None:
                progress("bootstrap trees", sample + 1, num_samples)
    return found
