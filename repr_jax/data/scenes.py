"""Digits on photographs with everything about them known: stand-ins for CelebA and CUB.

A scene is a piece of a photograph of `polymnist.photographs`, with one or two images of
a digit, inverted or in one of three colors. Twenty attributes, ATTRIBUTES, say how it
is made, so that they are right. `with_attributes` describes it as `celeba` describes
faces; `with_captions` has ten sentences for each scene, as `cub` has for birds, and
tests on pairs of digit and photograph that are not in training. Figures on them compare
with none on the sets that they stand in for.

A batch after `prepare` has
  image: float32 [batch, 64, 64, 3] in [0, 1];
  text: float32 [batch, length, letters or words], one-hot;
  attributes: float32 [batch, 20], 0 or 1;
  label: int32 [batch], the digit;
  where: bool [batch], in evaluation.
"attributes" may be asked for as a modality too; it is always there for evaluation.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.data import (
    captions,
    celeba,
    characters,
    mnist,
    pairing,
    polymnist,
    scene_captions,
    street_digits,
)
from repr_jax.data.dataset import (
    SPLITS,
    Dataset,
    check_modalities,
    check_seed,
    of_rows,
    uniform,
)
from repr_jax.data.scene_captions import ATTRIBUTES, PHOTOGRAPHS, TINTS
from repr_jax.ops import checks

MODALITIES = ("image", "text")
SIZE = 64  # pixels
NUM_WORDS = 32  # of a caption, its end included
STREAMS = {"train": 1, "test": 2}
COLORS = {"Red": (0.95, 0.05, 0.05), "Green": (0.05, 0.85, 0.1), "Blue": (0.1, 0.2, 1)}


class Scenes(NamedTuple):
    """What a split is made of, a row a scene."""

    digits: np.ndarray  # [rows, 2] of the images of `mnist.arrays`, of one class
    label: np.ndarray  # [rows] int32
    attributes: np.ndarray  # [rows, 20] bool


def with_attributes(
    *,
    modalities: Sequence[str] = MODALITIES,
    source: str = "embedded",
    data_dir: str | None = None,
    scene_seed: int = 0,
    seed: int = 0,
) -> Dataset:
    """Scenes and the names of their attributes; text is [batch, 256, 71].

    Text is that of `celeba.texts`, encoded by `characters`.

    Args:
      modalities: which of image, text, attributes a batch has, in this order.
      source, data_dir: of the digits, see `mnist.arrays`; one scene for each.
      scene_seed: of scenes and texts, apart from `seed`.
      seed: of the order of training.

    Raises:
      ValueError: an unknown modality, or one twice; as `mnist.arrays`.
      FileNotFoundError, ImportError: see `mnist.arrays`.
    """
    who = "scenes.with_attributes"
    check_seed(who, scene_seed)
    digits = {s: mnist.arrays(s, source=source, data_dir=data_dir) for s in SPLITS}
    every = np.ones((10, len(PHOTOGRAPHS)), bool)
    made = {s: scenes(s, digits[s][1], every, scene_seed) for s in SPLITS}
    starts = {s: _rng(scene_seed, s, 1).random(len(made[s].label)) for s in SPLITS}

    def text(split: str, rows: np.ndarray) -> np.ndarray:
        return celeba.texts(
            made[split].attributes[rows], starts[split][rows], ATTRIBUTES
        )

    return _dataset(
        who, modalities, digits, made, text, characters.one_hot, 1, scene_seed, seed
    )


def with_captions(
    *,
    modalities: Sequence[str] = MODALITIES,
    num_captions: int = 10,
    source: str = "embedded",
    data_dir: str | None = None,
    scene_seed: int = 0,
    seed: int = 0,
) -> Dataset:
    """Scenes with sentences; text is [batch, 32, words of `vocabulary()`].

    Row i is sentence i % num_captions of scene i // num_captions. Of the 50 pairs of
    digit and photograph, 10 are tested and the others trained on: digit d is tested on
    photograph d % 5. What follows the end of a sentence is encoded as zeros, see
    `captions.one_hot_words`.

    Args:
      num_captions: sentences of a scene, as many as CUB has.
      modalities, source, data_dir, scene_seed, seed: as of `with_attributes`, and so
        are errors.
    """
    who = "scenes.with_captions"
    checks.count(who, num_captions=num_captions)
    check_seed(who, scene_seed)
    digits = {s: mnist.arrays(s, source=source, data_dir=data_dir) for s in SPLITS}
    tested = np.arange(10)[:, None] % len(PHOTOGRAPHS) == np.arange(len(PHOTOGRAPHS))
    allowed = {"train": ~tested, "test": tested}
    made = {s: scenes(s, digits[s][1], allowed[s], scene_seed) for s in SPLITS}
    words = vocabulary()

    def text(split: str, rows: np.ndarray) -> np.ndarray:
        stream = 16 + STREAMS[split]
        draws = uniform(scene_seed, stream, rows, scene_captions.NUM_DRAWS).tolist()
        number = rows // num_captions
        facts = made[split].label[number], made[split].attributes[number]
        sentences = [scene_captions.sentence(*row) for row in zip(draws, *facts)]
        return words.encode(sentences, NUM_WORDS)

    one_hot = functools.partial(captions.one_hot_words, num_words=len(words.words))
    return _dataset(
        who, modalities, digits, made, text, one_hot, num_captions, scene_seed, seed
    )


@functools.cache
def vocabulary() -> captions.Vocabulary:
    """All words of the sentences of `with_captions`."""
    return captions.vocabulary(scene_captions.every_text())


def scenes(split: str, labels: np.ndarray, allowed: np.ndarray, seed: int) -> Scenes:
    """One scene for each digit, all drawn at once.

    labels: [rows], of the digits. allowed: [10, photographs] bool.
    """
    rng = _rng(seed, split, 0)
    data, rows = pairing.classes(labels, width=2), len(labels)
    digits = pairing.partners(rng, data, np.arange(rows), width=2)
    even, odds = rng.random((rows, 8)) < 0.5, rng.random(rows)
    photograph = np.argmax(
        rng.random((rows, len(PHOTOGRAPHS))) * allowed[labels], axis=1
    )
    light = rng.integers(3, size=rows)  # neither, dark, bright
    known = dict(zip(("Two_Digits", "Large", "Left", "Top"), even.T))
    known |= dict(zip(("Rotated", "Blurred"), even.T[4:]), Gray=odds < 0.3)
    known |= {"Even": labels % 2 == 0, "Greater_Than_Four": labels > 4}
    known |= {"Dark": light == 1, "Bright": light == 2}
    for names, choice in (
        (TINTS, rng.integers(len(TINTS), size=rows)),
        (PHOTOGRAPHS, photograph),
    ):
        known |= {name: choice == i for i, name in enumerate(names)}
    attributes = np.stack([known[name] for name in ATTRIBUTES], axis=1)
    return Scenes(digits, labels.astype(np.int32), attributes)


def compose(key: Array, digits: Array, attributes: Array) -> Array:
    """The scene that has these attributes.

    An inverted digit is light where the piece of the photograph is dark on the whole,
    1 - 0.5 of its pixels, and else dark, 0.5 of them inverted.

    Args:
      key: draws what no attribute says: which piece of the photograph, and where
        exactly the digit is, how large and how much rotated.
      digits: [2, 28, 28] uint8 or float in 0..255; the second is not always shown.
      attributes: [20] bool; one of TINTS, and one of PHOTOGRAPHS.

    Returns:
      [64, 64, 3] float32 in [0, 1]. Use vmap for a batch.
    """
    known = dict(zip(ATTRIBUTES, attributes))
    keys = jax.random.split(key, 2)
    photographs = jnp.asarray(polymnist.photographs())
    which = jnp.argmax(jnp.stack([known[name] for name in PHOTOGRAPHS]))
    corner = jax.random.randint(keys[0], (2,), 0, photographs.shape[1] - SIZE + 1)
    start = (which, corner[0], corner[1], 0)
    back = jax.lax.dynamic_slice(photographs, start, (1, SIZE, SIZE, 3))[0] / 255.0
    gray = jnp.broadcast_to(jnp.mean(back, axis=-1, keepdims=True), back.shape)
    back = jnp.where(known["Gray"], gray, back)
    back = jnp.where(known["Dark"], 0.4 * back, back)
    back = jnp.where(known["Bright"], 0.5 + 0.5 * back, back)
    front = jnp.where(jnp.mean(back) < 0.5, 1 - 0.5 * back, 0.5 * (1 - back))
    for name, color in COLORS.items():
        front = jnp.where(known[name], jnp.array([[color]], jnp.float32), front)
    ink = _ink(keys[1], digits.astype(jnp.float32) / 255, known)[..., None]
    image = (1 - ink) * back + ink * front
    return jnp.where(known["Blurred"], street_digits.blurred(image, 1.5), image)


def _ink(key: Array, digits: Array, known: Mapping[str, Array]) -> Array:
    """[2, 28, 28] -> [64, 64] in [0, 1]: where the digits are."""
    draws = jax.random.uniform(key, (5,), minval=-1, maxval=1)
    scale = jnp.where(known["Large"], 1.3, 0.75) * (1 + 0.1 * draws[0])
    angle = jnp.where(known["Rotated"], 0.6 + 0.15 * draws[1], 0.0)
    angle = jnp.where(draws[2] < 0, -angle, angle)
    y = jnp.where(known["Top"], 20, 44) + 3 * draws[3]
    x = jnp.where(known["Left"], 20, 44) + 3 * draws[4]
    apart = jnp.where(known["Two_Digits"], 9 * scale, 0)  # half of the distance
    there = jnp.stack([jnp.array(True), known["Two_Digits"]])
    grid = jnp.stack(jnp.meshgrid(*[jnp.arange(SIZE) + 0.5] * 2, indexing="ij"))

    def placed(digit, side, there):
        down, across = grid[0] - y, grid[1] - x - side * apart
        up = (jnp.cos(angle) * down + jnp.sin(angle) * across) / scale
        right = (jnp.cos(angle) * across - jnp.sin(angle) * down) / scale
        points = jnp.stack([up, right]) + 13.5  # centers of pixels of the digit
        drawn = jax.scipy.ndimage.map_coordinates(digit, points, order=1)
        return jnp.where(there, drawn, 0)

    return jnp.max(jax.vmap(placed)(digits, jnp.array([-1.0, 1.0]), there), axis=0)


def _dataset(
    who: str,
    modalities: Sequence[str],
    digits: Mapping[str, tuple],
    made: Mapping[str, Scenes],
    text: Callable,
    one_hot: Callable,
    repeats: int,
    scene_seed: int,
    seed: int,
) -> Dataset:
    """Each scene `repeats` times, with text(split, rows), encoded by one_hot."""
    modalities = check_modalities(who, modalities, (*MODALITIES, "attributes"))

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        number, (images, _) = rows // repeats, digits[split]
        chosen = [array[number] for array in made[split]]
        batch = {"label": chosen[1], "attributes": chosen[2]}
        if "image" in modalities:
            batch |= {"digits": images[chosen[0]], "scene": number.astype(np.uint32)}
            batch["stream"] = np.full(len(rows), STREAMS[split], np.uint32)
        if "text" in modalities:
            batch["text"] = text(split, rows)
        return batch

    def prepare(batch: Mapping) -> dict:
        rest = {**batch, "attributes": batch["attributes"].astype(np.float32)}
        if "text" in rest:
            rest["text"] = one_hot(rest["text"])
        if "digits" in rest:
            parts = [rest.pop(name) for name in ("stream", "scene", "digits")]
            rest["image"] = jax.vmap(image)(*parts, batch["attributes"])
        return rest

    def image(stream, number, digits, attributes):
        key = jax.random.fold_in(jax.random.key(scene_seed), stream)
        return compose(jax.random.fold_in(key, number), digits, attributes)

    return of_rows(
        who,
        take,
        {split: repeats * len(found.label) for split, found in made.items()},
        seed=seed,
        prepare=prepare,
        modalities=modalities,
    )


def _rng(seed: int, split: str, use: int) -> np.random.Generator:
    return np.random.default_rng((seed, STREAMS[split], use))
