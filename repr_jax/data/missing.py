"""Modalities that are missing: datasets whose rows lack some, for good.

    config.dataset = dict(
        fn=missing.at_random,
        dataset=dict(fn=polymnist.load, modalities=("m0", "m1", "m2")),
        rate=0.5,
    )

Each function wraps a dataset of several modalities and adds "present", bool [batch,
modality], in the order of `Dataset.modalities`. What a row lacks depends on the seed,
the split and the number of the row alone, so it is the same at each epoch, in training
and when the same rows are evaluated. The arrays of what is absent stay in the batch:
models, losses and evaluators do not look at them.

A row that would lose all its modalities is drawn again, so at least one stays. With M
modalities and one rate r, a modality is therefore absent in a share of
r (1 - r^(M - 1)) / (1 - r^M) of the rows. Where the dataset has a "present" of its own,
what it lacks stays absent.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from repr_jax.data.dataset import (
    SPLITS,
    Dataset,
    check_modalities,
    check_seed,
    resolve,
    uniform,
)
from repr_jax.ops import checks

STREAMS = {"train": 1, "test": 2}


def at_random(
    *,
    dataset: Dataset | Callable,
    rate: float | Sequence[float] = 0.5,
    splits: Sequence[str] = SPLITS,
    seed: int = 0,
) -> Dataset:
    """Completely at random: each modality of each row is absent with its rate.

    Args:
      dataset: what is wrapped, a Dataset or a function that makes one.
      rate: in [0, 1), or one for each modality, in [0, 1], one of them below 1.
      splits: where modalities are missing; the others are as they were.
      seed: of what is missing; the dataset has its own.

    Raises:
      ValueError, TypeError: a rate out of range or of another number, fewer than two
        modalities, rows that are not numbered, an unknown split.
    """
    who = "missing.at_random"
    dataset = _checked(who, dataset, splits, seed)
    rates = _rates(who, rate, (len(dataset.modalities),))

    def chance(batch: Mapping) -> np.ndarray:
        return np.broadcast_to(rates, (_num_rows(batch), len(rates)))

    return _thinned(dataset, chance, splits, seed)


def by_class(
    *,
    dataset: Dataset | Callable,
    rates: Sequence[float] | Sequence[Sequence[float]],
    splits: Sequence[str] = SPLITS,
    seed: int = 0,
) -> Dataset:
    """Not at random: what is absent depends on the class of the row.

    Args:
      rates: [classes] in [0, 1), or [classes, modality] in [0, 1], one of a class below
        1; a row of class c uses entry c.
      dataset, splits, seed: as in `at_random`.

    Raises:
      ValueError, TypeError: as in `at_random`; a label without an entry, in its batch.
    """
    who = "missing.by_class"
    dataset = _checked(who, dataset, splits, seed)
    num_classes = len(np.atleast_1d(np.asarray(rates, float)))
    table = _rates(who, rates, (num_classes, len(dataset.modalities)))

    def chance(batch: Mapping) -> np.ndarray:
        checks.within(who, num_classes, label=batch["label"])
        return table[batch["label"]]

    return _thinned(dataset, chance, splits, seed)


def by_content(
    *,
    dataset: Dataset | Callable,
    entry: str,
    threshold: float,
    below: float,
    above: float,
    splits: Sequence[str] = SPLITS,
    seed: int = 0,
) -> Dataset:
    """At random given what stays: absence depends on the content of one entry.

    Args:
      entry: an entry of the batches as the dataset yields them, before `prepare`; its
        mean over a row, such as the brightness of an image in 0..255, decides. If it
        is a modality, it is never absent itself.
      threshold: divides the rows.
      below, above: in [0, 1), rate of absence of the other modalities in rows whose
        mean is below the threshold, and in the others.
      dataset, splits, seed: as in `at_random`.

    Raises:
      ValueError, TypeError: as in `at_random`; no such entry, in the first batch.
    """
    who = "missing.by_content"
    dataset = _checked(who, dataset, splits, seed)
    others = np.array([name != entry for name in dataset.modalities])
    rates = _rates(who, [below, above], (2, len(others))) * others

    def chance(batch: Mapping) -> np.ndarray:
        checks.one_of(who, tuple(batch), entry=entry)
        mean = np.mean(np.reshape(batch[entry], (len(batch[entry]), -1)), axis=1)
        return rates[(mean >= threshold).astype(int)]

    return _thinned(dataset, chance, splits, seed)


def in_blocks(
    *,
    dataset: Dataset | Callable,
    groups: Sequence[Sequence[str]],
    splits: Sequence[str] = SPLITS,
    seed: int = 0,
) -> Dataset:
    """Unpaired parts: each row has the modalities of one group, drawn evenly.

    Args:
      groups: of names of modalities; (("image", "text"), ("image",), ("text",)) is a
        third of pairs, and two thirds that nobody has matched.
      dataset, splits, seed: as in `at_random`.

    Raises:
      ValueError, TypeError: as in `at_random`; no group, or an unknown modality.
    """
    who = "missing.in_blocks"
    dataset = _checked(who, dataset, splits, seed)
    names = dataset.modalities
    if not groups:
        raise ValueError(f"{who}: expected one group at least; got none.")
    groups = [check_modalities(who, group, names) for group in groups]
    member = np.array([[name in group for name in names] for group in groups])

    def draw(split: str, rows: np.ndarray, batch: Mapping) -> np.ndarray:
        number = uniform(seed, STREAMS[split], rows, 1)[:, 0]
        return member[(number * len(member)).astype(int)] & _own(batch, names)

    return _wrapped(dataset, draw, splits)


def complete_rows(*, dataset: Dataset | Callable) -> Dataset:
    """The control: rows that lack a modality count as deleted, others are as they are.

    Batches keep their size; "present" is False for all modalities of a deleted row, and
    "where", in evaluation, too.

    dataset: one with "present", such as any of this module; others stay as they are.
    """
    dataset = resolve("missing.complete_rows", "dataset", dataset)

    def only_complete(batch: Mapping) -> dict:
        if "present" not in batch:
            return dict(batch)
        complete = batch["present"].all(axis=1)
        kept = {"present": batch["present"] & complete[:, None]}
        if "where" in batch:
            kept["where"] = batch["where"] & complete
        return {**batch, **kept}

    def train(batch_size: int, start_step: int = 0) -> Iterator[dict]:
        return map(only_complete, dataset.train(batch_size, start_step))

    def evaluate(split: str, batch_size: int) -> Iterator[dict]:
        return map(only_complete, dataset.evaluate(split, batch_size))

    return dataset._replace(train=train, evaluate=evaluate)


def _checked(
    who: str, dataset: Dataset | Callable, splits: Sequence[str], seed: int
) -> Dataset:
    """The dataset, if its rows are numbered and have modalities to lose."""
    dataset = resolve(who, "dataset", dataset)
    if len(dataset.modalities) < 2:
        raise ValueError(
            f"{who}: expected a dataset of two modalities or more; got "
            f"{len(dataset.modalities)}."
        )
    if dataset.train_rows is None:
        raise ValueError(
            f"{who}: expected a dataset whose training rows are numbered; got one "
            "without train_rows."
        )
    for split in splits:
        checks.one_of(who, SPLITS, splits=split)
    check_seed(who, seed)
    return dataset


def _rates(who: str, rates: float | Sequence, shape: tuple[int, ...]) -> np.ndarray:
    """float64 of this shape; a missing last axis stands for all modalities."""
    rates = np.asarray(rates, np.float64)
    if rates.ndim == len(shape) - 1:
        rates = np.repeat(rates[..., None], shape[-1], axis=-1)
    if rates.shape != shape:
        raise ValueError(
            f"{who}: expected rates of shape {shape} or {shape[:-1]}; got "
            f"{rates.shape}."
        )
    if not ((rates >= 0) & (rates <= 1)).all() or (rates.min(axis=-1) == 1).any():
        raise ValueError(
            f"{who}: expected rates in [0, 1], below 1 for some modality; got "
            f"{rates.tolist()}."
        )
    return rates


def _own(batch: Mapping, names: Sequence[str]) -> np.ndarray:
    """[batch, modality] bool: what the dataset itself has."""
    everything = np.ones((_num_rows(batch), len(names)), bool)
    return batch.get("present", everything)


def _num_rows(batch: Mapping) -> int:
    return len(next(iter(batch.values())))


def _thinned(
    dataset: Dataset, chance: Callable, splits: Sequence[str], seed: int
) -> Dataset:
    """Absent by independent chance(batch) [batch, modality], again where all are."""
    names = dataset.modalities

    def draw(split: str, rows: np.ndarray, batch: Mapping) -> np.ndarray:
        own, rates = _own(batch, names), chance(batch)
        present, stream = np.zeros_like(own), STREAMS[split]
        again = (own & (rates < 1)).any(axis=1)  # those that can keep something
        while again.any():
            drawn = uniform(seed, stream, rows[again], len(names))
            present[again] = own[again] & (drawn >= rates[again])
            again &= ~present.any(axis=1)
            stream += len(STREAMS)
        return present

    return _wrapped(dataset, draw, splits)


def _wrapped(dataset: Dataset, draw: Callable, splits: Sequence[str]) -> Dataset:
    """Adds present = draw(split, rows, batch) to batches of some splits."""

    def train(batch_size: int, start_step: int = 0) -> Iterator[dict]:
        batches = dataset.train(batch_size, start_step)  # checks its arguments at once

        def thinned():
            for step, batch in enumerate(batches, start_step):
                rows = dataset.train_rows(step, batch_size)
                yield {**batch, "present": draw("train", rows, batch)}

        return thinned() if "train" in splits else batches

    def evaluate(split: str, batch_size: int) -> Iterator[dict]:
        batches = dataset.evaluate(split, batch_size)

        def thinned():
            for number, batch in enumerate(batches):
                rows = number * batch_size + np.arange(batch_size)
                rows = np.where(batch["where"], rows, 0)
                yield {**batch, "present": draw(split, rows, batch)}

        return thinned() if split in splits else batches

    return dataset._replace(train=train, evaluate=evaluate)
