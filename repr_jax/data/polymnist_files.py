"""PolyMNIST as PNG files in the official layout, {train,test}/m0/index.label.png.

Batches hold uint8 images [batch, 28, 28, 3], one entry per modality, which `prepare`
turns into float32 in [0, 1], and "label" int32 [batch]; see `polymnist`. The published
files are at https://zenodo.org/records/4899160; `write_folder` makes others.
"""

import collections
import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from PIL import Image

from repr_jax.data import image_files
from repr_jax.data.dataset import (
    SPLITS,
    Dataset,
    check_modalities,
    of_rows,
    unit_pixels,
)
from repr_jax.files import left_behind

MODALITIES = ("m0", "m1", "m2", "m3", "m4")
SIZE = 28  # pixels


def folder(
    *, path: str | os.PathLike, modalities: Sequence[str] = MODALITIES, seed: int = 0
) -> Dataset:
    """PolyMNIST from files in the official layout, {train,test}/m0/index.label.png.

    Row i is the tuple of the i-th file name, in the order of index, then label, both as
    numbers, so that the classes alternate. An image is decoded when it is first needed
    and then kept: 0.7 GB for all files of all views. Batches hold uint8 images, which
    `prepare` turns into float32 in [0, 1].

    Args:
      path: holds the folders train and test. The published files are at
        https://zenodo.org/records/4899160; `write_folder` makes others.
      modalities: names of folders in train and test.
      seed: of the order in training.

    Raises:
      FileNotFoundError: a folder or a file is missing, or a folder has no images.
      ValueError: an unknown modality, a file name not of this form, or an image that
        is not 28 by 28 RGB (those in first place at once, others when decoded).
    """
    images, labels = {}, {}
    path = os.path.expanduser(path)
    for split in SPLITS:
        files = _list_files(os.path.join(path, split), modalities)
        names = next(iter(files.values()))
        images[split] = _decoder(files)
        labels[split] = np.array([label for _, label in names], np.int32)
    modalities = tuple(files)

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {**images[split](rows), "label": labels[split][rows]}

    num_examples = {split: len(labels[split]) for split in SPLITS}
    return of_rows(
        "polymnist_files.folder",
        take,
        num_examples,
        seed=seed,
        prepare=functools.partial(unit_pixels, names=modalities),
        modalities=modalities,
    )


def _list_files(
    path: str, modalities: Sequence[str]
) -> dict[str, dict[tuple[int, int], str]]:
    """{modality: {(index, label): file}}, the same keys in order for every modality."""
    who = f"polymnist_files.folder, {path}"
    found = os.scandir(path) if os.path.isdir(path) else ()
    found = [entry for entry in found if not left_behind(entry.name)]
    known = sorted(entry.name for entry in found if entry.is_dir())
    if not known:
        raise FileNotFoundError(f"{who}: expected folders m0, m1, ..; there are none.")
    files = {}
    for modality in check_modalities(who, modalities, known):
        files[modality], others = {}, []
        for entry in os.scandir(os.path.join(path, modality)):
            if left_behind(entry.name):
                continue
            match = re.fullmatch(r"(\d+)\.(\d+)\.png", entry.name)
            if match is not None:
                files[modality][int(match[1]), int(match[2])] = entry.path
            elif entry.name.endswith(".png"):
                raise ValueError(
                    f"{who}: expected index.label.png; got {modality}/{entry.name}."
                )
            else:
                others.append(entry.name)
        if not files[modality]:
            raise FileNotFoundError(
                f"{who}: expected files index.label.png in {modality}; there are none."
            )
        image_files.report_others(os.path.join(path, modality), others)
    every = sorted(set().union(*files.values()))
    for modality, names in files.items():
        missing = [f"{i}.{label}.png" for i, label in every if (i, label) not in names]
        if missing:
            raise FileNotFoundError(
                f"{who}: expected the same files for every modality; {modality} lacks "
                f"{len(missing)} that others have, such as {missing[0]}."
            )
    return {m: {key: names[key] for key in every} for m, names in files.items()}


def _decoder(files: Mapping[str, Mapping]) -> Callable:
    """rows -> {modality: uint8 [rows, 28, 28, 3]}; keeps what it has decoded."""
    paths = list(zip(*(names.values() for names in files.values())))

    def decode(path: str) -> np.ndarray:
        with image_files.opened(path) as image:
            if image.mode != "RGB" or image.size != (SIZE, SIZE):
                raise ValueError(
                    f"polymnist_files.folder: expected {SIZE} x {SIZE} pixels in RGB; "
                    f"{path} has {image.width} x {image.height} in {image.mode}."
                )
            return np.asarray(image_files.to_rgb(image))

    decoded = image_files.decoded_once(
        lambda row: np.stack([decode(path) for path in paths[row]]),
        len(paths),
        (len(files), SIZE, SIZE, 3),
    )

    def images(rows: np.ndarray) -> dict[str, np.ndarray]:
        views = decoded(rows)
        return {modality: views[:, i] for i, modality in enumerate(files)}

    images(np.arange(1))  # a wrong size shows before the training starts
    return images


def write_folder(
    dataset: Dataset,
    path: str | os.PathLike,
    split: str,
    *,
    num_examples: int | None = None,
    batch_size: int = 256,
) -> None:
    """Writes tuples of a dataset as PNG files in the official layout, for `folder`.

    Args:
      dataset: its modalities are [batch, 28, 28, 3] in [0, 1] after `prepare`.
      path: gets {split}/{modality}/index.label.png; index counts within the label.
      split: "train" or "test".
      num_examples: how many tuples, the first ones; None for all.
      batch_size: tuples composed at a time.
    """
    path = os.path.expanduser(path)
    left = num_examples or dataset.num_examples[split]
    prepare = jax.jit(dataset.prepare)
    seen = collections.Counter()
    for name in dataset.modalities:
        os.makedirs(os.path.join(path, split, name), exist_ok=True)
    for batch in dataset.evaluate(split, batch_size):
        images = prepare(batch)
        images = {m: np.rint(np.asarray(images[m]) * 255) for m in dataset.modalities}
        for row in np.flatnonzero(batch["where"])[:left]:
            label = int(batch["label"][row])
            for name in dataset.modalities:
                file = os.path.join(path, split, name, f"{seen[label]}.{label}.png")
                Image.fromarray(images[name][row].astype(np.uint8)).save(file)
            seen[label] += 1
        left -= batch_size
        if left <= 0:
            return
