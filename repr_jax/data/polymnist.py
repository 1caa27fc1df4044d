"""PolyMNIST: one digit seen in several views, each over a photograph of its own.

A batch after `prepare` holds one entry per modality, "m0" to "m4", float32
[batch, 28, 28, 3] in [0, 1]; "label" int32 [batch] in 0..9; and "where" bool [batch] in
evaluation. Before it, `composed` yields "digits" uint8 [batch, modality, 28, 28], "id"
and "stream" uint32 [batch], out of which `prepare` composes the images on the device.

Source: Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021,
https://arxiv.org/abs/2105.02470, and its code, https://github.com/thomassutter/MoPoE.
The five photographs of the published files are not known to us: ours are others.
"""

import functools
import itertools
import numbers

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax.data import mnist, pairing
from repr_jax.data.dataset import (
    SPLITS,
    Dataset,
    batch_indices,
    check_evaluate,
    check_modalities,
    check_seed,
    check_train,
    padded_rows,
    this_process,
)

MODALITIES = ("m0", "m1", "m2", "m3", "m4")
SIZE = 28
INK = 128  # a pixel brighter than this belongs to the digit
STREAMS = {"train": 1, "test": 2}  # crops of the evaluated splits; 0 is training


def compose(key, digit, photograph, *, contrast=1.0):
    """A random crop of the photograph, its colours inverted where the digit is.

    crop = photograph[y : y + 28, x : x + 28] with the corner drawn uniformly from
    0 <= y < height - 28, 0 <= x < width - 28; image = 1 - crop where digit > 128, and
    crop elsewhere.

    Args:
      key: draws the corner.
      digit: [28, 28] uint8 or float in 0..255.
      photograph: [height, width, 3] uint8, both sides above 28.
      contrast: in [0, 1]; the photograph is first softened towards its mean colour,
        mean + contrast * (photograph - mean). 1 is as published.

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
    crop = crop.astype(jnp.float32) / 255
    if not isinstance(contrast, numbers.Number) or contrast != 1:
        mean = (
            jnp.mean(photograph.astype(jnp.float32), axis=(0, 1), keepdims=True) / 255
        )
        crop = mean + contrast * (crop - mean)
    return jnp.where(digit[..., None] > INK, 1 - crop, crop)


def composed(
    *,
    modalities=MODALITIES,
    source="embedded",
    data_dir=None,
    contrast=1.0,
    seed=0,
) -> Dataset:
    """PolyMNIST made as it is needed, from MNIST and the photographs of the package.

    Training never repeats an image: the digits of m0 go through MNIST in a new order
    each epoch, the other views show other digits of that class, drawn anew with the
    crops. Evaluation is fixed, one tuple per MNIST image in MNIST's order of labels: in
    every view an independent permutation of the digits of each class, as published. The
    views of a tuple always show different images of a digit; where the published
    permutations clash (about ten tuples a class), they are permuted further. Leaving
    out modalities leaves the others as they are.

    Args:
      modalities: some of "m0" to "m4": the photographs astronaut, chelsea, coffee,
        flower and china.
      source, data_dir: see `mnist.arrays`.
      contrast: in [0, 1], how much of the photographs is kept, see `compose`; 1 is as
        published, less makes the digits easier to see.
      seed: of pairing, order and crops.

    Raises:
      ValueError: an unknown modality, source or split, none or one twice; contrast
        or seed out of range.
      FileNotFoundError, ImportError: see `mnist.arrays`.
    """
    who = "polymnist.composed"
    modalities = check_modalities(who, modalities, MODALITIES)
    if not isinstance(contrast, numbers.Real) or not 0 <= contrast <= 1:
        raise ValueError(f"{who}: expected contrast in [0, 1]; got {contrast!r}.")
    check_seed(who, seed)
    columns = np.array([MODALITIES.index(name) for name in modalities])
    width = len(MODALITIES)
    digits = {s: mnist.arrays(s, source=source, data_dir=data_dir) for s in SPLITS}
    classes = {s: pairing.classes(digits[s][1], width=width) for s in SPLITS}

    def batch_of(split, rows, number, stream):  # rows [b, 5] of digits[split]
        images, labels = digits[split]
        return {
            "digits": images[rows[:, columns]],
            "id": number.astype(np.uint32),
            "stream": np.full(len(rows), stream, np.uint32),
            "label": labels[rows[:, 0]],
        }

    def train(batch_size, start_step=0):
        check_train(who, batch_size, start_step)
        num_rows = len(classes["train"].labels)

        def batch(step):
            anchors = batch_indices(seed, step, num_rows, batch_size)
            rng = np.random.default_rng((seed, step, 1))
            rows = pairing.partners(rng, classes["train"], anchors, width=width)
            number = step * batch_size + np.arange(batch_size)
            return batch_of("train", this_process(rows), this_process(number), 0)

        return map(batch, itertools.count(start_step))

    def evaluate(split, batch_size):
        check_evaluate(who, split, batch_size)
        rows = tuples(split)
        return (
            {**batch_of(split, rows[i], i, STREAMS[split]), "where": where}
            for i, where in padded_rows(len(rows), batch_size)
        )

    @functools.cache
    def tuples(split):
        rng = np.random.default_rng((seed, STREAMS[split], 2))
        return pairing.tuples(rng, classes[split], width=width)

    return Dataset(
        train,
        evaluate,
        prepare=functools.partial(
            _prepare, modalities=modalities, contrast=float(contrast), seed=seed
        ),
        num_examples={split: len(labels) for split, (_, labels) in digits.items()},
        modalities=modalities,
    )


def photographs() -> np.ndarray:
    """[5, 224, 224, 3] uint8: the backgrounds of m0 to m4; read once, read-only."""
    return _photographs()


@functools.cache
def _photographs():
    images = mnist.asset("photographs.npz")["images"]
    images.setflags(write=False)
    return images


def _prepare(batch, *, modalities, contrast, seed):
    """Composes every row with a key of its own: (seed, stream, id, modality)."""
    key = jax.random.key(seed)

    def image(stream, number, digit, column):
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
