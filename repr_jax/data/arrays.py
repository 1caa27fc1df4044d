"""A user's own arrays, from an .npz file or from memory, as a dataset.

    config.dataset = dict(
        fn=arrays.load,
        data="~/study.npz",  # image [n, 32, 32, 3], reading [n, 12], diagnosis [n]
        entries=("image", "reading"),
        label="diagnosis",
    )

A batch after `prepare` holds the entries: uint8 becomes float32 in [0, 1], other floats
float32, whole numbers int32, and truth values stay. It holds also "label" int32
[batch], if there is one; "present" bool [batch, entry], if there is one; and "where"
bool [batch] in evaluation. Images are [rows, height, width, channels].
"""

import functools
import os
from collections.abc import Mapping, Sequence

import numpy as np

from repr_jax import files
from repr_jax.data.dataset import (
    SPLITS,
    Dataset,
    check_modalities,
    check_seed,
    of_rows,
    unit_pixels,
)

WHO = "arrays.load"
RESERVED = ("label", "present", "where")
INT32 = np.iinfo(np.int32)

Source = str | os.PathLike | Mapping[str, np.ndarray]


def load(
    *,
    data: Source,
    entries: Sequence[str] = ("image",),
    label: str | None = None,
    present: str | Sequence[str | None] | None = None,
    test_data: Source | None = None,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    seed: int = 0,
) -> Dataset:
    """Arrays with one row an example, as a dataset; each epoch in a new order.

    Args:
      data: an .npz file, or arrays by name.
      entries: names of the arrays that make a batch; several are modalities.
      label: the array of classes, [rows] of whole numbers from 0 or of text, which is
        numbered in sorted order; None if there are no classes.
      present: the array, bool [rows, entries], that says which entries a row has; or a
        tuple with an array, bool [rows], for each entry, None for one that no row
        lacks. What an absent entry holds is not read, and is 0 in batches. None if all
        are there.
      test_data: the rows of the split "test", of the same form; None to hold out some
        rows of `data`.
      test_fraction: in (0, 1), of rows held out; not used with test_data.
      split_seed: of the choice of rows held out, apart from `seed`, so that runs of
        several seeds are tested on the same rows.
      seed: of the order of training.

    Raises:
      FileNotFoundError: no such file.
      ValueError, TypeError: a file that is not an .npz or is damaged; an array that is
        not there, holds objects, bfloat16 or complex numbers, has another number of
        rows or is not finite, which names the row; a label that is not a class; a row
        without any entry; a split without rows.
    """
    entries = _names(entries)
    check_seed(WHO, seed)
    splits = {"train": _read(data, entries, label, present)}
    if test_data is None:
        splits = _held_out(splits["train"], test_fraction, split_seed)
    else:
        splits["test"] = _read(test_data, entries, label, present)
        _check_same_form(*splits.values())
    if label is not None:
        _number_classes(label, splits)

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {name: array[rows] for name, array in splits[split].items()}

    pixels = [name for name in entries if splits["train"][name].dtype == np.uint8]
    return of_rows(
        WHO,
        take,
        {split: _num_rows(arrays) for split, arrays in splits.items()},
        seed=seed,
        prepare=functools.partial(unit_pixels, names=pixels),
        modalities=entries if len(entries) > 1 else (),
    )


def _names(entries: str | Sequence[str]) -> tuple[str, ...]:
    entries = (entries,) if isinstance(entries, str) else tuple(entries)
    if set(entries) & set(RESERVED):
        raise ValueError(f"{WHO}: expected entries not called {', '.join(RESERVED)}.")
    return check_modalities(WHO, entries, known=entries)


def _read(
    data: Source,
    entries: Sequence[str],
    label: str | None,
    present: str | Sequence[str | None] | None,
) -> dict[str, np.ndarray]:
    """Entries, "label" and "present" as batches have them, except that text stays."""
    masks = (present,) if present is None or isinstance(present, str) else present
    names = (*entries, *(name for name in (label, *masks) if name is not None))
    if isinstance(data, Mapping):
        missing = [name for name in names if name not in data]
        if missing:
            raise ValueError(
                f"{WHO}: expected arrays {', '.join(names)}; got none called "
                f"{', '.join(missing)}, but {', '.join(map(str, data)) or 'nothing'}."
            )
        where, found = "memory", {name: np.asarray(data[name]) for name in names}
    else:
        where, found = os.fspath(data), files.read_npz(WHO, data, names)
    rows = {name: x.shape[:1] for name, x in found.items()}
    if () in rows.values() or len(set(rows.values())) > 1:
        shapes = ", ".join(f"{name} {x.shape}" for name, x in found.items())
        raise ValueError(
            f"{WHO}, {where}: expected as many rows in every array; got {shapes}."
        )
    mask = None
    if isinstance(present, str):
        mask = _mask(f"{WHO}, {where}", present, found[present], len(entries))
    elif present is not None:
        mask = _of_columns(f"{WHO}, {where}", present, found, entries)
    kept = {}
    for i, name in enumerate(entries):
        there = None if mask is None else mask[:, i]
        kept[name] = _entry(f"{WHO}, {where}", name, found[name], there)
    if label is not None:
        kept["label"] = _classes(f"{WHO}, {where}", label, found[label])
    return kept if mask is None else {**kept, "present": mask}


def _entry(
    who: str, name: str, array: np.ndarray, present: np.ndarray | None
) -> np.ndarray:
    """uint8, float32, int32 or bool; absent rows 0, all others finite."""
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{who}: expected {name} of real numbers or truth values; got type "
            f"{array.dtype}."
        )
    if present is not None:
        there = present.reshape(-1, *[1] * (array.ndim - 1))
        array = np.where(there, array, np.zeros((), array.dtype))
    if array.dtype == np.uint8 or array.dtype.kind == "b":
        return array
    if array.dtype.kind in "iu":
        if array.size and (array.min() < INT32.min or array.max() > INT32.max):
            raise ValueError(f"{who}: expected {name} within int32; it is not.")
        return array.astype(np.int32)
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    bad = ~np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    if bad.any():
        raise ValueError(
            f"{who}: expected {name} finite in float32; row {bad.argmax()} is not, nor "
            f"are {bad.sum() - 1} others."
        )
    return array


def _classes(who: str, name: str, labels: np.ndarray) -> np.ndarray:
    """[rows] int32 from 0, or text."""
    if labels.ndim != 1 or labels.dtype.kind not in "iubU":
        raise TypeError(
            f"{who}: expected {name} [rows] of whole numbers or text; got shape "
            f"{labels.shape} and type {labels.dtype}."
        )
    if labels.dtype.kind == "U":
        return labels
    bad = (labels < 0) | (labels > INT32.max)
    if bad.any():
        raise ValueError(
            f"{who}: expected {name} from 0 on, within int32; row {bad.argmax()} has "
            f"{labels[bad.argmax()]}."
        )
    return labels.astype(np.int32)


def _mask(who: str, name: str, mask: np.ndarray, num_entries: int) -> np.ndarray:
    """[rows, entries] bool, one True a row at least."""
    if mask.dtype != bool or mask.shape[1:] != (num_entries,):
        raise ValueError(
            f"{who}: expected {name} bool [rows, {num_entries}], a column for each "
            f"entry; got {mask.dtype} {mask.shape}."
        )
    empty = ~mask.any(axis=1)
    if empty.any():
        raise ValueError(
            f"{who}: expected an entry present in every row; {name} has none in row "
            f"{empty.argmax()}."
        )
    return mask


def _of_columns(
    who: str,
    names: Sequence[str | None],
    found: Mapping[str, np.ndarray],
    entries: Sequence[str],
) -> np.ndarray:
    """[rows, entries] bool of an array [rows] for each entry."""
    if len(names) != len(entries):
        raise ValueError(
            f"{who}: expected present of {len(entries)} names, one for each entry; got "
            f"{len(names)}."
        )
    count = len(found[entries[0]])
    columns = [np.ones(count, bool) if n is None else found[n] for n in names]
    for name, column in zip(names, columns):
        if column.dtype != bool or column.ndim != 1:
            raise ValueError(
                f"{who}: expected {name} bool [rows]; got {column.dtype} "
                f"{column.shape}."
            )
    return _mask(
        who, " and ".join(filter(None, names)), np.stack(columns, 1), len(names)
    )


def _held_out(
    found: Mapping[str, np.ndarray], fraction: float, seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """{"train", "test"}: a random part of the rows is held out; both keep the order."""
    check_seed(WHO, seed)
    if not isinstance(fraction, float) or not 0 < fraction < 1:
        raise ValueError(f"{WHO}: expected test_fraction in (0, 1); got {fraction!r}.")
    count = _num_rows(found)
    num_test = round(fraction * count)
    if not 0 < num_test < count:
        raise ValueError(
            f"{WHO}: expected rows in both splits; got {num_test} of {count} for test."
        )
    order = np.random.default_rng(seed).permutation(count)
    rows = {"train": np.sort(order[num_test:]), "test": np.sort(order[:num_test])}
    return {s: {name: x[rows[s]] for name, x in found.items()} for s in SPLITS}


def _check_same_form(
    train: Mapping[str, np.ndarray], test: Mapping[str, np.ndarray]
) -> None:
    for name, array in train.items():
        other = test[name]
        same = array.dtype == other.dtype or array.dtype.kind == other.dtype.kind == "U"
        if array.shape[1:] != other.shape[1:] or not same:
            raise ValueError(
                f"{WHO}: expected {name} of one form in data and test_data; got "
                f"{array.dtype} {array.shape} and {other.dtype} {other.shape}."
            )
    for where, arrays in (("data", train), ("test_data", test)):
        if not _num_rows(arrays):
            raise ValueError(f"{WHO}: expected rows in {where}; got none.")


def _number_classes(label: str, splits: Mapping[str, dict]) -> None:
    """Text becomes its rank among the sorted names of the training rows."""
    if splits["train"]["label"].dtype.kind != "U":
        return
    names = np.unique(splits["train"]["label"])
    for arrays in splits.values():
        unknown = ~np.isin(arrays["label"], names)
        if unknown.any():
            raise ValueError(
                f"{WHO}: expected every {label} of test rows among those of training "
                f"rows; got {arrays['label'][unknown.argmax()]!r}."
            )
        arrays["label"] = np.searchsorted(names, arrays["label"]).astype(np.int32)


def _num_rows(arrays: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(arrays.values())))
