"""MNIST-labels: a handwritten digit in black and white, and its class as a modality.

A batch after `prepare` has
  image: float32 [batch, 28, 28, 1], 0 or 1;
  digit: float32 [batch, 10], the class, one-hot;
  label: int32 [batch], 0 to 9;
  where: bool [batch], in evaluation.

A pixel is 1 with its brightness as the chance, drawn anew whenever a row is seen in
training, and fixed in evaluation, so that a likelihood of test rows is one number.

Source: Suzuki, Nakayama and Matsuo, "Joint Multimodal Learning with Deep Generative
Models", 2016, https://arxiv.org/abs/1611.01891; Wu and Goodman, "Multimodal Generative
Models for Scalable Weakly-Supervised Learning", 2018, https://arxiv.org/abs/1802.05335.
"""

import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax.data import mnist
from repr_jax.data.dataset import (
    SPLITS,
    Dataset,
    batch_indices,
    check_modalities,
    check_seed,
    of_draws,
    this_process,
    uniform,
)

MODALITIES = ("image", "digit")
STREAMS = {"train": 1, "test": 2}


def load(
    *,
    modalities: Sequence[str] = MODALITIES,
    source: str = "embedded",
    data_dir: str | None = None,
    pixel_seed: int = 0,
    seed: int = 0,
) -> Dataset:
    """The set of the module.

    Args:
      modalities: which of image, digit a batch has, in this order.
      source, data_dir: of the digits, see `mnist.arrays`.
      pixel_seed: of pixels in evaluation; apart from `seed`, so that runs of several
        seeds are tested on the same images.
      seed: of the order of training and its pixels.

    Raises:
      ValueError, FileNotFoundError, ImportError: an unknown modality, or one twice; as
        `mnist.arrays`.
    """
    who = "mnist_labels.load"
    modalities = check_modalities(who, modalities, MODALITIES)
    check_seed(who, pixel_seed)
    check_seed(who, seed)
    data = {s: mnist.arrays(s, source=source, data_dir=data_dir) for s in SPLITS}
    num_examples = {split: len(labels) for split, (_, labels) in data.items()}

    def of_rows(split: str, rows: np.ndarray, chance: np.ndarray) -> dict:
        images, labels = (array[rows] for array in data[split])
        batch = {"label": labels}
        if "image" in modalities:
            batch["image"] = (255 * chance < images)[..., None]
        return batch

    def train_rows(step: int, batch_size: int) -> np.ndarray:
        rows = batch_indices(seed, step, num_examples["train"], batch_size)
        return this_process(rows)

    def draw(step: int, batch_size: int) -> dict:
        chance = np.random.default_rng((seed, step, 1)).random((batch_size, 28, 28))
        return of_rows("train", train_rows(step, batch_size), this_process(chance))

    def take(split: str, rows: np.ndarray) -> dict:
        chance = uniform(pixel_seed, STREAMS[split], rows, 28 * 28)
        return of_rows(split, rows, chance.reshape(-1, 28, 28))

    return of_draws(
        who,
        draw,
        take,
        num_examples,
        prepare=functools.partial(_prepare, modalities=modalities),
        modalities=modalities,
        train_rows=train_rows,
    )


def _prepare(batch: Mapping, *, modalities: Sequence[str]) -> dict:
    rest = dict(batch)
    if "image" in rest:
        rest["image"] = rest["image"].astype(jnp.float32)
    if "digit" in modalities:
        rest["digit"] = jax.nn.one_hot(rest["label"], 10, dtype=jnp.float32)
    return rest
