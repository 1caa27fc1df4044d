"""Any folder of images with a table that gives each a class: one attribute of many.

    config.dataset.train = dict(
        fn=labeled_images.read_table, path="~/faces/labels.csv", attribute="hair"
    )

A batch after `prepare` has
  image: float32 [batch, size, size, 3] in [0, 1], the largest square in the middle;
  label: int32 [batch], the class; index: int32 [batch], the row of the table;
  where: bool [batch], in evaluation;
and the image is uint8 before.
"""

import functools
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from repr_jax import files
from repr_jax.data import image_files, subsample
from repr_jax.data.dataset import Dataset, of_rows, unit_pixels
from repr_jax.ops import checks


class Table(NamedTuple):
    """A row an image."""

    paths: tuple[str, ...]  # of files
    ids: tuple[str, ...]  # as the table has them, all different
    labels: np.ndarray  # [rows] int32
    classes: tuple[str, ...]  # names by number


def read_table(
    *,
    path: str | os.PathLike,
    attribute: str,
    file: str = "file",
    folder: str | os.PathLike | None = None,
    classes: Sequence[str] | None = None,
) -> Table:
    """The rows of a CSV file with a header.

    Args:
      path: of the CSV file, in UTF-8.
      attribute: the column of the class, any text.
      file: the column of the image's file, within `folder`.
      folder: where images are; None for the folder of the table.
      classes: names by number; None for all that occur, in sorted order.

    Raises:
      FileNotFoundError: no such table, or the file of its first row is not there.
      ValueError: a table as `files.read_csv` refuses; a class that is not among
        `classes`; one file twice.
    """
    who, path = "labeled_images.read_table", pathlib.Path(path).expanduser()
    folder = path.parent if folder is None else pathlib.Path(folder).expanduser()
    columns = files.read_csv(who, path, (file, attribute))
    ids, values = (tuple(columns[name]) for name in (file, attribute))
    if len(set(ids)) < len(ids):
        raise ValueError(f"{who}: expected each {file} once in {path}.")
    classes = tuple(sorted(set(values)) if classes is None else classes)
    unknown = set(values) - set(classes)
    if unknown:
        raise ValueError(
            f"{who}: expected {attribute} in {path} among {', '.join(classes)}; got "
            f"{min(unknown)!r}."
        )
    number = {name: k for k, name in enumerate(classes)}
    labels = np.array([number[value] for value in values], np.int32)
    paths = tuple(str(folder / name) for name in ids)
    if not os.path.isfile(paths[0]):
        raise FileNotFoundError(f"{who}: no file {paths[0]}, which {path} names.")
    return Table(paths, ids, labels, classes)


def load(
    *,
    train: Table | Callable,
    test: Table | Callable,
    size: int,
    shares: Sequence[float] | None = None,
    anchor: int = 0,
    num_test: int | None = None,
    class_balanced: bool = False,
    seed: int = 0,
    subset_seed: int = 0,
) -> Dataset:
    """The images of two tables. One is decoded when it is first needed, and then kept.

    Args:
      train, test: a table, or what makes it: in a config dict(fn=read_table, ...).
      size: height and width of images.
      shares: of the classes in "train", by `subsample.by_shares` with this `anchor`;
        None for all rows.
      num_test: rows of each class in "test"; None for all.
      class_balanced: training rows are drawn with replacement, classes equally often.
      seed: of the order of training. subset_seed: of the choices of rows.

    Raises:
      ValueError: tables of different classes; a class that is short; shares that are
        not as above; an image that is damaged, when it is decoded.
      FileNotFoundError: an image is not there, when it is decoded.
    """
    who = "labeled_images.load"
    checks.count(who, size=size)
    tables = {
        split: table() if callable(table) else table
        for split, table in (("train", train), ("test", test))
    }
    classes = tables["train"].classes
    if tables["test"].classes != classes:
        raise ValueError(
            f"{who}: expected one list of classes in train and test; got "
            f"{', '.join(classes)} and {', '.join(tables['test'].classes)}."
        )
    rows_of = _chosen(tables, shares, anchor, num_test, subset_seed)
    images = {
        split: image_files.decoded_once(
            functools.partial(_image, t.paths, rows_of[split], size),
            len(rows_of[split]),
            (size, size, 3),
        )
        for split, t in tables.items()
    }

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        index = rows_of[split][rows]
        label = tables[split].labels[index]
        index = index.astype(np.int32)
        return {"image": images[split](rows), "label": label, "index": index}

    num_examples = {split: len(rows) for split, rows in rows_of.items()}
    labels = tables["train"].labels[rows_of["train"]]
    weights = subsample.class_weights(labels) if class_balanced else None
    return of_rows(
        who, take, num_examples, seed=seed, prepare=unit_pixels, weights=weights
    )


def _chosen(tables, shares, anchor, num_test, seed):
    """The rows of each split that `load` asks for."""
    rows_of = {split: np.arange(len(t.labels)) for split, t in tables.items()}
    train, test = tables["train"], tables["test"]
    if shares is not None:
        rows_of["train"] = subsample.by_shares(
            train.labels, shares, anchor=anchor, ids=train.ids, seed=seed
        )
    if num_test is not None:
        rows_of["test"] = subsample.balanced(
            test.labels,
            num_test,
            num_classes=len(test.classes),
            ids=test.ids,
            seed=seed,
        )
    return rows_of


def _image(paths: Sequence[str], rows: np.ndarray, size: int, row: int) -> np.ndarray:
    return image_files.square(image_files.read(paths[rows[row]]), size)
