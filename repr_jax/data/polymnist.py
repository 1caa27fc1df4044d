"""PolyMNIST: one digit seen in several views, each over a photograph of its own.

A batch after `prepare` holds one entry per modality, "m0" to "m4", float32
[batch, 28, 28, 3] in [0, 1]; "label" int32 [batch] in 0..9; and "where" bool [batch] in
evaluation. Before it, `composed` yields "digits" uint8 [batch, modality, 28, 28], "id"
and "stream" uint32 [batch], out of which `prepare` composes the images on the device.

Source: Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021,
https://arxiv.org/abs/2105.02470, and its code, https://github.com/thomassutter/MoPoE.
The five photographs of the published files are not known to us: ours are others.
"""

import collections
import functools
import numbers
import os
import re
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from PIL import Image

from repr_jax.data import image_files, mnist, pairing
from repr_jax.data.dataset import (
    SPLITS,
    Dataset,
    batch_indices,
    check_modalities,
    check_seed,
    of_draws,
    of_rows,
    read_only,
    this_process,
    unit_pixels,
)
from repr_jax.files import left_behind

MODALITIES = ("m0", "m1", "m2", "m3", "m4")
NUM_VIEWS = len(MODALITIES)
SIZE = 28
INK = 128  # a pixel brighter than this belongs to the digit
STREAMS = {"train": 1, "test": 2}  # crops of the evaluated splits; 0 is training


def compose(
    key: Array, digit: Array, photograph: Array, *, contrast: float = 1.0
) -> Array:
    """A random crop of the photograph, its colors inverted where the digit is.

    crop = photograph[y : y + 28, x : x + 28] with the corner drawn uniformly from
    0 <= y < height - 28, 0 <= x < width - 28; image = 1 - crop where digit > 128, and
    crop elsewhere.

    Args:
      key: draws the corner.
      digit: [28, 28] uint8 or float in 0..255.
      photograph: [height, width, 3] uint8, both sides above 28.
      contrast: in [0, 1]; the photograph is first softened, contrast * photograph, so
        that it stays in [0, contrast] and the digit in [1 - contrast, 1]: below 0.5
        every digit is brighter than its background. 1 is as published.

    Returns:
      [28, 28, 3] float32 in [0, 1]. Use vmap for a batch.

    Raises:
      ValueError: the photograph is too small, or a shape is not as above.
    """
    if photograph.ndim != 3 or photograph.shape[-1] != 3 or digit.shape != (SIZE, SIZE):
        raise ValueError(
            f"polymnist.compose: expected digit {(SIZE, SIZE)} and photograph [height, "
            f"width, 3]; got {digit.shape} and {photograph.shape}."
        )
    room = np.subtract(photograph.shape[:2], SIZE)
    if room.min() < 1:
        raise ValueError(
            f"polymnist.compose: expected a photograph with both sides above {SIZE}; "
            f"got {photograph.shape}."
        )
    y, x = jax.random.randint(key, (2,), 0, jnp.asarray(room))
    crop = jax.lax.dynamic_slice(photograph, (y, x, 0), (SIZE, SIZE, 3))
    crop = crop.astype(jnp.float32)
    if not isinstance(contrast, numbers.Number) or contrast != 1:
        crop = contrast * crop
    return jnp.where(digit[..., None] > INK, 255 - crop, crop) / 255


def load(
    *,
    modalities: Sequence[str] = MODALITIES,
    source: str = "embedded",
    data_dir: str | None = None,
    contrast: float = 1.0,
    seed: int = 0,
) -> Dataset:
    """PolyMNIST from any source: `composed`, or the official files with `folder`.

    Args:
      source: "embedded" or "tfds", see `composed`; "folder", see `folder`, whose path
        is `data_dir`. The official files are what they are: contrast must be 1.
      modalities, data_dir, contrast, seed: as there.

    Raises:
      ValueError: as there, or a contrast for files.
    """
    if source != "folder":
        return composed(
            modalities=modalities,
            source=source,
            data_dir=data_dir,
            contrast=contrast,
            seed=seed,
        )
    if contrast != 1:
        raise ValueError(
            f"polymnist.load: expected contrast 1 of source folder; got {contrast}."
        )
    return folder(path=data_dir, modalities=modalities, seed=seed)


def composed(
    *,
    modalities: Sequence[str] = MODALITIES,
    source: str = "embedded",
    data_dir: str | None = None,
    contrast: float = 1.0,
    seed: int = 0,
) -> Dataset:
    """PolyMNIST made as it is needed, from MNIST and the photographs of the package.

    The digits of m0 go through MNIST in a new order each epoch; the other views show
    other digits of that class, drawn anew each step, as are the crops. Evaluation is
    fixed, one tuple per MNIST image: in every view an independent permutation of the
    digits of each class, as published. The views of a tuple always show different
    images of a digit; where the published permutations clash (about ten tuples a
    class), they are permuted further.

    Args:
      modalities: some of "m0" to "m4": the photographs astronaut, chelsea, coffee,
        flower and china. Leaving some out leaves the others as they are.
      source, data_dir: see `mnist.arrays`.
      contrast: in [0, 1], how much of the photographs is kept, see `compose`.
      seed: of pairing, order and crops.

    Raises:
      ValueError: no modality, an unknown one, one twice; contrast out of range.
      FileNotFoundError, ImportError: see `mnist.arrays`.
    """
    who = "polymnist.composed"
    modalities = check_modalities(who, modalities, MODALITIES)
    if not isinstance(contrast, numbers.Real) or not 0 <= contrast <= 1:
        raise ValueError(f"{who}: expected contrast in [0, 1]; got {contrast!r}.")
    check_seed(who, seed)
    digits = {s: mnist.arrays(s, source=source, data_dir=data_dir) for s in SPLITS}
    classes = {s: pairing.classes(digits[s][1], width=NUM_VIEWS) for s in SPLITS}
    views = np.array([MODALITIES.index(name) for name in modalities])

    def draw(step: int, batch_size: int) -> dict[str, np.ndarray]:
        rows = _training_rows(classes["train"], seed, step, batch_size)
        number = step * batch_size + np.arange(batch_size)
        rows, number = this_process(rows), this_process(number)
        return _views(digits["train"], rows, views, number, 0)

    @functools.cache
    def fixed_rows(split: str) -> np.ndarray:
        rng = np.random.default_rng((seed, STREAMS[split], 2))
        return pairing.tuples(rng, classes[split], width=NUM_VIEWS)

    def take(split: str, i: np.ndarray) -> dict[str, np.ndarray]:
        return _views(digits[split], fixed_rows(split)[i], views, i, STREAMS[split])

    prepare = functools.partial(
        _prepare, modalities=modalities, contrast=float(contrast), seed=int(seed)
    )
    count = {split: len(labels) for split, (_, labels) in digits.items()}
    return of_draws(who, draw, take, count, prepare=prepare, modalities=modalities)


def _views(
    digits: tuple[np.ndarray, np.ndarray],
    rows: np.ndarray,
    views: np.ndarray,
    number: np.ndarray,
    stream: int,
) -> dict[str, np.ndarray]:
    """A batch of tuples: some of the views of rows [batch, 5] of images and labels."""
    images, labels = digits
    return {
        "digits": images[rows[:, views]],
        "id": number.astype(np.uint32),
        "stream": np.full(len(rows), stream, np.uint32),
        "label": labels[rows[:, 0]],
    }


@functools.cache
def photographs() -> np.ndarray:
    """[5, 224, 224, 3] uint8: the backgrounds of m0 to m4; read once, read-only."""
    return read_only(mnist.asset("photographs.npz")["images"])[0]


def _training_rows(
    classes: pairing.Classes, seed: int, step: int, batch_size: int
) -> np.ndarray:
    """[batch_size, 5] rows of MNIST, those of m0 without repeats within an epoch."""
    anchors = batch_indices(seed, step, len(classes.labels), batch_size)
    rng = np.random.default_rng((seed, step, 1))
    return pairing.partners(rng, classes, anchors, width=NUM_VIEWS)


def _prepare(
    batch: Mapping, *, modalities: Sequence[str], contrast: float, seed: int
) -> dict:
    """Composes every row with a key of its own: (seed, stream, id, modality)."""
    key = jax.random.key(seed)

    def image(stream: Array, number: Array, digit: Array, column: int) -> Array:
        row_key = jax.random.fold_in(jax.random.fold_in(key, stream), number)
        photograph = jnp.asarray(photographs()[column])
        column_key = jax.random.fold_in(row_key, column)
        return compose(column_key, digit, photograph, contrast=contrast)

    rest = dict(batch)
    digits, number, stream = (rest.pop(name) for name in ("digits", "id", "stream"))
    for i, name in enumerate(modalities):
        draw = functools.partial(image, column=MODALITIES.index(name))
        rest[name] = jax.vmap(draw)(stream, number, digits[:, i])
    return rest


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
        "polymnist.folder",
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
    who = f"polymnist.folder, {path}"
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
    shape = (len(paths), len(files), SIZE, SIZE, 3)
    decoded = np.empty(shape, np.uint8)  # takes memory where it is written to
    is_decoded = np.zeros(len(paths), bool)

    def decode(path: str) -> np.ndarray:
        with image_files.opened(path) as image:
            if image.mode != "RGB" or image.size != (SIZE, SIZE):
                raise ValueError(
                    f"polymnist.folder: expected {SIZE} x {SIZE} pixels in RGB; "
                    f"{path} has {image.width} x {image.height} in {image.mode}."
                )
            return np.asarray(image_files.to_rgb(image))

    def images(rows: np.ndarray) -> dict[str, np.ndarray]:
        for row in np.unique(rows[~is_decoded[rows]]):
            for i, path in enumerate(paths[row]):
                decoded[row, i] = decode(path)
            is_decoded[row] = True
        return {modality: decoded[rows, i] for i, modality in enumerate(files)}

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
