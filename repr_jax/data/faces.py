"""Drawn faces of seven nameless classes: a test bed for the fairness of upsamplers.

The class sets the mean of the skin's color and two parameters of shape; illumination
scales and tints it, so that few pixels tell the class no longer. A face is drawn on the
device out of formulas and numbers that depend on its index alone.

A batch after `prepare` has
  image: float32 [batch, size, size, 3] in [0, 1];
  label: int32 [batch], class 0 (lightest) to 6;
  head: int32 [batch], 0 or 1, the shape of the head, independent of the class;
  index: int32 [batch], the number of the face; parameters: float32 [batch, 19], see
    PARAMETERS;
  where: bool [batch], in evaluation;
and no image before. Classes are as frequent as `shares` says in the split "train" and
equal in "test".
"""

import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtri

from repr_jax.data.dataset import Dataset, check_seed, of_rows, uniform
from repr_jax.data.subsample import checked_shares, class_weights
from repr_jax.ops import checks

NUM_CLASSES = 7
STREAM, TEST_START = 0xFACE, 1 << 30  # of `dataset.uniform`; the first index of "test"
TONES = np.stack(  # L, a, b in CIELAB, a row a class; L is two deviations apart
    [np.linspace(82, 34, 7), np.linspace(8, 14, 7), np.linspace(16, 20, 7)], axis=1
)
TONE_SPREAD = (4.0, 2.0, 2.0)
EYES, NOSES = np.linspace(0.25, 0.85, 7), np.linspace(0.08, 0.32, 7)
EYE_SPREAD, NOSE_SPREAD = 0.03, 0.012  # so that shapes tell classes apart, seen well
PARAMETERS = (
    "lightness", "a", "b",  # of the skin, by class
    "eye", "nose",  # height over width; width, by class
    "gain", "tint_a", "tint_b",  # of the illumination
    "yaw", "scale", "x", "y",  # of the head; x and y are of 32 pixels
    "hair_red", "hair_green", "hair_blue", "hair_length",
    "back_red", "back_green", "back_blue",
)  # fmt: skip
SAMPLES = 4  # a side of a pixel
NOISE = 0.01  # standard deviation, of the sensor


def parameters_of(
    draws: Array, label: Array, *, gain: tuple[float, float] = (0.6, 1.4)
) -> Array:
    """[batch, 19] of PARAMETERS: draws in (0, 1) become their laws, given the class.

    Args:
      draws: [batch, 19] float.
      label: [batch] int, the class.
      gain: the range of the illumination: the wider, the less a color tells the class.
    """
    normal = ndtri(jnp.clip(draws, 1e-6, 1 - 1e-6))

    def between(i: int, low: float, high: float) -> Array:
        return low + (high - low) * draws[:, i]

    columns = [
        *(jnp.asarray(TONES[:, i], jnp.float32)[label] + TONE_SPREAD[i] * normal[:, i]
          for i in range(3)),
        jnp.asarray(EYES, jnp.float32)[label] + EYE_SPREAD * normal[:, 3],
        jnp.asarray(NOSES, jnp.float32)[label] + NOSE_SPREAD * normal[:, 4],
        between(5, *gain),
        *(3 * normal[:, i] for i in (6, 7)),
        0.15 * normal[:, 8],
        between(9, 0.9, 1.1),
        *(between(i, -2, 2) for i in (10, 11)),
        *(between(i, 0.03, 0.5) for i in (12, 13, 14)),
        between(15, 0.0, 1.0),
        *(between(i, 0.2, 0.9) for i in (16, 17, 18)),
    ]  # fmt: skip
    return jnp.stack(columns, axis=1)


def render(parameters: Array, head: Array, *, size: int) -> Array:
    """[batch, size, size, 3] float32 in [0, 1], without sensor noise.

    Args:
      parameters: [batch, 19] of PARAMETERS.
      head: [batch] int, 0 for a longer and 1 for a rounder head.
      size: pixels of a side; each is the mean of 4 x 4 points.
    """
    draw = functools.partial(_draw, size=size)
    return jax.lax.map(lambda one: draw(*one), (parameters, head), batch_size=64)


def load(
    *,
    shares: Sequence[float] | None = None,
    num_train: int = 21_000,
    num_test: int = 1_400,
    size: int = 32,
    gain: tuple[float, float] = (0.6, 1.4),
    class_balanced: bool = False,
    seed: int = 0,
    data_seed: int = 0,
) -> Dataset:
    """The faces of the module.

    Args:
      shares: [7] >= 0 of sum 1, of the classes in "train"; equal if None. Numbers are
        rounded down, and what is left goes to the largest class.
      num_train, num_test: faces of the splits; num_test is a multiple of 7.
      size: pixels of a side.
      gain: see `parameters_of`.
      class_balanced: training rows are drawn with replacement, each class as often as
        the others, whatever its share is.
      seed: of the order of training. data_seed: of the faces.

    Raises:
      ValueError: shares that are not as above, or a number out of range.
    """
    who = "faces.load"
    checks.count(who, num_train=num_train, num_test=num_test, size=size)
    check_seed(who, data_seed)
    if num_test % NUM_CLASSES:
        raise ValueError(f"{who}: expected num_test a multiple of 7; got {num_test}.")
    if not 0 < gain[0] <= gain[1]:
        raise ValueError(f"{who}: expected gain of 0 < low <= high; got {gain}.")
    shares = checked_shares(who, shares, NUM_CLASSES)
    counts = np.floor(num_train * shares + 1e-9).astype(int)
    counts[np.argmax(shares)] += num_train - counts.sum()
    classes = np.arange(NUM_CLASSES)
    labels = {
        "train": np.repeat(classes, counts),
        "test": np.tile(classes, num_test // NUM_CLASSES),
    }
    starts = {"train": 0, "test": TEST_START}

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        index = starts[split] + rows
        draws = uniform(data_seed, STREAM, index, len(PARAMETERS) + 1)
        return {
            "draws": draws[:, :-1].astype(np.float32),
            "label": labels[split][rows].astype(np.int32),
            "head": (draws[:, -1] < 0.5).astype(np.int32),
            "index": index.astype(np.int32),
        }

    prepare = functools.partial(_prepare, size=size, gain=gain, data_seed=data_seed)
    num_examples = {split: len(found) for split, found in labels.items()}
    weights = class_weights(labels["train"]) if class_balanced else None
    return of_rows(who, take, num_examples, seed=seed, prepare=prepare, weights=weights)


def _prepare(batch: Mapping, *, size: int, gain: tuple, data_seed: int) -> dict:
    batch = dict(batch)
    parameters = parameters_of(batch.pop("draws"), batch["label"], gain=gain)
    image = render(parameters, batch["head"], size=size)
    fold = functools.partial(jax.random.fold_in, jax.random.key(data_seed))
    noise = jax.vmap(lambda i: jax.random.normal(fold(i), image.shape[1:]))
    image = jnp.clip(image + NOISE * noise(batch["index"]), 0, 1)
    return {**batch, "parameters": parameters, "image": image}


def _draw(parameters: Array, head: Array, *, size: int) -> Array:
    """[size, size, 3] of one face: parts are laid over each other, then averaged."""
    p = dict(zip(PARAMETERS, parameters))
    points = (2 * jnp.arange(size * SAMPLES) + 1) / (size * SAMPLES) - 1
    x = (points[None, :] - p["x"] / 16) / p["scale"]
    y = (points[:, None] - p["y"] / 16) / p["scale"]
    turned = x - 0.35 * p["yaw"]  # eyes, nose and mouth move with the head
    wide, high = jnp.where(head == 0, 0.52, 0.62), jnp.where(head == 0, 0.78, 0.7)
    skin = _rgb(jnp.stack([p[n] for n in PARAMETERS[:3]]))
    hair = jnp.stack([p[f"hair_{c}"] for c in ("red", "green", "blue")])
    back = jnp.stack([p[f"back_{c}"] for c in ("red", "green", "blue")])
    canvas = jnp.broadcast_to(
        back[None, None], (*jnp.broadcast_shapes(x.shape, y.shape), 3)
    )

    def over(canvas: Array, inside: Array, color: Array) -> Array:
        return jnp.where(inside[..., None], color[None, None], canvas)

    def ellipse(a: Array, b: Array, width: Array, height: Array) -> Array:
        return (a / width) ** 2 + (b / height) ** 2 < 1

    long = 0.15 + 0.7 * p["hair_length"]
    canvas = over(
        canvas, ellipse(x, y + 0.1, wide + 0.12, high + 0.08) & (y < long), hair
    )
    canvas = over(canvas, ellipse(x, y - 0.05, wide, high), skin)
    fringe = ellipse(x, y - 0.05, wide, high) & (y < -0.42)
    canvas = over(canvas, fringe, hair)
    for side in (-1, 1):
        away = turned - 0.22 * side
        eye = 0.13 * p["eye"]
        canvas = over(canvas, ellipse(away, y + 0.12, 0.13, eye), jnp.full(3, 0.9))
        canvas = over(
            canvas,
            ellipse(away, y + 0.12, 0.055, jnp.minimum(eye, 0.055)),
            jnp.full(3, 0.02),
        )
    nose = (y > -0.05) & (y < 0.2) & (jnp.abs(turned) < p["nose"] * (y + 0.05) / 0.5)
    canvas = over(canvas, nose, 0.7 * skin)
    lips = skin * jnp.array([0.9, 0.45, 0.45])
    canvas = over(canvas, ellipse(turned, y - 0.42, 0.2, 0.055), lips)
    light = _rgb(jnp.stack([jnp.asarray(100.0), p["tint_a"], p["tint_b"]]))
    linear = canvas * (p["gain"] * light)[None, None]
    pixels = linear.reshape(size, SAMPLES, size, SAMPLES, 3).mean(axis=(1, 3))
    return _encoded(pixels)


def _rgb(lab: Array) -> Array:
    """[3] CIELAB under D65 to linear RGB of sRGB's primaries, not below 0."""
    y = (lab[0] + 16) / 116
    f = jnp.stack([y + lab[1] / 500, y, y - lab[2] / 200])
    xyz = jnp.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    xyz = xyz * jnp.array([0.95047, 1.0, 1.08883])
    matrix = jnp.array(
        [
            [3.2406, -1.5372, -0.4986],
            [-0.9689, 1.8758, 0.0415],
            [0.0557, -0.2040, 1.0570],
        ]
    )
    return jnp.maximum(jnp.matmul(matrix, xyz, precision=jax.lax.Precision.HIGHEST), 0)


def _encoded(linear: Array) -> Array:
    """Linear light to sRGB, clipped to [0, 1]."""
    linear = jnp.clip(linear, 0, 1)
    high = 1.055 * jnp.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return jnp.where(linear <= 0.0031308, 12.92 * linear, high)
