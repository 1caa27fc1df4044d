"""PolyMNIST: one digit seen in several views, each over a photograph of its own.

A batch after `prepare` holds one entry per modality, "m0" to "m4", float32
[batch, 28, 28, 3] in [0, 1]; "label" int32 [batch] in 0..9; and "where" bool [batch] in
evaluation. Before it, `composed` yields "digits" uint8 [batch, modality, 28, 28], "id"
and "stream" uint32 [batch], out of which `prepare` composes the images on the device.

Our m4 is drawn right far less often than the other views, and the photograph is why:
half of it is pale sky and half dark trees, so the digit is the brighter part in 48 % of
crops (in the others 59 to 85 %), and a decoder that is not told the crop gains only 19
nats of Laplace(0.75) by drawing the digit (others 37 to 134). It is not contrast, mean
|1 - 2 crop| 0.59 (others 0.30 to 0.62), nor a digit that nobody can see: a classifier
is right on 0.94 of m4 (others 0.94 to 0.97). With every pixel c of that photograph made
min(c, 1 - c), the same contrast of one sign, a decoder of the label alone, after 700
updates, draws ten of ten digits as a classifier knows them; on the photograph as it is,
one.

Translated-PolyMNIST is `scale` below 1: the digit of each view is made smaller and put
somewhere of its own, so that views share the digit but no pixels.

Source: Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021,
https://arxiv.org/abs/2105.02470, and its code, https://github.com/thomassutter/MoPoE.
The five photographs of the published files are not known to us: ours are others.
Translated: Daunhawer et al., "On the Limitations of Multimodal VAEs", 2022,
https://arxiv.org/abs/2110.04121; here every position that holds the whole digit is as
likely as any other, the last row and column included, which some codes leave out.
"""

import functools
import numbers
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.data import mnist, pairing
from repr_jax.data.dataset import (
    SPLITS,
    Dataset,
    batch_indices,
    check_modalities,
    check_seed,
    example_keys,
    of_draws,
    read_only,
    this_process,
)
from repr_jax.data.polymnist_files import MODALITIES, SIZE, folder

NUM_VIEWS = len(MODALITIES)
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


def translate(key: Array, digit: Array, *, scale: float) -> Array:
    """The digit made smaller, somewhere on a black canvas that holds all of it.

    The corner is uniform over 0 <= y, x <= 28 - side, side = round(28 scale): 8 x 8
    places at scale 0.75, 15 x 15 at 0.5. Pixels are interpolated linearly, over as
    large a neighborhood as the scale asks, as Pillow does.

    Args:
      key: draws the corner.
      digit: [28, 28] uint8 or float in 0..255.
      scale: above 0, at most 1; at 1 the digit stays as it is.

    Returns:
      [28, 28] float32 in 0..255. Use vmap for a batch.
    """
    side = round(SIZE * scale)
    small = jax.image.resize(digit.astype(jnp.float32), (side, side), "linear")
    corner = jax.random.randint(key, (2,), 0, SIZE - side + 1)
    canvas = jnp.zeros((SIZE, SIZE), jnp.float32)
    return jax.lax.dynamic_update_slice(canvas, small, tuple(corner))


def load(
    *,
    modalities: Sequence[str] = MODALITIES,
    source: str = "embedded",
    data_dir: str | None = None,
    contrast: float = 1.0,
    scale: float = 1.0,
    seed: int = 0,
) -> Dataset:
    """PolyMNIST from any source: `composed`, or files in the official layout.

    Args:
      source: "embedded" or "tfds", see `composed`; "folder", see
        `polymnist_files.folder`, whose path is `data_dir`. The files are what they are:
        contrast and scale must be 1.
      modalities, data_dir, contrast, scale, seed: as there.

    Raises:
      ValueError: as there, or a contrast or a scale for files.
    """
    if source != "folder":
        return composed(
            modalities=modalities,
            source=source,
            data_dir=data_dir,
            contrast=contrast,
            scale=scale,
            seed=seed,
        )
    for name, value in (("contrast", contrast), ("scale", scale)):
        if value != 1:
            raise ValueError(
                f"polymnist.load: expected {name} 1 of source folder; got {value}."
            )
    return folder(path=data_dir, modalities=modalities, seed=seed)


def composed(
    *,
    modalities: Sequence[str] = MODALITIES,
    source: str = "embedded",
    data_dir: str | None = None,
    contrast: float = 1.0,
    scale: float = 1.0,
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
      scale: above 0, at most 1; below 1 the digit of each view is first made smaller
        and put at a place of its own, see `translate`. Published: 0.75, and 0.5.
      seed: of pairing, order, crops and places.

    Raises:
      ValueError: no modality, an unknown one, one twice; contrast or scale out of
        range.
      FileNotFoundError, ImportError: see `mnist.arrays`.
    """
    who = "polymnist.composed"
    modalities = check_modalities(who, modalities, MODALITIES)
    _check_numbers(who, contrast, scale)
    check_seed(who, seed)
    digits = {s: mnist.arrays(s, source=source, data_dir=data_dir) for s in SPLITS}
    prepare = functools.partial(
        _prepare,
        modalities=modalities,
        contrast=float(contrast),
        scale=float(scale),
        seed=int(seed),
    )
    return _of_tuples(who, digits, modalities, seed, prepare)


def _of_tuples(who, digits, modalities, seed, prepare) -> Dataset:
    """digits: images and labels by split, of which tuples are made."""
    classes = {s: pairing.classes(digits[s][1], width=NUM_VIEWS) for s in SPLITS}
    views = np.array([MODALITIES.index(name) for name in modalities])

    def train_rows(step: int, batch_size: int) -> np.ndarray:
        n = len(digits["train"][1])
        return this_process(batch_indices(seed, step, n, batch_size))

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

    count = {split: len(labels) for split, (_, labels) in digits.items()}
    return of_draws(
        who,
        draw,
        take,
        count,
        prepare=prepare,
        modalities=modalities,
        train_rows=train_rows,
    )


def _check_numbers(who, contrast, scale):
    if not isinstance(contrast, numbers.Real) or not 0 <= contrast <= 1:
        raise ValueError(f"{who}: expected contrast in [0, 1]; got {contrast!r}.")
    if not isinstance(scale, numbers.Real) or not 0.5 < SIZE * scale <= SIZE:
        raise ValueError(
            f"{who}: expected scale above {0.5 / SIZE:.3f}, at most 1; got {scale!r}."
        )


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
    batch: Mapping,
    *,
    modalities: Sequence[str],
    contrast: float,
    scale: float,
    seed: int,
) -> dict:
    """Composes every row with a key of its own: (seed, stream, id, modality)."""

    def image(row_key: Array, digit: Array, column: int) -> Array:
        photograph = jnp.asarray(photographs()[column])
        column_key = jax.random.fold_in(row_key, column)
        if scale < 1:
            place_key = jax.random.fold_in(column_key, 1)
            digit = translate(place_key, digit, scale=scale)
        return compose(column_key, digit, photograph, contrast=contrast)

    rest = dict(batch)
    digits, number, stream = (rest.pop(name) for name in ("digits", "id", "stream"))
    keys = example_keys(seed, stream, number)
    for i, name in enumerate(modalities):
        draw = functools.partial(image, column=MODALITIES.index(name))
        rest[name] = jax.vmap(draw)(keys, digits[:, i])
    return rest
