"""What a dataset is, and the arithmetic of rows that all datasets share.

A batch is a dict of arrays whose axis 0 is the batch. Training batch n depends on
(seed, n) alone, so that a resumed run sees what it would have seen, on any number of
hosts. Evaluation is one pass in order, the same on every host, the last batch padded
and marked by "where".
"""

import functools
import numbers
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import jax
import numpy as np

SPLITS = ("train", "test")


def identity(batch: dict) -> dict:
    """The batch as it is: what `prepare` does where nothing is left to be done."""
    return batch


class Dataset(NamedTuple):
    """Functions that yield batches; nothing is read or drawn before they are called."""

    train: Callable  # (batch_size, start_step=0) -> endless iterator over batches
    # batch_size counts the rows of all processes; each process gets its own rows
    evaluate: Callable  # (split, batch_size) -> iterator; split is "train" or "test"
    prepare: Callable = identity  # batch -> batch, pure and jittable, on the device
    num_examples: Mapping[str, int] = MappingProxyType({})  # by split
    modalities: tuple[str, ...] = ()  # names of the modality entries, in order


def limit(dataset: Dataset, **num_examples: int) -> Dataset:
    """Evaluation of the first rows of each named split alone, as in `test=1000`.

    Raises:
      ValueError: a split that the dataset has not, or fewer than one row.
    """
    for split, wanted in num_examples.items():
        check_split("dataset.limit", split)
        check_positive("dataset.limit", **{split: wanted})
    limits = {
        k: min(n, num_examples.get(k, n)) for k, n in dataset.num_examples.items()
    }

    def evaluate(split, batch_size):
        check_split("dataset.limit", split)
        left = limits[split]
        for batch in dataset.evaluate(split, batch_size):
            yield {**batch, "where": batch["where"] & (np.arange(batch_size) < left)}
            left -= batch_size
            if left <= 0:
                return

    return dataset._replace(evaluate=evaluate, num_examples=limits)


def this_process(rows):
    """[global batch, ...] -> [local batch, ...], the rows of jax.process_index()."""
    count = jax.process_count()
    if len(rows) % count:
        raise ValueError(
            f"batch_size {len(rows)} must be divisible by the {count} processes"
        )
    local = len(rows) // count
    return rows[jax.process_index() * local :][:local]


def padded_rows(
    num_examples: int, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All rows in order: (rows [batch_size] int64, where [batch_size] bool).

    The last batch is filled up with row 0, where `where` is False.
    """
    for start in range(0, num_examples, batch_size):
        rows = np.arange(start, start + batch_size)
        where = rows < num_examples
        yield np.where(where, rows, 0), where


def batch_indices(seed: int, step: int, n: int, batch: int) -> np.ndarray:
    """[batch] int64: the rows of training batch `step`, the same on every host.

    Epochs are permutations of 0..n-1 laid end to end, so that every row appears once
    an epoch, none is dropped, and a batch may be larger than the data.
    """
    position = step * batch + np.arange(batch)
    rows = np.empty(batch, np.int64)
    for epoch in range(step * batch // n, (step * batch + batch - 1) // n + 1):
        here = position // n == epoch
        rows[here] = _permutation(seed, epoch, n)[position[here] % n]
    return rows


@functools.lru_cache(maxsize=8)
def _permutation(seed, epoch, n):
    order = np.random.default_rng((seed, epoch)).permutation(n)
    order.setflags(write=False)
    return order


def check_seed(who: str, seed: int) -> int:
    """The seed, if it is an integer that NumPy and JAX both take."""
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise TypeError(f"{who}: seed must be an integer, got {seed!r}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"{who}: seed must be in [0, 2**32), got {seed}")
    return int(seed)


def check_positive(who: str, **values: int) -> None:
    """Each value must be an integer of at least 1."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise TypeError(f"{who}: {name} must be an integer, got {value!r}")
        if value < 1:
            raise ValueError(f"{who}: {name} must be at least 1, got {value}")


def check_train(who: str, batch_size: int, start_step: int) -> None:
    """What every `train` asks of its arguments, before the first batch."""
    check_positive(who, batch_size=batch_size)
    if start_step < 0:
        raise ValueError(f"{who}: start_step must be at least 0, got {start_step}")
    if batch_size % jax.process_count():
        raise ValueError(
            f"{who}: batch_size {batch_size} must be divisible by the "
            f"{jax.process_count()} processes"
        )


def check_split(who: str, split: str) -> None:
    """The split must be "train" or "test"."""
    if split not in SPLITS:
        raise ValueError(f"{who}: split must be one of {SPLITS}, got {split!r}")


def check_modalities(who: str, modalities, known) -> tuple[str, ...]:
    """The names as a tuple, if there is one at least, each known, none twice."""
    modalities = (modalities,) if isinstance(modalities, str) else tuple(modalities)
    known = tuple(known)
    if not modalities:
        raise ValueError(f"{who}: at least one modality is wanted, got none")
    for name in modalities:
        if name not in known:
            raise ValueError(
                f"{who}: unknown modality {name!r}; wanted some of {', '.join(known)}"
            )
    if len(set(modalities)) < len(modalities):
        raise ValueError(f"{who}: a modality is named twice in {modalities}")
    return modalities
