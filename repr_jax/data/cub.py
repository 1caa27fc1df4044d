"""CUB captions: a bird, and a sentence about it; read from the published files.

A batch after `prepare` has
  image: float32 [batch, size, size, 3] in [0, 1], the largest square in the middle;
  text: float32 [batch, 32, words], one-hot; what follows the end is zeros, so that
    `likelihood.categorical` does not count it;
  label: int32 [batch], the species, from 0, as its folder is numbered;
  where: bool [batch], in evaluation.
Row i is sentence i % 10 of image i // 10. The splits have different species: 150 to
train on, 8,855 images, and 50 to test, 2,933 images.

A folder holds
  images.txt: a line for each image, "1 001.Black_footed_Albatross/name.jpg";
  images/001.Black_footed_Albatross/name.jpg;
  text_c10/001.Black_footed_Albatross/name.txt: ten lines, a sentence each;
  trainvalclasses.txt and testclasses.txt: a line for each species of the split.
The first two are of CUB-200-2011, https://www.vision.caltech.edu/datasets/cub_200_2011,
the others of Reed et al., "Learning Deep Representations of Fine-Grained Visual
Descriptions", 2016, https://github.com/reedscot/cvpr2016.

Words of more than 3 occurrences in the training sentences are known, in the order of
their first. Numbers 0, 1 and 2 are an unknown word, padding and the end. A sentence is
cut after 31 words. Words and marks are told apart by `captions.split`, where the
published code uses NLTK, so its vocabulary of 1,590 may differ by some words.

Source: Shi et al., "Variational Mixture-of-Experts Autoencoders", 2019,
https://arxiv.org/abs/1911.03393, and its code.
"""

import collections
import functools
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from repr_jax import files
from repr_jax.data import captions, image_files
from repr_jax.data.dataset import (
    SPLITS,
    Dataset,
    check_modalities,
    of_rows,
    unit_pixels,
)
from repr_jax.ops import checks

WHO = "cub.load"
MODALITIES = ("image", "text")
SPLIT_FILES = ("trainvalclasses.txt", "testclasses.txt")
NUM_CAPTIONS = 10  # of an image
LENGTH = 32  # words of a sentence, its end included
LEAST = 4  # occurrences of a known word
SPECIALS = ("<exc>", "<pad>", "<eos>")
UNKNOWN, PAD, EOS = range(3)


def load(
    *,
    path: str | os.PathLike,
    modalities: Sequence[str] = MODALITIES,
    size: int = 64,
    split_files: Sequence[str] = SPLIT_FILES,
    seed: int = 0,
) -> Dataset:
    """The set of the module. An image is decoded when it is first needed, then kept.

    Args:
      path: the folder of the module.
      modalities: which of image, text a batch has, in this order.
      size: height and width of the images.
      split_files: the lists of species to train on and to test, within the folder.
      seed: of the order of training.

    Raises:
      FileNotFoundError: a file is missing, or a species has no image.
      ValueError: an unknown modality; a line that is not as in the module, a species
        of both splits, another number of sentences than ten, or no UTF-8, each naming
        the file; an image that is damaged, when it is decoded.
    """
    modalities = check_modalities(WHO, modalities, MODALITIES)
    checks.count(WHO, size=size)
    if len(split_files) != len(SPLITS):
        raise ValueError(
            f"{WHO}: expected split_files of two names; got {len(split_files)}."
        )
    path = os.path.expanduser(path)
    names = _images(path, tuple(split_files))
    sentences = {s: _sentences(path, found) for s, found in names.items()}
    lists = {s: list(itertools.chain(*found)) for s, found in sentences.items()}
    words = vocabulary(lists["train"])
    tokens = {split: encode(words, found) for split, found in lists.items()}
    images = {
        split: image_files.decoded_once(
            functools.partial(_image, path, found, size), len(found), (size, size, 3)
        )
        for split, found in names.items()
    }
    labels = {split: _labels(found) for split, found in names.items()}

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        batch = {"label": labels[split][rows // NUM_CAPTIONS]}
        if "image" in modalities:
            batch["image"] = images[split](rows // NUM_CAPTIONS)
        if "text" in modalities:
            batch["text"] = tokens[split][rows]
        return batch

    return of_rows(
        WHO,
        take,
        {split: len(found) for split, found in tokens.items()},
        seed=seed,
        prepare=functools.partial(_prepare, num_words=len(words)),
        modalities=modalities,
    )


def _labels(names: Sequence[str]) -> np.ndarray:
    """[images] int32 from 0, of names such as 001.Black_footed_Albatross/..."""
    return np.array([int(name.split(".")[0]) - 1 for name in names], np.int32)


def words_of(
    path: str | os.PathLike, *, split_files: Sequence[str] = SPLIT_FILES
) -> tuple[str, ...]:
    """The words of a folder by their numbers; arguments and errors as of `load`."""
    path = os.path.expanduser(path)
    names = _images(path, tuple(split_files))
    return vocabulary(itertools.chain(*_sentences(path, names["train"])))


def vocabulary(sentences: Iterable[str]) -> tuple[str, ...]:
    """The specials, then words of LEAST or more occurrences, first come first."""
    count = collections.Counter(
        itertools.chain.from_iterable(map(captions.split, sentences))
    )
    return (*SPECIALS, *(word for word, n in count.items() if n >= LEAST))


def encode(words: Sequence[str], sentences: Sequence[str]) -> np.ndarray:
    """[sentences, 32] int32: numbers of the first 31 words, the end, padding."""
    number = {word: i for i, word in enumerate(words)}
    tokens = np.full((len(sentences), LENGTH), PAD, np.int32)
    for row, sentence in zip(tokens, sentences):
        known = captions.split(sentence)[: LENGTH - 1]
        row[: len(known)] = [number.get(word, UNKNOWN) for word in known]
        row[len(known)] = EOS
    return tokens


def decode(words: Sequence[str], tokens: Iterable[int]) -> str:
    """The words up to the end, a space between them."""
    kept = itertools.takewhile(lambda token: token not in (PAD, EOS), tokens)
    return " ".join(words[token] for token in kept)


def _images(path: str, split_files: tuple[str, ...]) -> dict[str, list[str]]:
    """{split: names within images/, in the order of images.txt}."""
    species = {}
    for split, name in zip(SPLITS, split_files):
        lines = files.read_text(WHO, os.path.join(path, name)).splitlines()
        species[split] = {line.strip() for line in lines if line.strip()}
    both = species["train"] & species["test"]
    if both:
        raise ValueError(
            f"{WHO}: expected each species in one of {' and '.join(split_files)} in "
            f"{path}; got {min(both)} in both."
        )
    listing = os.path.join(path, "images.txt")
    found = {split: [] for split in SPLITS}
    for i, line in enumerate(files.read_text(WHO, listing).splitlines(), start=1):
        match = re.fullmatch(r"\s*\d+\s+((\d+\..+?)/[^/]+\.\w+)\s*", line)
        if match is None and line.strip():
            raise ValueError(
                f"{WHO}: expected lines of a number and 001.Species/name.jpg in "
                f"{listing}; line {i} is {line[:80]!r}."
            )
        for split in SPLITS:
            if match is not None and match[2] in species[split]:
                found[split].append(match[1])
    for split, name in zip(SPLITS, split_files):
        without = species[split] - {image.split("/")[0] for image in found[split]}
        if without or not species[split]:
            raise FileNotFoundError(
                f"{WHO}: expected images of each species of {name} in {listing}; there "
                f"are none of {min(without, default='any')}."
            )
    return found


def _sentences(path: str, names: Sequence[str]) -> list[list[str]]:
    """Ten sentences of each image."""
    found = []
    for name in names:
        file = os.path.join(path, "text_c10", os.path.splitext(name)[0] + ".txt")
        lines = [x.strip() for x in files.read_text(WHO, file).splitlines()]
        lines = [line for line in lines if line]
        if len(lines) != NUM_CAPTIONS:
            raise ValueError(
                f"{WHO}: expected {NUM_CAPTIONS} sentences in {file}; got {len(lines)}."
            )
        found.append(lines)
    return found


def _image(path: str, names: Sequence[str], size: int, row: int) -> np.ndarray:
    file = os.path.join(path, "images", names[row])
    return image_files.square(image_files.read(file), size)


def _prepare(batch: Mapping, *, num_words: int) -> dict:
    """Images in [0, 1], one-hot text; on the device."""
    rest = unit_pixels(batch) if "image" in batch else dict(batch)
    if "text" in rest:
        rest["text"] = captions.one_hot_words(rest["text"], num_words, padding=PAD)
    return rest
