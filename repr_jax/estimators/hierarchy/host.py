"""Trees of logits on the host: arrays, memory maps and streams, read by threads.

The first pass keeps of every row its best two classes with their confidences: all that
scores and groups of one need. Later groups read their own rows again, and no others.
"""

import itertools
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax.numpy as jnp
import numpy as np

from repr_jax.estimators.hierarchy import arithmetic, merging
from repr_jax.estimators.hierarchy.merging import Hierarchy
from repr_jax.ops import checks

BUFFER_BYTES = 2**19  # of float32 in a block; three of them stay in a core's cache
CHUNK_BYTES = 2**26  # of logits that are sorted together in a temporary file


class Reader:
    """Threads with their buffers, for logits [rows, K] that may be a memory map."""

    def __init__(self, who: str, like, temperature, num_threads: int | None):
        self.who, self.columns = who, like.shape[1]
        self.scale = arithmetic.log2_scale(who, temperature)
        self.block = max(1, BUFFER_BYTES // (4 * self.columns))
        if num_threads is None:
            here = getattr(os, "sched_getaffinity", None)  # not on every system
            num_threads = len(here(0)) if here else os.cpu_count()
        size = (self.block, self.columns)
        self.buffers = [
            (np.empty(size, like.dtype), np.empty((3, *size), np.float32))
            for _ in range(num_threads)
        ]
        self.pool = ThreadPoolExecutor(num_threads)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pool.shutdown(cancel_futures=True)

    def share(self, task, out: np.ndarray) -> np.ndarray:
        """out [columns, rows], filled by task(rows, raw, x, buffers) in all threads."""
        num_rows = out.shape[1]
        starts = range(0, num_rows, self.block)

        def run(turn):
            raw, work = self.buffers[turn]
            for start in starts[turn :: len(self.buffers)]:
                n = min(self.block, num_rows - start)
                rows = slice(start, start + n)
                found = task(rows, raw[:n], work[0, :n], work[1:, :n])
                for column, values in zip(out, found):
                    column[rows] = values

        if len(starts) < 2:
            run(0)
        else:
            list(self.pool.map(run, range(len(self.buffers))))  # raises what they raise
        return out

    def first_pass(self, logits, first_row: int = 0) -> np.ndarray:
        """[4, rows] as `arithmetic.both_choices`; ValueError names a row not finite."""

        def task(rows, raw, x, buffers):
            limit = arithmetic.load(logits[rows], x)
            if not (x.max() <= limit and x.min() >= -limit):
                check_finite(self.who, logits[rows], first_row + rows.start)
            return arithmetic.both_choices(x, self.scale, buffers)

        return self.share(task, np.empty((4, len(logits)), np.int32))

    def masked(self, logits, chosen, members) -> np.ndarray:
        """[2, rows] as `arithmetic.masked`, of chosen rows, without these classes."""
        bias = np.zeros(self.columns, np.float32)
        bias[members] = -np.inf

        def task(rows, raw, x, buffers):
            np.take(logits, chosen[rows], axis=0, out=raw, mode="clip")
            arithmetic.load(raw, x)
            return arithmetic.masked(x, bias, self.scale, buffers)

        return self.share(task, np.empty((2, len(chosen)), np.int32))


def check_finite(who: str, block, first_row: int) -> None:
    """ValueError names the first entry of rows that is not finite in float32."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.asarray(block).astype(np.float32))
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(
            f"{who}: expected finite logits; got {block[row, column]} in row "
            f"{first_row + row}, column {column}."
        )


def check_logits(who: str, logits):
    """The array or memory map itself, checked as far as it need not be read."""
    logits = logits if isinstance(logits, np.ndarray) else np.asarray(logits)
    if not logits.dtype.isnative:
        raise TypeError(f"{who}: expected native byte order; got {logits.dtype}.")
    if logits.dtype.kind != "f" and logits.dtype != jnp.bfloat16:
        raise TypeError(f"{who}: expected logits of floats; got {logits.dtype}.")
    checks.same_shape(who, rank=2, logits=logits)
    if len(logits) < 1 or logits.shape[1] < 2:
        raise ValueError(
            f"{who}: expected rows of two classes or more; got shape {logits.shape}."
        )
    return logits


def fit(
    logits,
    *,
    aggregation: str = "sum_mean",
    temperature: float = 1.0,
    num_threads: int | None = None,
) -> Hierarchy:
    """Merges classes bottom-up by their rows' next best classes.

    With p = softmax(logits / temperature), h = argmax p and g = max p of a row, every
    class starts as a group. K - 1 times: the group G of lowest score,
    s(G) = sum_{c in G} mean_{h = c} g, is merged; each of its rows is re-assigned to
    the best class c outside G, with the confidence
    exp(logit_c) / sum_{j not in G} exp(logit_j); and G is merged into the group whose
    classes draw the most confidence on average. Of equals, the group of lowest class.
    Classes that are no row's best join the root in the end, one by one.

    Reads a row once, and again whenever its group of two or more classes is merged, at
    most log2(sum_c s_c / min_c s_c) times: O(rows K log K + K^2) time, and some 50
    bytes per row besides the logits.

    Args:
      logits: [rows, K >= 2] float of any width, such as a memory map; float64 is
        rounded to float32.
      aggregation: "sum_mean", or "sum_sum", sums of g in place of means: small classes
        are merged first.
      temperature: > 0, divides the logits. The tree depends on it.
      num_threads: all that this process may use if None.

    Raises:
      ValueError, TypeError: no rows or fewer than two classes, not floats, a row that
        is not finite (which is named), an option that does not exist.

    Source: Palumbo, Vandenhirtz, Ryser, Daunhawer and Vogt, "From Logits to
      Hierarchies: Hierarchical Clustering made Simple", 2025,
      https://arxiv.org/abs/2410.07858. Ties, empty classes and heights are ours.
    """
    return _grown("fit", logits, [None], aggregation, temperature, num_threads)[0]


def bootstrap(
    logits,
    *,
    num_samples: int = 20,
    seed: int = 0,
    aggregation: str = "sum_mean",
    temperature: float = 1.0,
    num_threads: int | None = None,
) -> list[Hierarchy]:
    """Trees of rows drawn with replacement, of which `trees.clade_support` is made.

    Tree i depends on (seed, i) alone; its assignments are those of the drawn rows, in
    their order. Other arguments and errors are those of `fit`.
    """
    checks.count("bootstrap", num_samples=num_samples)
    seeds = [(seed, sample) for sample in range(num_samples)]
    return _grown("bootstrap", logits, seeds, aggregation, temperature, num_threads)


def _grown(who, logits, seeds, aggregation, temperature, num_threads):
    """A tree of all rows for the seed None, of rows drawn anew for every other."""
    logits = check_logits(who, logits)
    checks.one_of(who, merging.AGGREGATIONS, aggregation=aggregation)
    num_rows, k = logits.shape
    with Reader(who, logits, temperature, num_threads) as reader:
        passed, masked = reader.first_pass(logits), partial(reader.masked, logits)
        found, rows = [], None
        for seed in seeds:
            if seed is not None:
                rng = np.random.default_rng(seed)
                rows = np.sort(rng.integers(num_rows, size=num_rows))
            found.append(merging.grow_from_rows(passed, masked, aggregation, k, rows))
    return found


def fit_stream(
    batches: Iterable,
    *,
    spool: str | os.PathLike | None = None,
    aggregation: str = "sum_mean",
    temperature: float = 1.0,
    num_threads: int | None = None,
) -> Hierarchy:
    """`fit` of logits that come batch by batch, once, and need not fit in memory.

    Rows are kept in a temporary file, sorted by class within each chunk of 64 MB, so
    that a group is read in long runs. The file has no name: the system frees it when
    the process ends, in whatever way. Assignments are in the order of arrival.

    Args:
      batches: an iterable of [n, K] float arrays, all of one dtype; or one array or
        memory map, if reading it at random is slow.
      spool: the folder of the temporary file, which grows as large as the logits; the
        system's own if None.
      aggregation, temperature, num_threads: as for `fit`, and errors.
    """
    who = "fit_stream"
    checks.one_of(who, merging.AGGREGATIONS, aggregation=aggregation)
    chunks = _joined(who, batches)
    head = next(chunks, None)
    if head is None:
        raise ValueError(f"{who}: expected a batch or more; got none.")
    parts, assignments, k = [], [], head.shape[1]
    with (
        tempfile.TemporaryFile(dir=spool) as file,
        Reader(who, head, temperature, num_threads) as reader,
    ):
        for chunk in itertools.chain([head], chunks):
            passed = reader.first_pass(chunk, sum(map(len, assignments)))
            order = np.argsort(passed[0], kind="stable")
            file.write(chunk[order].view(np.uint8).data)
            assignments.append(passed[0])
            parts.append(passed[:, order])
        file.flush()
        rows = np.memmap(file, np.uint8, "r").view(head.dtype).reshape(-1, k)
        passed, masked = np.concatenate(parts, axis=1), partial(reader.masked, rows)
        tree = merging.grow_from_rows(passed, masked, aggregation, k)
    return tree._replace(assignments=np.concatenate(assignments))


def _joined(who: str, batches: Iterable):
    """Batches joined to about CHUNK_BYTES, and larger ones cut: [n, K] arrays."""
    held, size, shape = [], 0, None
    for batch in [batches] if isinstance(batches, np.ndarray) else batches:
        batch = check_logits(who, batch)
        shape = shape or (batch.shape[1], batch.dtype)
        if shape != (batch.shape[1], batch.dtype):
            raise ValueError(
                f"{who}: expected every batch with {shape[0]} columns of {shape[1]}; "
                f"got {batch.shape[1]} of {batch.dtype}."
            )
        for part in np.array_split(batch, -(-batch.nbytes // CHUNK_BYTES)):
            held.append(np.array(part))  # batches may be reused
            size += part.nbytes
            if size >= CHUNK_BYTES:
                yield np.concatenate(held)
                held, size = [], 0
    if held:
        yield np.concatenate(held)
