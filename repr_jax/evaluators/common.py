"""What evaluators share: the trained model as they see it, and passes over a split.

An evaluator is `evaluate(trained, dataset, *, keywords) -> Evaluation`. It never sees
parameters. It asks for a subset of the modalities by adding `present` to the batch.

A dataset that lacks modalities of some rows yields `present` [batch, modality] with its
batches. What is absent does not count: a number about a subset of the modalities is of
the rows that have all of them, and one of which there is no row is left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import jax
import numpy as np

from repr_jax.ops import checks
from repr_jax.ops.subsets import non_empty

SUBSETS = 8  # of the modalities, whose representations are in memory together


class Trained(NamedTuple):
    """A model after training: parameters applied, each output jitted."""

    outputs: Mapping[str, Callable]  # by name: (batch, key=...) -> arrays
    # batches are as the dataset yields them; `present` selects the modalities
    prepare: Callable  # batch -> batch with the modalities in it
    modalities: tuple[str, ...]  # columns of `present`; () if there is one input
    workdir: str  # where an evaluator may keep what it trained


class Picture(NamedTuple):
    """What people would rather look at."""

    title: str
    caption: str  # what is shown, and what to look for
    png: bytes


class Table(NamedTuple):
    """Cells of text or numbers; the first column names the row."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: list[tuple]  # of str, float, int (a count) or None


class Evaluation(NamedTuple):
    """What an evaluator found."""

    numbers: Mapping[str, float]  # flat; stored behind the evaluator's name
    pictures: Mapping[str, Picture] = MappingProxyType({})  # by name of the file
    tables: Sequence[Table] = ()  # of the numbers, where a list would be hard to read
    chance: Mapping[str, float] = MappingProxyType({})  # of some of the numbers
    headline: Sequence[str] = ()  # the numbers to show first, where they are


def needs(*names: str) -> Callable:
    """Says which outputs of an experiment an evaluator asks for: `@needs("represent")`.

    A run whose experiment lacks one is refused before it is trained.
    """

    def mark(evaluator):
        evaluator.needs = names
        return evaluator

    return mark


def subsets(modalities: Sequence[str]) -> dict[str, np.ndarray]:
    """{"m0": [True, False], ..., "m0+m1": [True, True]}: singles first, all last."""
    rows = non_empty(len(modalities)) if modalities else ()
    return {subset_name(modalities, row): row for row in rows}


def given_subsets(modalities: Sequence[str], given=None) -> dict[str, np.ndarray]:
    """`subsets` of these names, such as "m0+m2", in any order of the modalities.

    given: None for the singles and those of all but one, without the full one.

    Raises:
      ValueError: a name that is not of modalities, or twice.
    """
    known = subsets(modalities)
    if given is None:
        return {
            name: row
            for name, row in known.items()
            if row.sum() in (1, len(row) - 1) and not row.all()
        }
    found = {}
    for name in given:
        parts = set(name.split("+"))
        ordered = "+".join(m for m in modalities if m in parts)
        if ordered not in known or parts - set(modalities) or ordered in found:
            raise ValueError(
                f"given: expected different subsets of {'+'.join(modalities)}; got "
                f"{', '.join(given)}."
            )
        found[ordered] = known[ordered]
    return found


def subset_name(modalities: Sequence[str], subset) -> str:
    """ "m0+m2" for the names at the True places of `subset`, bool [modality]."""
    return "+".join(name for name, here in zip(modalities, subset) if here)


def views(count: int) -> str:
    """ "1_view", "2_views", ...: how an average over subsets of one size is called."""
    return f"{count}_view" if count == 1 else f"{count}_views"


def labels_of(batch: Mapping, prepared: Mapping) -> np.ndarray | None:
    """[batch], of the batch or of what is prepared from it; None without a `label`."""
    labels = batch.get("label", prepared.get("label"))
    return None if labels is None else np.asarray(labels)


def with_present(batch: Mapping, subset) -> dict:
    """The batch with only the modalities of `subset`, bool [modality], observed.

    A modality that the batch itself lacks stays absent.
    """
    rows = len(next(iter(batch.values())))
    present = np.broadcast_to(np.asarray(subset, bool), (rows, len(subset)))
    if "present" in batch:
        present = present & batch["present"]
    return {**batch, "present": present}


def rows_with(batch: Mapping, subset=None) -> np.ndarray:
    """[batch] bool: the rows that count and have all modalities of `subset`.

    subset: bool [modality]; None for the rows that have any.
    """
    where = np.asarray(batch["where"])
    if "present" not in batch:
        return where
    present = np.asarray(batch["present"])
    if subset is None:
        return where & np.any(present, axis=1)
    return where & np.all(present[:, np.asarray(subset, bool)], axis=1)


def examples(labels, where, count: int) -> np.ndarray:
    """Up to `count` rows that are present, sorted by class, as mixed as possible.

    labels: [rows]; anything else, or None, takes the first rows.
    """
    rows = np.flatnonzero(where)
    if np.ndim(labels) != 1:
        return rows[:count]
    turn = np.zeros(len(rows))
    for name in np.unique(labels[rows]):
        mine = labels[rows] == name
        turn[mine] = np.arange(np.sum(mine))  # the first of each class, then seconds
    rows = rows[np.argsort(turn, kind="stable")[:count]]
    return rows[np.argsort(labels[rows], kind="stable")]


def batches(
    dataset, split: str, batch_size: int, *, limit: int | None = None, seed: int = 0
) -> Iterator[dict]:
    """One ordered pass over a split, or over `limit` random rows of it.

    The rows depend on `seed` alone, not on the order of classes in the split. All
    batches have the same shape; `where` marks the rows that count. Batches are no
    larger than the limit, but for what all devices need to have as many rows.
    """
    if limit is None or limit >= dataset.num_examples[split]:
        yield from dataset.evaluate(split, batch_size)
        return
    num_rows = dataset.num_examples[split]
    chosen = np.zeros(num_rows, bool)
    chosen[np.random.default_rng(seed).permutation(num_rows)[:limit]] = True
    seen, pool, read = 0, None, batch_size
    devices = jax.device_count()
    batch_size = min(batch_size, -(-limit // devices) * devices)
    for batch in dataset.evaluate(split, read):
        keep = np.array(batch["where"])
        count = int(keep.sum())
        keep[keep] = chosen[seen : seen + count]
        seen += count
        rows = {name: value[keep] for name, value in batch.items()}
        if pool is not None:
            rows = {name: np.concatenate([pool[name], rows[name]]) for name in rows}
        while len(rows["where"]) >= batch_size:
            yield {name: value[:batch_size] for name, value in rows.items()}
            rows = {name: value[batch_size:] for name, value in rows.items()}
        pool = rows
    count = len(pool["where"])
    if count:
        pad = np.minimum(np.arange(batch_size), count - 1)  # repeats the last row
        last = {name: value[pad] for name, value in pool.items()}
        yield {**last, "where": np.arange(batch_size) < count}


def collect(trained, dataset, split, batch_size, present=None, limit=None):
    """Representations and labels of the rows of a split that have what is asked for.

    Args:
      trained: Trained.
      dataset: Dataset whose batches have a `label`, before or after `prepare`.
      split: "train" or "test".
      batch_size: rows encoded at a time.
      present: bool [modality], which to encode, of the rows that have them all; None
        for whatever a row has.
      limit: number of random rows to look at; None for all.

    Returns:
      x: [rows, dim] float32; y: [rows] int32.

    Raises:
      ValueError: a row of x that is not finite, or of labels that int32 has not.
    """
    x, y = collect_targets(
        trained, dataset, split, batch_size, ("label",), present, limit
    )
    return x, classes_of("label", y["label"])


def classes_of(name: str, values: np.ndarray) -> np.ndarray:
    """int32, of any whole numbers that are in its range; ValueError names a row."""
    if values.dtype.kind not in "biuf":
        raise TypeError(f"collect: expected {name} of numbers; got {values.dtype}.")
    with np.errstate(invalid="ignore"):  # of NaN
        whole = values.astype(np.int32)
    inexact = np.any(whole != values, axis=tuple(range(1, values.ndim)))
    bad = np.flatnonzero(inexact)
    if len(bad):
        raise ValueError(
            f"collect: expected {name} of whole numbers that int32 has; got "
            f"{values[bad[0]]} in row {bad[0]}."
        )
    return whole


def collect_targets(
    trained,
    dataset,
    split,
    batch_size,
    targets,
    present=None,
    limit=None,
    *,
    output="represent",
):
    """As `collect`, with any entries of the batches in place of the label.

    Args:
      output: what to collect of the model, [batch, ...].
      targets: names of entries of a batch, before or after `prepare`. Those that the
        dataset does not yield are taken from `trained.prepare(batch)`.

    Returns:
      x: [rows, dim] float32; dict of [rows, ...] arrays by name, in the order of
      targets. There may be no row.

    Raises:
      ValueError: an entry is in neither batch, or a row of x, if it is a matrix, is not
        finite.
    """
    asked, options = {"": present}, dict(limit=limit, output=output)
    return _collect(trained, dataset, split, batch_size, targets, asked, **options)[""]


def collect_subsets(
    trained, dataset, batch_size, max_train=None, max_test=None, *, target="label"
) -> Iterator[tuple[str, tuple, tuple]]:
    """For each subset of the modalities its name, and `collect` of both splits.

    A model with the output `represent_subsets` encodes a row once for SUBSETS of them.
    Subsets without a row in one of the splits are left out; of a model with one input
    there is one, named "".

    Args:
      max_train, max_test: numbers of random rows of the splits to look at; None for
        all.
      target: the entry of a batch that is y, of integers, see `collect_targets`.

    Yields:
      name, (x, y) of the training split, (x, y) of the test split.
    """
    chosen = list((subsets(trained.modalities) or {"": None}).items())
    several = SUBSETS if "represent_subsets" in trained.outputs else 1
    for first in range(0, len(chosen), several):
        group = dict(chosen[first : first + several])
        train, test = (
            _collect(trained, dataset, split, batch_size, (target,), group, limit)
            for split, limit in (("train", max_train), ("test", max_test))
        )
        for name in group:
            found = [
                (x, classes_of(target, y[target]))
                for x, y in (train.pop(name), test.pop(name))
            ]
            if all(len(x) for x, _ in found):
                yield name, *found


def _collect(
    trained, dataset, split, batch_size, targets, asked, limit, output="represent"
):
    """{name: as `collect_targets`} of subsets by name, in one pass over the split."""
    found = {name: ([], {target: [] for target in targets}) for name in asked}
    for batch in batches(dataset, split, batch_size, limit=limit):
        entries = batch
        if not all(target in batch for target in targets):
            entries = {**trained.prepare(batch), **batch}
        for target in targets:
            if target not in entries:
                raise ValueError(
                    f"collect: expected {target!r} among the entries of a batch; got "
                    f"{', '.join(sorted(entries))}."
                )
        values = {target: np.asarray(entries[target]) for target in targets}
        encoded = _encoded(trained, batch, [*asked.values()], output)
        for (name, subset), rows in zip(asked.items(), encoded):
            where, (x, y) = rows_with(batch, subset), found[name]
            x.append(rows[where])
            for target, value in values.items():
                y[target].append(value[where])
    joined = {
        name: (np.concatenate(x), {n: np.concatenate(parts) for n, parts in y.items()})
        for name, (x, y) in found.items()
    }
    for name, (x, _) in joined.items():
        if x.ndim == 2:  # of what has an axis of modalities some may be absent
            what = f"{output} of {name}" if name else output
            checks.finite(f"collect, {split}", **{what: x})
    return joined


def moments(x) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of columns in float64, 1 for those that do not vary."""
    mean, std = (f(x, axis=0, dtype=np.float64) for f in (np.mean, np.std))
    constant = np.min(x, axis=0) == np.max(x, axis=0)  # rounding would leave a rest
    return np.where(constant, x[0], mean), np.where(constant, 1.0, std)


def _encoded(trained, batch, asked, output):
    """[batch, ...] float32 of each subset; of whatever a row has if it is None."""
    if len(asked) == 1:
        (subset,) = asked
        batch = batch if subset is None else with_present(batch, subset)
        return [np.asarray(trained.outputs[output](batch), np.float32)]
    given = np.broadcast_to(asked, (len(batch["where"]), *np.shape(asked)))
    encoded = trained.outputs["represent_subsets"]({**batch, "given": given})
    return np.moveaxis(np.asarray(encoded, np.float32), 1, 0)


def by_size(scores: Mapping[str, Mapping], modalities) -> list[tuple]:
    """Rows of a table: ("1 view", a, b) of {column: {"1_view": a, ...}}, ..."""
    sizes = [views(n + 1) for n in range(len(modalities))]
    return [
        (size.replace("_", " "), *(column.get(size) for column in scores.values()))
        for size in sizes
    ]


def mean_by_views(values: Mapping[str, float]) -> dict[str, float]:
    """{"m0": a, "m1": b, "m0+m1": c} -> {"1_view": (a + b) / 2, "2_views": c}.

    A target after an arrow, as in "m0->m1", is not counted as a view.
    """
    groups = {}
    for name, value in values.items():
        count = len(name.split("->")[0].split("+"))
        groups.setdefault(views(count), []).append(value)
    return {name: float(np.mean(group)) for name, group in groups.items()}
