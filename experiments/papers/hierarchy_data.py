"""What the hierarchies of the paper are grown on: features of a trained encoder.

A source trains its encoder by the command line (see `sweep`), encodes both splits once
and keeps the result in DIR/SOURCE/features.npz.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from experiments.launch import sweep
from repr_jax import config as configs
from repr_jax import files
from repr_jax import run as runs
from repr_jax.data import emoji
from repr_jax.evaluators.common import collect_targets

CIFAR = "configs/contrastive/simclr_cifar10.py"
MNIST = "configs/contrastive/simclr_mnist.py"
EMOJI = "configs/contrastive/clip_emoji.py"
BATCH = 256  # rows encoded at a time


class Rows(NamedTuple):
    """Some rows of a source; heads see their features, never their labels."""

    features: np.ndarray  # [rows, dim] float32, standardized over the rows fitted on
    images: np.ndarray  # [rows, height, width, channels] float32 in [0, 1]
    labels: np.ndarray  # [rows] int from 0
    coarse: np.ndarray | None  # [rows] int from 0, classes of classes


class Data(NamedTuple):
    """Rows that heads are fitted on, and rows that trees are grown and scored on."""

    fitted: Rows
    scored: Rows
    names: tuple[str, ...]  # of the labels; () if they are numbers


class Source(NamedTuple):
    """Where rows come from."""

    config: str  # of the encoder
    overrides: Mapping
    read: Callable  # (trained model, dataset, config) -> Data


def _targets(trained, dataset, split, image, *labels):
    """Features, images in [0, 1] and labels of all rows of a split."""
    x, found = collect_targets(trained, dataset, split, BATCH, (image, *labels))
    return x, found.pop(image).astype(np.float32) / 255, found


def read_images(trained, dataset, config) -> Data:
    """Heads are fitted on the training split, trees grown on the test split."""
    rows = {}
    for split in ("train", "test"):
        x, images, found = _targets(trained, dataset, split, "image", "label")
        rows[split] = Rows(x, images, found["label"], None)
    return Data(rows["train"], rows["test"], ())


def read_emoji(trained, dataset, config) -> Data:
    """All emoji, each once and in its default tone: heads and trees have the same rows.

    There are too few of most of the 98 subcategories to hold some out.
    """
    parts = []
    for split in ("train", "test"):
        labels = ("label", "subcategory", "caption")
        x, images, found = _targets(trained, dataset, split, "noto", *labels)
        _, first = np.unique(found["caption"], axis=0, return_index=True)
        first = np.sort(first)  # tones share a name, and the default one is first
        columns = (x, images, found["subcategory"], found["label"])
        parts.append([column[first] for column in columns])
    rows = Rows(*(np.concatenate(column) for column in zip(*parts)))
    return Data(rows, rows, emoji.class_names(config.data_dir)["subcategory"])


def standardized(data: Data) -> Data:
    """Features of mean 0 and variance 1 over the rows fitted on."""
    mean = data.fitted.features.mean(axis=0)
    std = np.maximum(data.fitted.features.std(axis=0), 1e-6)
    fitted, scored = (
        rows._replace(features=((rows.features - mean) / std).astype(np.float32))
        for rows in (data.fitted, data.scored)
    )
    return Data(fitted, scored, data.names)


def first_rows(data: Data, num: int, num_classes: int) -> Data:
    """The first rows of both parts that are of the first classes."""

    def cut(rows: Rows) -> Rows:
        some = np.flatnonzero(rows.labels < num_classes)[:num]
        return Rows(*(column if column is None else column[some] for column in rows))

    return Data(cut(data.fitted), cut(data.scored), data.names)


def numbered(labels, coarse) -> tuple[np.ndarray, np.ndarray]:
    """Labels without gaps, [rows], and the coarse class of each, [classes]."""
    _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
    _, coarse = np.unique(coarse[first], return_inverse=True)
    return labels, coarse


def sources(data_dir: str, smoke: bool) -> dict[str, Source]:
    """What a name of --only stands for."""
    few, short = {}, ""
    if smoke:
        few = {"num_steps": 2, "batch_size": 8, "optimizer.warmup_steps": 0}
        short = ":smoke"
    directory = {"data_dir": data_dir} if data_dir else {}
    prepared = {
        "cifar10": {},
        "cifar100": {"name": "cifar100", "label": "label"},
        "food101": {"name": "food101", "splits": ("train", "validation"), "size": 64},
        "i_naturalist2021": {
            "name": "i_naturalist2021",
            "splits": ("train", "val"),
            "size": 64,
        },
    }
    of_sets = {
        name: Source(CIFAR, {**directory, **choice, **few}, read_images)
        for name, choice in prepared.items()
    }
    return {
        "mnist": Source(MNIST + short, {}, read_images),
        "emoji": Source(EMOJI, {**directory, **few}, read_emoji),
        **of_sets,
    }


def load(name: str, source: Source, workdir) -> Data:
    """The rows of a source; its encoder is trained first if that is not done yet.

    Raises:
      sweep.FailedError: training failed. ValueError: the folder is of another config.
    """
    run = sweep.Run(f"{name}/encoder", source.config, source.overrides)
    sweep.complete([run], workdir, jobs=1)
    kept = pathlib.Path(workdir) / name / "features.npz"
    if kept.exists():
        return _unpacked(kept)
    config = configs.load(run.config, run.overrides)
    parts = runs.build(config)
    folder = pathlib.Path(workdir) / run.name
    model = runs.trained(parts, runs.restore(config, parts, folder), folder)
    data = standardized(source.read(model, parts.dataset, config))
    _pack(kept, data)
    return data


def write_arrays(path: pathlib.Path, arrays: Mapping) -> None:
    """An .npz that is whole or absent, also if this process is killed."""
    with files.whole(path) as partial:
        np.savez(partial, **arrays)


def read_arrays(path, *needed: str) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote.

    Raises:
      ValueError: the file is damaged, or lacks an array.
    """
    found = files.read_npz("workdir", path)
    missing = [name for name in needed if name not in found]
    if missing:
        raise ValueError(
            f"{path}: expected arrays {', '.join(needed)}; it has no "
            f"{', '.join(missing)}. Without the file it is made again."
        )
    return found


def _pack(path, data: Data) -> None:
    arrays = {"names": np.array(data.names, str)}
    for part in ("fitted", "scored"):
        rows = getattr(data, part)._asdict()
        arrays |= {f"{part}_{k}": v for k, v in rows.items() if v is not None}
    write_arrays(path, arrays)


def _unpacked(path) -> Data:
    parts = ("fitted", "scored")
    needed = [f"{part}_{field}" for part in parts for field in Rows._fields[:-1]]
    found = read_arrays(path, "names", *needed)
    fitted, scored = (
        Rows(*(found.get(f"{part}_{field}") for field in Rows._fields))
        for part in parts
    )
    return Data(fitted, scored, tuple(map(str, np.atleast_1d(found["names"]))))
