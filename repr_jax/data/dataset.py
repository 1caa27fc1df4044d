"""What a dataset is, and the arithmetic of rows that all datasets share.

A batch is a dict of arrays whose axis 0 is the batch. Training batch n depends on
(seed, n) alone, so that a resumed run sees what it would have seen, on any number of
hosts. Evaluation is one pass in order, the same on every host, the last batch padded
and marked by "where".

A large single graph, and whatever else has an axis 0 that is not the batch, goes into
`Dataset.fixed`: the batch then holds rows of a table, such as the numbers of nodes, and
`fixed` holds the features and edges of all nodes. See `synthetic.graph`.
"""

import functools
import itertools
import logging
import math
import os
import platform
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from repr_jax.ops import checks

SPLITS = ("train", "test")
LONG_WAIT = 60.0  # seconds for a batch, after which it is logged; then after twice that
_LOGGER = logging.getLogger(__name__)


def identity(batch: dict) -> dict:
    """The batch as it is: what `prepare` does where nothing is left to be done."""
    return batch


def unit_pixels(batch: Mapping, *, names: Sequence[str] = ("image",)) -> dict:
    """The batch with uint8 entries as float32 in [0, 1]: a `prepare` of images."""
    pixels = {name: batch[name].astype(np.float32) / 255 for name in names}
    return {**batch, **pixels}


class Dataset(NamedTuple):
    """Functions that yield batches; nothing is read or drawn before they are called."""

    train: Callable  # (batch_size, start_step=0) -> endless iterator over batches
    # batch_size counts the rows of all processes; each process gets its own rows
    evaluate: Callable  # (split, batch_size) -> iterator; split is "train" or "test",
    # or another that `num_examples` names
    prepare: Callable = identity  # batch -> batch, pure and jittable, on the device
    num_examples: Mapping[str, int] = MappingProxyType({})  # by split
    modalities: tuple[str, ...] = ()  # names of the modality entries, in order
    fixed: Mapping[str, Any] = MappingProxyType({})
    # entries that every prepared batch contains whole, whose axis 0 is not the batch
    train_rows: Callable | None = None  # (step, batch_size) -> [local batch] int64:
    # the row of split "train" that each row of training batch `step` shows, or shows
    # a variant of; None if rows are not numbered


def resolve(who: str, name: str, dataset: Dataset | Callable) -> Dataset:
    """A dataset given as such, or as what makes it: in a config dict(fn=...).

    Raises:
      TypeError: it is neither.
    """
    found = dataset
    if callable(dataset) and not isinstance(dataset, Dataset):
        found = dataset()
    if not isinstance(found, Dataset):
        raise TypeError(
            f"{who}: expected a dataset, or a function that makes one, as {name}; got "
            f"{type(found).__name__}."
        )
    return found


def of_rows(
    who: str,
    take: Callable,
    num_examples: Mapping[str, int],
    *,
    seed: int,
    prepare: Callable = identity,
    modalities: tuple[str, ...] = (),
    fixed: Mapping[str, Any] = MappingProxyType({}),
    weights: np.ndarray | None = None,
) -> Dataset:
    """A dataset whose rows can be taken in any order.

    Args:
      who: the function that makes it, for errors.
      take: (split, rows [batch] int64) -> batch, without `where`.
      num_examples: rows of each split.
      seed: of the order of training, a new permutation each epoch.
      prepare, modalities, fixed: as of `Dataset`.
      weights: [rows of "train"] of sum 1, by which rows are drawn with replacement;
        None for permutations.
    """
    check_seed(who, seed)

    def train_rows(step: int, batch_size: int) -> np.ndarray:
        n = num_examples["train"]
        if weights is None:
            return this_process(batch_indices(seed, step, n, batch_size))
        rng = np.random.default_rng((seed, step))
        return this_process(rng.choice(n, batch_size, p=weights))

    def draw(step: int, batch_size: int) -> dict:
        return take("train", train_rows(step, batch_size))

    return of_draws(
        who,
        draw,
        take,
        num_examples,
        prepare=prepare,
        modalities=modalities,
        fixed=fixed,
        train_rows=train_rows,
    )


def of_draws(
    who: str,
    draw: Callable,
    take: Callable,
    num_examples: Mapping[str, int],
    *,
    prepare: Callable = identity,
    modalities: tuple[str, ...] = (),
    fixed: Mapping[str, Any] = MappingProxyType({}),
    train_rows: Callable | None = None,
) -> Dataset:
    """A dataset whose training batches are drawn, and whose evaluated rows are fixed.

    Args:
      who: the function that makes it, for errors.
      draw: (step, batch_size) -> this process's rows of training batch `step`, see
        `this_process`; the same at every call.
      take: (split, rows [batch] int64) -> batch of the evaluated rows, without `where`.
      num_examples: evaluated rows of each split.
      prepare, modalities, fixed, train_rows: as of `Dataset`.
    """

    def train(batch_size: int, start_step: int = 0) -> Iterator[dict]:
        check_train(who, batch_size, start_step)
        return (draw(step, batch_size) for step in itertools.count(start_step))

    def evaluate(split: str, batch_size: int) -> Iterator[dict]:
        check_evaluate(who, split, batch_size, tuple(num_examples))
        return (
            {**take(split, rows), "where": where}
            for rows, where in padded_rows(num_examples[split], batch_size)
        )

    return Dataset(
        train, evaluate, prepare, num_examples, modalities, fixed, train_rows
    )


def read_only(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same arrays, which can no longer be written to: they are shared."""
    for array in arrays:
        array.setflags(write=False)
    return arrays


def this_process(rows: Any) -> Any:
    """[global batch, ...] -> [local batch, ...], the rows of jax.process_index()."""
    count = jax.process_count()
    if len(rows) % count:
        raise ValueError(
            f"this_process: expected rows divisible by the {count} processes; got "
            f"{len(rows)}."
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
def _permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    order = np.random.default_rng((seed, epoch)).permutation(n)
    order.setflags(write=False)
    return order


def uniform(seed: int, stream: int, rows: np.ndarray, count: int) -> np.ndarray:
    """[rows, count] float64 in [0, 1): numbers of a row depend on nothing but these.

    By the finalizer of SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom
    Number Generators", 2014, https://doi.org/10.1145/2714064.2660195.
    """
    step = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        state = _mixed(np.full(1, seed, np.uint64) * step + np.uint64(stream))
        state = _mixed(state + np.asarray(rows, np.uint64) * step)[:, None]
        state = _mixed(state + np.arange(1, count + 1, dtype=np.uint64)[None] * step)
    return (state >> np.uint64(11)) / 2.0**53


def example_keys(seed: int, stream: Array, number: Array) -> Array:
    """[batch] PRNG keys of examples: each has the same wherever it stands.

    stream, number: [batch] uint32, such as the split, and the example in it.
    """
    fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    return jax.vmap(jax.random.fold_in)(fold(jax.random.key(seed), stream), number)


def _mixed(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def check_train(who: str, batch_size: int, start_step: int) -> None:
    """What every `train` asks of its arguments, before the first batch."""
    checks.count(who, batch_size=batch_size)
    checks.count(who, minimum=0, start_step=start_step)
    if batch_size % jax.process_count():
        raise ValueError(
            f"{who}: expected batch_size divisible by the {jax.process_count()} "
            f"processes; got {batch_size}."
        )


def check_evaluate(
    who: str, split: str, batch_size: int, splits: tuple[str, ...] = SPLITS
) -> None:
    """What every `evaluate` asks of its arguments, before the first batch."""
    checks.one_of(who, splits, split=split)
    checks.count(who, batch_size=batch_size)


def prefetch(
    batches: Iterator,
    size: int = 2,
    should_stop: Callable = lambda: False,
    patience: float = math.inf,
) -> Iterator:
    """Runs an iterator in a thread, `size` items ahead; its errors are raised here.

    Ends early, within a second, once should_stop() is true and no item is ready; what
    the thread is doing then is given up. A long wait for an item is logged, with the
    process and host where it is: in a run of several the others wait in a computation.

    Raises:
      TimeoutError: no item came for `patience` seconds.
    """
    ready, stop = queue.Queue(size), threading.Event()
    here = f"process {jax.process_index()} (pid {os.getpid()} on {platform.node()})"

    def put(item: tuple) -> None:
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for batch in batches:
                put((batch, None))
                if stop.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=work, daemon=True, name="prefetch")
    thread.start()
    since, told = time.monotonic(), LONG_WAIT
    try:
        while True:
            try:
                batch, error = ready.get(timeout=0.5)
            except queue.Empty:
                if should_stop():
                    return
                waited = time.monotonic() - since
                if waited >= patience:
                    raise TimeoutError(
                        f"{here}: expected a batch within {patience:g} s; got none: "
                        "its data source hangs, or is too slow."
                    ) from None
                if waited >= told:
                    told *= 2
                    _LOGGER.warning("%s has waited %.0f s for a batch.", here, waited)
                continue
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield batch
            since, told = time.monotonic(), LONG_WAIT
    finally:
        stop.set()
        thread.join(timeout=1.0)


def stacked(batches: Iterator, start_step: int, num_steps: int, size: int) -> Iterator:
    """Groups of batches that end at multiples of `size`: leaves [size, batch, ...].

    From `start_step` to `num_steps`; a run that stopped in between starts with fewer.

    Raises:
      ValueError: the batches end before `num_steps`.
    """
    step = start_step
    while step < num_steps:
        count = min(size - step % size, num_steps - step)
        group = list(itertools.islice(batches, count))
        if len(group) < count:
            raise ValueError(
                f"dataset: expected train to yield batches without end; from step "
                f"{start_step} it ended after {step - start_step + len(group)}."
            )
        yield jax.tree.map(lambda *leaves: np.stack(leaves), *group)
        step += count


def check_seed(who: str, seed: int) -> None:
    """The seed must be a whole number that NumPy and JAX both take."""
    checks.count(who, minimum=0, seed=seed)
    if seed >= 2**32:
        raise ValueError(f"{who}: expected seed < 2**32; got {seed}.")


def check_modalities(
    who: str, modalities: str | Sequence[str], known: Sequence[str]
) -> tuple[str, ...]:
    """The names as a tuple, if there is one at least, each known, none twice."""
    modalities = (modalities,) if isinstance(modalities, str) else tuple(modalities)
    if not modalities:
        raise ValueError(f"{who}: expected at least one modality; got none.")
    for name in modalities:
        if name not in known:
            raise ValueError(
                f"{who}: expected modalities among {', '.join(known)}; got {name!r}."
            )
    if len(set(modalities)) < len(modalities):
        raise ValueError(f"{who}: expected each modality once; got {modalities}.")
    return modalities
