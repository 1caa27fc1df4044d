"""Emoji, each drawn by two artists and named in words: pairs that are real and small.

A batch after `prepare` has
  noto, twemoji: float32 [batch, 32, 32, 3] in [0, 1], on white, one artist each;
  name: float32 [batch, num_features], its words and their parts, of length 1;
  text: float32 [batch, 32, 71], if asked for: the name in one-hot characters, see
    `characters`, for a decoder that writes it; in small letters, cut after 32;
  label: int32 [batch], the category, 0 to 8;
  subcategory: int32 [batch], 0 to 97, each of one category;
  caption: uint8 [batch, letters], the name as bytes, padded with zeros;
  where: bool [batch], in evaluation;
and the images are uint8 before. A fifth of the emoji is held out, chosen once for all
seeds. One emoji in several skin tones is one emoji: its variants, which all carry the
same name, are on one side of the split. Training draws all of them; the test split has
each emoji once, in its default tone, so that a name has one right answer.

`experiments.make_emoji` makes the file. It is an .npz of noto and twemoji, uint8
[N, 32, 32, 3]; name, str [N]; category and subcategory, int [N]; base, int [N], one per
emoji whatever its tone; tone, int [N], -1 if there is none and 0 for the default; and
category_names and subcategory_names, str. Noto Emoji is by
Google, Apache-2.0; Twemoji by Twitter and contributors, CC-BY 4.0.
"""

import functools
import os
import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from repr_jax import files
from repr_jax.data import characters
from repr_jax.data.dataset import (
    Dataset,
    check_modalities,
    of_rows,
    read_only,
    unit_pixels,
)
from repr_jax.ops import checks

IMAGES = ("noto", "twemoji")
MODALITIES = (*IMAGES, "name")
CLASSES = ("category", "subcategory")
ENTRIES = (*MODALITIES, *CLASSES, "base", "tone")
HELD_OUT = 0.2  # of the emoji
SIDE = 32  # pixels
LENGTH = 32  # characters of text; a name in 27 is longer


def load(
    *,
    path: str,
    modalities: tuple[str, ...] = MODALITIES,
    num_features: int = 2048,
    seed: int = 0,
) -> Dataset:
    """The emoji as a dataset, each epoch in a new order; see the module.

    Args:
      path: the .npz file, or a folder with emoji.npz in it.
      modalities: which of noto, twemoji, name, text a batch has, in this order.
      num_features: buckets that the parts of names are hashed into.
      seed: of the order.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is damaged, an array is missing or not of the form above, or a
        modality is unknown or there twice.
    """
    modalities = check_modalities("emoji.load", modalities, known=(*MODALITIES, "text"))
    checks.count("emoji.load", num_features=num_features)
    data = _read(_file(path))
    rows_of = split(data["base"], data["tone"])
    names = [str(name) for name in data["name"]]
    features = np.stack([name_features(name, num_features) for name in names])
    captions = _as_bytes(names)
    texts = characters.encode([name.lower()[:LENGTH] for name in names], LENGTH)

    images = tuple(name for name in modalities if name in IMAGES)

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        rows = rows_of[split][rows]
        batch = {"name": features[rows]} if "name" in modalities else {}
        batch |= {"text": texts[rows]} if "text" in modalities else {}
        batch |= {name: data[name][rows] for name in images}
        label, subcategory = (data[name][rows].astype(np.int32) for name in CLASSES)
        batch |= {"label": label, "subcategory": subcategory}
        return {**batch, "caption": captions[rows]}

    num_examples = {split: len(rows) for split, rows in rows_of.items()}
    return of_rows(
        "emoji.load",
        take,
        num_examples,
        seed=seed,
        prepare=functools.partial(_prepare, images=images),
        modalities=modalities,
    )


def pictures(*, path: str, seed: int = 0) -> Dataset:
    """Pictures of both artists as rows of their own, for models of one image.

    A batch has "image", uint8 [batch, 32, 32, 3], which `prepare` turns into float32 in
    [0, 1]; "label" int32, the category; and "where" in evaluation. An emoji is on one
    side of the split whoever drew it. Arguments and errors are those of `load`.
    """
    data = _read(_file(path))
    rows_of = split(data["base"], data["tone"])

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        which, artist = np.divmod(rows, len(IMAGES))
        which = rows_of[split][which]
        drawn = np.stack([data[name][which] for name in IMAGES])
        image = drawn[artist, np.arange(len(rows))]
        return {"image": image, "label": data["category"][which].astype(np.int32)}

    num_examples = {split: len(IMAGES) * len(rows) for split, rows in rows_of.items()}
    return of_rows("emoji.pictures", take, num_examples, seed=seed, prepare=unit_pixels)


def _prepare(batch: Mapping, *, images: Sequence[str]) -> dict:
    text = ("text",) if "text" in batch else ()
    return characters.unit_text(unit_pixels(batch, names=images), names=text)


def class_names(path: str) -> dict[str, tuple[str, ...]]:
    """{"category": names, "subcategory": names} of a file; errors as of `load`."""
    names = [f"{name}_names" for name in CLASSES]
    found = files.read_npz("emoji.class_names", _file(path), names)
    return {name: tuple(map(str, found[f"{name}_names"])) for name in CLASSES}


def read(path: str) -> dict[str, np.ndarray]:
    """All arrays of a file, those of ENTRIES and names of classes; errors as of `load`.

    They are shared, and cannot be written to.
    """
    names = {f"{name}_names": np.array(x) for name, x in class_names(path).items()}
    data = _read(_file(path))
    for name in CLASSES:
        who = f"emoji.read: {path}"
        checks.within(who, len(names[f"{name}_names"]), **{name: data[name]})
    return {**data, **names}


def split(base: np.ndarray, tone: np.ndarray) -> dict[str, np.ndarray]:
    """{"train": rows, "test": rows}: a fifth of the emoji is held out, once each.

    base, tone: [N] int, as in the module. Test rows are those without another tone.
    """
    emoji = np.unique(base)
    order = np.random.default_rng(0).permutation(emoji)
    held_out = np.isin(base, order[: round(HELD_OUT * len(emoji))])
    return {
        "train": np.flatnonzero(~held_out),
        "test": np.flatnonzero(held_out & (tone <= 0)),
    }


def name_features(name: str, num_features: int) -> np.ndarray:
    """[num_features] float32 of length 1: counts of words and of their trigrams.

    A word counts as a whole and by its trigrams, with a mark at either end, so that an
    unseen word is near those that share a part with it. Every part is hashed into a
    bucket. Source of the idea: Bojanowski et al., "Enriching Word Vectors with Subword
    Information", 2017, https://arxiv.org/abs/1607.04606.
    """
    counts = np.zeros(num_features, np.float32)
    for word in re.findall(r"[^\W_]+", name.lower()):
        marked = f"<{word}>"
        parts = [marked, *(marked[i : i + 3] for i in range(len(marked) - 2))]
        for part in parts:
            counts[zlib.crc32(part.encode()) % num_features] += 1
    return counts / max(float(np.linalg.norm(counts)), 1.0)


def _as_bytes(names: list[str]) -> np.ndarray:
    encoded = [name.encode() for name in names]
    captions = np.zeros((len(names), max(map(len, encoded))), np.uint8)
    for row, text in zip(captions, encoded):
        row[: len(text)] = np.frombuffer(text, np.uint8)
    return captions


def _file(path: str | os.PathLike) -> str:
    path = os.path.expanduser(path)
    path = os.path.join(path, "emoji.npz") if os.path.isdir(path) else path
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"emoji.load: expected an .npz of {', '.join(ENTRIES)}; got no such file: "
            f"{path or 'no path'}."
        )
    return path


@functools.lru_cache(maxsize=2)
def _read(path: str) -> dict[str, np.ndarray]:
    data = files.read_npz("emoji.load", path, ENTRIES)
    rows = len(data["name"])
    for name, array in data.items():
        shape = (rows, SIDE, SIDE, 3) if name in IMAGES else (rows,)
        wanted = "uint8" if name in IMAGES else "str" if name == "name" else "int"
        right = {
            "uint8": array.dtype == np.uint8,
            "str": array.dtype.kind == "U",
            "int": array.dtype.kind in "iu",
        }
        if array.shape != shape or not right[wanted]:
            raise ValueError(
                f"emoji.load: expected {name} {wanted} {shape} in {path}; got "
                f"{array.dtype} {array.shape}."
            )
    read_only(*data.values())
    return data
