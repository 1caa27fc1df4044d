"""Multimodal3DIdent from files, and into files; a batch is as in `multimodal3dident`.

The released layout, path/{train,val,test}/:
  images/: PNG, named by their number, in any width.
  text/text_raw.txt: a sentence a line.
  latents_image.csv, latents_text.csv: a row a line, below the names of the factors.
Row i, line i and image i belong together. The published archive is m3di.tar.gz at
https://zenodo.org/records/7678231, with 125,000, 10,000 and 10,000 rows.
"""

import concurrent.futures
import csv
import functools
import io
import itertools
import os
import re
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from PIL import Image

from repr_jax import files
from repr_jax.data import captions, image_files
from repr_jax.data.dataset import SPLITS, Dataset, of_rows, unit_pixels
from repr_jax.data.multimodal3dident_factors import (
    CONTENT,
    CONTINUOUS,
    MODALITIES,
    NUM_CLASSES,
    sentences,
)
from repr_jax.ops import checks

LARGEST = 2**31 - 1  # of a column of whole numbers without a bound
IMAGE_COLUMNS = (*CONTENT, "object_zpos", *CONTINUOUS)
TEXT_COLUMNS = (
    *CONTENT,
    "object_zpos",
    "object_color_name",
    "object_color_index",
    "text_phrasing",
)


def folder(
    *, path: str | os.PathLike, size: int | None = None, seed: int = 0
) -> Dataset:
    """Multimodal3DIdent from files.

    Training goes through train; the evaluated split "train", to which probes are
    fitted, is val, as published, and "test" is test. Sentences may be in any words,
    which are numbered as path/vocab.json says if it is there, and else in the order of
    their first appearance in the training sentences; other words are number 2. Images
    are decoded when they are asked for, and not kept.

    Args:
      path: the folder m3di of the archive, or one by `write_folder`.
      size: pixels a side to which images are resized by averages; None leaves them.
      seed: of the order in training.

    Raises:
      FileNotFoundError: a folder or file is missing.
      ValueError: files disagree in number or content, a column is missing, a value is
        out of range, or an image is not RGB.
    """
    who = "multimodal3dident_files.folder"
    path = os.path.expanduser(path)
    if size is not None:
        checks.count(who, size=size)
    found = {s: _read_split(who, path, s) for s in ("train", "val", "test")}
    texts = {name: text for name, (_, text, _) in found.items()}
    file = os.path.join(path, "vocab.json")
    if os.path.exists(file):
        vocabulary = captions.vocabulary_from_json(
            files.read_text(who, file), f"{who}, {file}"
        )
    else:
        vocabulary = captions.vocabulary(texts["train"])
    every = itertools.chain.from_iterable(texts.values())
    length = max(len(captions.split(text)) for text in every) + 1
    for name, text in texts.items():
        found[name][0]["text"] = vocabulary.encode(text, length)

    def reading(parts: Mapping[str, str]) -> Dataset:
        def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
            factors, _, images = found[parts[split]]
            entries = {name: x[rows] for name, x in factors.items()}
            return {**entries, "image": _decoded(who, [images[r] for r in rows], size)}

        count = {split: len(found[name][1]) for split, name in parts.items()}
        return of_rows(who, take, count, seed=seed)

    fitted = reading({"train": "val", "test": "test"})
    for split in SPLITS:  # a wrong size shows before the training starts
        next(fitted.evaluate(split, 1))

    train = reading({"train": "train"}).train
    return Dataset(train, fitted.evaluate, unit_pixels, fitted.num_examples, MODALITIES)


def _read_split(
    who: str, path: str, split: str
) -> tuple[dict[str, np.ndarray], list[str], list[str]]:
    """Factors {name: [rows]}, sentences, image files."""
    folder = os.path.join(path, split)
    factors = _read_csv(who, os.path.join(folder, "latents_image.csv"))
    columns = (*CONTENT, "object_color_index", "text_phrasing")
    of_text = _read_csv(who, os.path.join(folder, "latents_text.csv"), columns)
    for name in CONTENT:
        if not np.array_equal(factors[name], of_text[name]):
            raise ValueError(
                f"{who}, {folder}: expected the same {name} in latents_image.csv and "
                f"latents_text.csv; they differ."
            )
    text = files.read_text(who, os.path.join(folder, "text", "text_raw.txt"))
    text = text.removesuffix("\n").split("\n")
    images = _list_images(who, os.path.join(folder, "images"))
    rows = len(factors["object_shape"])
    if len(text) != rows or sorted(images) != list(range(rows)):
        raise ValueError(
            f"{who}, {folder}: expected a sentence and an image for each of {rows} "
            f"rows of latents_image.csv; got {len(text)} lines and {len(images)} "
            f"images, numbered from {min(images)} to {max(images)}."
        )
    factors = {**factors, **of_text, "label": factors["object_shape"]}
    return factors, text, [images[i] for i in range(rows)]


def _read_csv(
    who: str, file: str, columns: Sequence[str] = (*CONTENT, *CONTINUOUS)
) -> dict[str, np.ndarray]:
    """{column: [rows] int32, or float32 for continuous ones}, checked."""
    rows = files.read_csv(who, file, columns)
    read = {}
    for name in columns:
        values = np.array([_number(text) for text in rows[name]])
        whole = name not in CONTINUOUS
        top = NUM_CLASSES.get(name, LARGEST) - 1 if whole else 1
        good = (values >= 0) & (values <= top)  # not of NaN
        if whole:
            good &= values == np.floor(values)
        if not good.all():
            row = np.argmin(good)
            raise ValueError(
                f"{who}, {file}: expected {name} from 0 to {top}"
                f"{', whole' if whole else ''}; got {rows[name][row]!r} in row {row}."
            )
        read[name] = values.astype(np.int32 if whole else np.float32)
    return read


def _number(text: str) -> float:
    """NaN for what is no number."""
    try:
        return float(text)
    except ValueError:
        return np.nan


def _list_images(who: str, path: str) -> dict[int, str]:
    """{number: file} of the PNG files that are named by a number."""
    numbers, others = {}, []
    for entry in os.scandir(path) if os.path.isdir(path) else ():
        match = re.fullmatch(r"(\d+)\.png", entry.name)
        if match is not None:
            numbers[int(match[1])] = entry.path
        elif not files.left_behind(entry.name):
            others.append(entry.name)
    if not numbers:
        raise FileNotFoundError(f"{who}: expected {path}/0.png, ..; there are none.")
    image_files.report_others(path, others)
    return numbers


@functools.cache
def _decoders() -> concurrent.futures.Executor:
    return concurrent.futures.ThreadPoolExecutor(8, thread_name_prefix="decode")


def _decoded(who: str, paths: list[str], size: int | None) -> np.ndarray:
    """[paths, size, size, 3] uint8."""

    def decode(path: str) -> np.ndarray:
        with image_files.opened(path) as image:
            if image.mode != "RGB" or image.width != image.height:
                raise ValueError(
                    f"{who}: expected square images in RGB; {path} has {image.width} x "
                    f"{image.height} in {image.mode}."
                )
            image = image_files.to_rgb(image)
            if size not in (None, image.width):
                image = image.resize((size, size), Image.Resampling.BOX)
            return np.asarray(image)

    return image_files.stack(list(_decoders().map(decode, paths)), paths, who)


def write_folder(
    dataset: Dataset, path: str | os.PathLike, *, num_train: int, batch_size: int = 256
) -> None:
    """Writes what `multimodal3dident.rendered` makes into files, for `folder`.

    Args:
      dataset: by `rendered`.
      path: gets train (the first training rows), val and test (the evaluated splits),
        and vocab.json.
      num_train: rows of train.
      batch_size: rows rendered at a time.
    """
    checks.count("write_folder", num_train=num_train)
    path = os.path.expanduser(path)
    prepare = jax.jit(dataset.prepare)
    sources = {"train": dataset.train(batch_size)}
    sources |= {"val": dataset.evaluate("train", batch_size)}
    sources |= {"test": dataset.evaluate("test", batch_size)}
    counts = {"train": num_train, "val": dataset.num_examples["train"]}
    counts["test"] = dataset.num_examples["test"]
    for split, batches in sources.items():
        folder, rows, text = os.path.join(path, split), [], []
        for name in ("images", "text"):
            os.makedirs(os.path.join(folder, name), exist_ok=True)
        width = len(str(counts[split] - 1))
        while len(rows) < counts[split]:
            batch = next(batches)
            images = np.rint(np.asarray(prepare(batch)["image"]) * 255)
            for row, sentence in enumerate(
                sentences(batch)[: counts[split] - len(rows)]
            ):
                file = os.path.join(folder, "images", f"{len(rows):0{width}d}.png")
                Image.fromarray(images[row].astype(np.uint8)).save(file)
                rows.append(_row(batch, row))
                text.append(sentence)
        files.write(os.path.join(folder, "text", "text_raw.txt"), "\n".join(text))
        for name, columns in (("image", IMAGE_COLUMNS), ("text", TEXT_COLUMNS)):
            table = io.StringIO()
            writer = csv.DictWriter(table, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
            files.write(os.path.join(folder, f"latents_{name}.csv"), table.getvalue())
    files.write(os.path.join(path, "vocab.json"), captions.own()[0].to_json())


def _row(batch: Mapping, row: int) -> dict[str, str]:
    """A line of both tables; numbers that read back as the same float32."""
    names = (*NUM_CLASSES, *CONTINUOUS, "object_color_index")
    line = {name: f"{batch[name][row]:.9g}" for name in names}
    color = captions.palettes().names[batch["object_color_index"][row]]
    return {**line, "object_zpos": "0", "object_color_name": color}
