"""MNIST digits as arrays: a subset that comes with the package, or all of them.

Embedded: 18,000 training and 2,000 test images, 1,800 and 200 of each class, the first
ones of MNIST's own splits, with the classes in turn (row i shows digit i % 10), so that
the first rows are balanced too. The full 60,000 and 10,000 are read by
tensorflow-datasets, without TensorFlow.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits",
http://yann.lecun.com/exdb/mnist.
"""

import functools
import importlib.resources
from collections.abc import Sequence

import numpy as np

from repr_jax.data import tfds_images
from repr_jax.data.dataset import SPLITS, Dataset, of_rows, read_only, unit_pixels
from repr_jax.ops import checks

SOURCES = ("embedded", "tfds")


def arrays(
    split: str, *, source: str = "embedded", data_dir: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """All digits of a split; read once a process, then shared and read-only.

    Args:
      split: "train" or "test".
      source: "embedded", the subset in the package, or "tfds", all of MNIST.
      data_dir: where tfds looks; None is $TFDS_DATA_DIR, or else
        ~/tensorflow_datasets. Not used by "embedded".

    Returns:
      (images uint8 [num_examples, 28, 28], 255 is ink; labels int32 [num_examples]).

    Raises:
      ValueError: an unknown split or source.
      FileNotFoundError: MNIST is not prepared in data_dir.
      ImportError: "tfds" without tensorflow-datasets.
    """
    checks.one_of("mnist.arrays", SPLITS, split=split)
    checks.one_of("mnist.arrays", SOURCES, source=source)
    if source == "embedded":
        return _embedded(split)
    return _prepared(split, tfds_images.directory(data_dir))


def digits(
    *,
    source: str = "embedded",
    data_dir: str | None = None,
    classes: Sequence[int] = tuple(range(10)),
    seed: int = 0,
) -> Dataset:
    """MNIST as a dataset; each epoch in a new order.

    A batch has "image", uint8 [batch, 28, 28, 1], which `prepare` turns into float32 in
    [0, 1]; "label" int32 [batch]; and "where" bool [batch] in evaluation. Arguments and
    errors are those of `arrays`; only digits of `classes` are kept; `seed` is of the
    order.
    """
    if not classes:
        raise ValueError("mnist.digits: expected one class at least; got none.")
    for digit in classes:
        checks.one_of("mnist.digits", tuple(range(10)), classes=digit)
    data = {}
    for split in SPLITS:
        images, labels = arrays(split, source=source, data_dir=data_dir)
        rows = np.isin(labels, np.array(classes, int))
        data[split] = (images, labels) if rows.all() else (images[rows], labels[rows])

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        images, labels = data[split]
        return {"image": images[rows][..., None], "label": labels[rows]}

    num_examples = {split: len(labels) for split, (_, labels) in data.items()}
    return of_rows("mnist.digits", take, num_examples, seed=seed, prepare=unit_pixels)


def asset(name: str) -> dict[str, np.ndarray]:
    """The arrays of one .npz file among the package's assets."""
    path = importlib.resources.files("repr_jax").joinpath("data", "assets", name)
    with path.open("rb") as file, np.load(file) as arrays:
        return dict(arrays)


@functools.cache
def _embedded(split: str) -> tuple[np.ndarray, ...]:
    names = {
        "train": [f"mnist_train_{i}.npz" for i in range(3)],
        "test": ["mnist_test.npz"],
    }
    parts = [asset(name) for name in names[split]]
    images = np.concatenate([part["images"] for part in parts])
    labels = np.concatenate([part["labels"] for part in parts]).astype(np.int32)
    return read_only(images, labels)


@functools.cache
def _prepared(split: str, data_dir: str) -> tuple[np.ndarray, ...]:
    images, labels = tfds_images.arrays("mnist", split, data_dir=data_dir)
    return images[..., 0], labels
