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
import itertools
import os
import re

import jax
import numpy as np
from PIL import Image

from repr_jax.data import captions
from repr_jax.data.dataset import SPLITS, Dataset, of_rows
from repr_jax.data.multimodal3dident_factors import (
    CONTENT,
    CONTINUOUS,
    MODALITIES,
    NUM_CLASSES,
    sentences,
)
from repr_jax.ops import checks

IMAGE_COLUMNS = (*CONTENT, "object_zpos", *CONTINUOUS)
TEXT_COLUMNS = (
    *CONTENT,
    "object_zpos",
    "object_color_name",
    "object_color_index",
    "text_phrasing",
)


def folder(*, path, size: int | None = None, seed: int = 0) -> Dataset:
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
    if size is not None:
        checks.count(who, size=size)
    found = {s: _read_split(who, path, s) for s in ("train", "val", "test")}
    texts = {name: text for name, (_, text, _) in found.items()}
    file = os.path.join(path, "vocab.json")
    if os.path.exists(file):
        vocabulary = captions.vocabulary_from_json(_read(who, file), f"{who}, {file}")
    else:
        vocabulary = captions.vocabulary(texts["train"])
    every = itertools.chain.from_iterable(texts.values())
    length = max(len(captions.split(text)) for text in every) + 1
    for name, text in texts.items():
        found[name][0]["text"] = vocabulary.encode(text, length)

    def reading(parts):
        def take(split, rows):
            factors, _, images = found[parts[split]]
            entries = {name: x[rows] for name, x in factors.items()}
            return {**entries, "image": _decoded(who, [images[r] for r in rows], size)}

        count = {split: len(found[name][1]) for split, name in parts.items()}
        return of_rows(who, take, count, seed=seed)

    fitted = reading({"train": "val", "test": "test"})
    for split in SPLITS:  # a wrong size shows before the training starts
        next(fitted.evaluate(split, 1))

    def prepare(batch):
        return {**batch, "image": batch["image"].astype(np.float32) / 255}

    train = reading({"train": "train"}).train
    return Dataset(train, fitted.evaluate, prepare, fitted.num_examples, MODALITIES)


def _read_split(who, path, split):
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
    text = _read(who, os.path.join(folder, "text", "text_raw.txt")).splitlines()
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


def _read(who, file):
    if not os.path.isfile(file):
        raise FileNotFoundError(f"{who}: expected {file}; there is none.")
    with open(file, encoding="utf-8") as opened:
        return opened.read()


def _read_csv(who, file, columns=(*CONTENT, *CONTINUOUS)):
    """{column: [rows] int32, or float32 for continuous ones}, checked."""
    rows = list(csv.DictReader(_read(who, file).splitlines()))
    if not rows:
        raise ValueError(f"{who}, {file}: expected rows; there are none.")
    read = {}
    for name in columns:
        if name not in rows[0]:
            raise ValueError(
                f"{who}, {file}: expected a column {name}; got {', '.join(rows[0])}."
            )
        values = np.array([float(row[name]) for row in rows])
        top = NUM_CLASSES.get(name, np.inf) - 1 if name not in CONTINUOUS else 1
        if values.min() < 0 or values.max() > top:
            raise ValueError(
                f"{who}, {file}: expected {name} from 0 to {top}; got "
                f"{values.min():g} to {values.max():g}."
            )
        read[name] = values.astype(np.float32 if name in CONTINUOUS else np.int32)
    return read


def _list_images(who, path):
    """{number: file} of the PNG files that are named by a number."""
    found = os.scandir(path) if os.path.isdir(path) else ()
    numbers = {
        int(match[1]): entry.path
        for entry in found
        if (match := re.fullmatch(r"(\d+)\.png", entry.name))
    }
    if not numbers:
        raise FileNotFoundError(f"{who}: expected {path}/0.png, ..; there are none.")
    return numbers


@functools.cache
def _decoders():
    return concurrent.futures.ThreadPoolExecutor(8, thread_name_prefix="decode")


def _decoded(who, files, size):
    """[files, size, size, 3] uint8."""

    def decode(file):
        with Image.open(file) as image:
            if image.mode != "RGB" or image.width != image.height:
                raise ValueError(
                    f"{who}: expected square images in RGB; {file} has {image.width} x "
                    f"{image.height} in {image.mode}."
                )
            if size not in (None, image.width):
                image = image.resize((size, size), Image.Resampling.BOX)
            return np.asarray(image)

    return np.stack(list(_decoders().map(decode, files)))


def write_folder(dataset, path, *, num_train: int, batch_size: int = 256) -> None:
    """Writes what `multimodal3dident.rendered` makes into files, for `folder`.

    Args:
      dataset: by `rendered`.
      path: gets train (the first training rows), val and test (the evaluated splits),
        and vocab.json.
      num_train: rows of train.
      batch_size: rows rendered at a time.
    """
    checks.count("write_folder", num_train=num_train)
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
            for row, said in enumerate(sentences(batch)[: counts[split] - len(rows)]):
                file = os.path.join(folder, "images", f"{len(rows):0{width}d}.png")
                Image.fromarray(images[row].astype(np.uint8)).save(file)
                rows.append(_row(batch, row))
                text.append(said)
        with open(os.path.join(folder, "text", "text_raw.txt"), "w") as file:
            file.write("\n".join(text))
        for name, columns in (("image", IMAGE_COLUMNS), ("text", TEXT_COLUMNS)):
            with open(os.path.join(folder, f"latents_{name}.csv"), "w") as file:
                writer = csv.DictWriter(file, columns, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(rows)
    with open(os.path.join(path, "vocab.json"), "w", encoding="utf-8") as file:
        file.write(captions.own()[0].to_json())


def _row(batch, row):
    """A line of both tables; numbers that read back as the same float32."""
    names = (*NUM_CLASSES, *CONTINUOUS, "object_color_index")
    line = {name: f"{batch[name][row]:.9g}" for name in names}
    color = captions.palettes().names[batch["object_color_index"][row]]
    return {**line, "object_zpos": "0", "object_color_name": color}
