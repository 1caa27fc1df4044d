"""Labeled images that tensorflow-datasets has prepared, read without TensorFlow."""

import contextlib
import functools
import logging
import os
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from repr_jax.data import image_files
from repr_jax.data.dataset import (
    Dataset,
    check_train,
    of_rows,
    read_only,
    unit_pixels,
)
from repr_jax.ops import checks


@functools.cache
def arrays(
    name: str,
    split: str,
    *,
    data_dir: str | None = None,
    size: int | None = None,
    label: str = "label",
) -> tuple[np.ndarray, np.ndarray]:
    """All images of a split; read once a process, then shared and read-only.

    Args:
      name: as tensorflow-datasets calls it, such as "cifar100" or "food101".
      split: as it calls it; a slice such as "train[:1000]" too.
      data_dir: where it looks; None or "" is $TFDS_DATA_DIR, or else
        ~/tensorflow_datasets.
      size: height and width that images are brought to, the largest square in the
        middle by bicubic interpolation; None if all have one size already.
      label: the feature that is the class, such as "coarse_label".

    Returns:
      (images uint8 [num_examples, height, width, channels], labels int32
      [num_examples]).

    Raises:
      FileNotFoundError: the set is not prepared there as array_record.
      ImportError: without tensorflow-datasets.
      ValueError: no such label, or images of several sizes and no `size`.
    """
    data_dir = directory(data_dir)
    found = records(name, split, data_dir)
    images, labels = [], []
    with quiet():
        for row in range(len(found)):
            item = found[row]
            checks.one_of("tfds_images.arrays", tuple(item), label=label)
            image = item["image"]
            images.append(image if size is None else image_files.square(image, size))
            labels.append(item[label])
    if len({image.shape for image in images}) > 1:
        raise ValueError(
            f"tfds_images.arrays: expected size=..., as {name} has images of several "
            "sizes; got None."
        )
    classes = _classes("tfds_images.arrays", name, label, labels)
    return read_only(np.stack(images), classes)


def _classes(who: str, name: str, label: str, values: list) -> np.ndarray:
    """[rows] int32; ValueError for what is no class, such as a time or an address."""
    found = np.array(values)
    if found.dtype.kind not in "biu" or found.ndim != 1:
        raise ValueError(
            f"{who}: expected a feature of whole numbers, one a row, in place of "
            f"{label} of {name}; got {found.dtype} {found.shape}."
        )
    checks.within(f"{who}: {name}", 2**31, **{label: found})
    return found.astype(np.int32)


def images(
    *,
    name: str,
    splits: tuple[str, str] = ("train", "test"),
    data_dir: str | None = None,
    size: int | None = None,
    label: str = "label",
    seed: int = 0,
) -> Dataset:
    """A prepared set as a dataset; each epoch in a new order.

    A batch has "image", uint8 [batch, height, width, channels], which `prepare` turns
    into float32 in [0, 1]; "label" int32 [batch]; and "where" bool [batch] in
    evaluation. `splits` are what this set calls its "train" and "test"; `seed` is of
    the order; the others and the errors are those of `arrays`.
    """
    names = dict(zip(("train", "test"), splits))
    options = dict(data_dir=data_dir, size=size, label=label)
    data = {s: arrays(name, names[s], **options) for s in names}

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        images, labels = data[split]
        return {"image": images[rows], "label": labels[rows]}

    num_examples = {split: len(labels) for split, (_, labels) in data.items()}
    return of_rows("tfds_images", take, num_examples, seed=seed, prepare=unit_pixels)


def streamed(
    *,
    name: str,
    size: int,
    splits: tuple[str, str] = ("train", "test"),
    data_dir: str | None = None,
    label: str = "label",
    seed: int = 0,
    num_threads: int = 16,
) -> Dataset:
    """As `images`, of a set that memory does not hold: each row is read when shown.

    Training is read ahead by threads of grain, and each process reads its own rows.
    Order and rows are those of `images` and depend on the seed and step alone, so
    nothing of grain has to be saved, and any number of processes goes on.

    Raises:
      ImportError: without grain, or as `arrays`. FileNotFoundError: as `arrays`.
      ValueError: as `arrays`, of a label once its row is read.
    """
    try:
        import grain
    except ImportError as error:
        raise ImportError(
            f"tfds_images.streamed: reading ahead needs grain (pip install grain); "
            f"{error}"
        ) from error
    checks.count("tfds_images.streamed", size=size, num_threads=num_threads)
    names = dict(zip(("train", "test"), splits))
    data = {s: records(name, names[s], directory(data_dir)) for s in names}

    def one(split: str, row: int) -> dict[str, np.ndarray]:
        item = data[split][int(row)]
        checks.one_of("tfds_images.streamed", tuple(item), label=label)
        image = image_files.square(item["image"], size)
        (number,) = _classes("tfds_images.streamed", name, label, [item[label]])
        return {"image": image, "label": number}

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        found = [one(split, row) for row in rows]
        return {part: np.stack([x[part] for x in found]) for part in found[0]}

    num_examples = {split: len(found) for split, found in data.items()}
    whole = of_rows(
        "tfds_images.streamed", take, num_examples, seed=seed, prepare=unit_pixels
    )

    def train(batch_size: int, start_step: int = 0) -> Iterator[dict]:
        check_train("tfds_images.streamed", batch_size, start_step)
        own = batch_size // jax.process_count()
        rows_of = functools.lru_cache(maxsize=4)(
            lambda step: whole.train_rows(step, batch_size)
        )
        numbers = grain.MapDataset.range(start_step * own, np.iinfo(np.int64).max)
        rows = numbers.map(lambda n: one("train", rows_of(n // own)[n % own]))
        options = grain.ReadOptions(
            num_threads=num_threads, prefetch_buffer_size=4 * num_threads
        )
        return iter(rows.to_iter_dataset(options).batch(own))

    return whole._replace(train=train)


def directory(data_dir: str | None) -> str:
    """Where tensorflow-datasets looks if told `data_dir`, which may be None or ""."""
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return os.path.expanduser(data_dir)


def records(name: str, split: str, data_dir: str) -> Any:
    """The records of a split, by position; errors as of `arrays`.

    What reads them logs advice, which `quiet` holds back.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            f"tfds_images.arrays: {name} needs tensorflow-datasets with array-record "
            f"(pip install tensorflow-datasets array-record); {error}"
        ) from error
    advice = (
        f"tfds_images.arrays: expected {name} prepared as array_record in {data_dir}; "
        "got none. To prepare it there, run `pip install tensorflow-cpu` and `tfds "
        f"build {name} --file_format=array_record --data_dir={data_dir}`."
    )
    if not os.path.isdir(os.path.join(data_dir, name)):
        raise FileNotFoundError(advice)
    try:
        with quiet():  # tfds and array_record log advice at ERROR level
            return tfds.data_source(
                name, split=split, data_dir=data_dir, download=False
            )
    except NotImplementedError as error:  # how tfds says: prepared, but as TFRecord
        raise FileNotFoundError(advice) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Holds back what is logged below CRITICAL."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
