"""Trees of logits that come once and need not fit in memory."""

import itertools
import os
import tempfile
from collections.abc import Iterable

import numpy as np

from repr_jax.estimators.hierarchy import arithmetic, host
from repr_jax.estimators.hierarchy.merging import (
    Aggregation,
    Hierarchy,
    rules_of,
    sum_mean,
)


def _chunks(batches: Iterable, who: str):
    """Batches joined to about host.CHUNK_BYTES, and larger ones cut: [n, K] arrays."""
    held, size, shape = [], 0, None
    for batch in [batches] if isinstance(batches, np.ndarray) else batches:
        batch = host.check_logits(who, np.atleast_2d(batch))
        shape = shape or (batch.shape[1], batch.dtype)
        if shape != (batch.shape[1], batch.dtype):
            raise ValueError(
                f"{who}: expected every batch with {shape[0]} columns of {shape[1]}; "
                f"got {batch.shape[1]} of {batch.dtype}."
            )
        step = max(1, host.CHUNK_BYTES // batch[:1].nbytes)
        for start in range(0, len(batch), step):
            held.append(np.array(batch[start : start + step]))  # batches may be reused
            size += held[-1].nbytes
            if size >= host.CHUNK_BYTES:
                yield np.concatenate(held)
                held, size = [], 0
    if held:
        yield np.concatenate(held)


def _spooled(chunks, file, reader: host.Reader, progress):
    """Writes rows, sorted by class within chunks; their first pass, and assignments.

    The first pass is in the order of the file, the assignments in that of arrival.
    """
    parts, assignments, done = [], [], 0
    for chunk in chunks:
        passed = reader.first_pass(chunk, "fit_stream", done)
        order = np.argsort(passed.first, kind="stable")
        file.write(np.ascontiguousarray(chunk[order]).view(np.uint8).data)
        assignments.append(passed.first)
        parts.append(host.FirstPass(*(x[order] for x in passed)))
        done += len(chunk)
        if progress is not None:
            progress("rows read", done, done)
    file.flush()
    passed = host.FirstPass(*(np.concatenate(x) for x in zip(*parts)))
    return passed, np.concatenate(assignments)


def fit_stream(
    batches: Iterable,
    *,
    spool: str | os.PathLike | None = None,
    aggregation: Aggregation = sum_mean,
    empty: str = "last",
    height: str = "score",
    temperature: float = 1.0,
    num_threads: int | None = None,
    progress: host.Progress | None = None,
) -> Hierarchy:
    """`fit` of logits that come batch by batch, once, and need not fit in memory.

    Rows are kept in their own dtype in a temporary file, sorted by class within each
    chunk of 64 MB, so that a group is read in long runs. The file has no name: the
    system frees it when the process ends, in whatever way, and a run that was killed
    leaves nothing and is started again.

    Args:
      batches: an iterable of [n, K] float arrays, all of one dtype; or one array or
        memory map, if reading it at random is slow.
      spool: the folder of the temporary file, which grows as large as the logits; the
        system's own if None.
      aggregation, empty, height, temperature, num_threads, progress: as for `fit`;
        the rows read are reported as (done, done), since nobody knows how many come.

    Returns:
      Hierarchy, the same as that of `fit`; assignments in the order of arrival.

    Raises:
      ValueError, TypeError: as `fit`, and for batches that differ in columns or dtype.
    """
    rules = rules_of("fit_stream", aggregation, empty, height)
    scale = arithmetic.log2_scale("fit_stream", temperature)
    chunks = _chunks(batches, "fit_stream")
    head = next(chunks, None)
    if head is None:
        raise ValueError("fit_stream: expected a batch or more; got none.")
    k, dtype = head.shape[1], head.dtype
    with (
        tempfile.TemporaryFile(dir=spool) as file,
        host.Reader(k, dtype, scale, num_threads) as reader,
    ):
        chunks = itertools.chain([head], chunks)
        passed, assignments = _spooled(chunks, file, reader, progress)
        rows = np.memmap(file, np.uint8, "r").view(dtype).reshape(-1, k)
        tree = host.grow(reader, rows, passed, rules, progress=progress)
    return tree._replace(assignments=assignments)
