"""A stand-in for Multimodal Handwritten Digits that needs no files but MNIST.

A batch after `prepare` is that of `data.mhd`: image, trajectory, sound, symbol, label
and, in evaluation, where. The image is a digit of MNIST in [0, 1]. The trajectory is
the pen's way along ten strokes of ours, [x, y] of 100 points one after the other, each
row's shrunk, slanted and moved; the sound a tone whose pitch is the class, that starts
somewhere and fades, in [0, 1.1]. None of these knows how another of its row was drawn:
the class is all they share. A row is the same whenever it is seen.
"""

import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.data import mhd, mnist
from repr_jax.data.dataset import (
    SPLITS,
    Dataset,
    check_modalities,
    example_keys,
    of_rows,
)

WHO = "mhd_drawn.load"
POINTS = 100  # of a trajectory
STREAMS = {"train": 0, "test": 1}
STROKES = (  # corners of the pen's way, 0 to 9, x to the right and y up
    ((0.5, 1), (0.1, 0.75), (0.1, 0.25), (0.5, 0), (0.9, 0.25), (0.9, 0.75), (0.5, 1)),
    ((0.3, 0.75), (0.5, 1), (0.5, 0)),
    ((0.1, 0.8), (0.5, 1), (0.9, 0.75), (0.1, 0), (0.9, 0)),
    ((0.1, 1), (0.8, 0.8), (0.4, 0.5), (0.9, 0.25), (0.1, 0)),
    ((0.6, 1), (0.1, 0.4), (0.9, 0.4), (0.65, 0.6), (0.65, 0)),
    ((0.9, 1), (0.2, 1), (0.2, 0.55), (0.85, 0.4), (0.8, 0.1), (0.1, 0)),
    ((0.8, 1), (0.2, 0.5), (0.2, 0.1), (0.7, 0), (0.8, 0.35), (0.25, 0.4)),
    ((0.1, 1), (0.9, 1), (0.4, 0)),
    ((0.5, 0.5), (0.2, 0.8), (0.5, 1), (0.8, 0.8), (0.2, 0.2), (0.5, 0), (0.8, 0.2)),
    ((0.8, 0.7), (0.3, 0.6), (0.3, 0.95), (0.8, 0.95), (0.8, 0.7), (0.7, 0)),
)


@functools.cache
def ways() -> np.ndarray:
    """[10, POINTS, 2] float32: points of equal distance along each of STROKES."""
    found = []
    for corners in np.array(STROKES, object):
        corners = np.array(corners, np.float64)
        ends = np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))
        along = np.linspace(0, ends[-1], POINTS)
        at = np.concatenate([[0.0], ends])
        found.append(np.stack([np.interp(along, at, axis) for axis in corners.T], 1))
    return np.array(found, np.float32)


def trajectory(key: Array, label: Array) -> Array:
    """[2 POINTS] float32, the way of a class, shrunk, slanted and moved by the key."""
    shrink_key, slant_key, move_key = jax.random.split(key, 3)
    size = jax.random.uniform(shrink_key, (2,), minval=0.6, maxval=1.0)
    slant = jax.random.uniform(slant_key, minval=-0.3, maxval=0.3)
    move = jax.random.uniform(move_key, (2,), minval=-0.1, maxval=0.1)
    x, y = (size[None] * jnp.asarray(ways())[label]).T
    return jnp.stack([x + slant * y + move[0], y + move[1]], axis=1).reshape(-1)


def sound(key: Array, label: Array) -> Array:
    """[32, 96, 1] float32: a tone at row 3 label + 2, in columns from its start on."""
    start_key, fade_key, noise_key = jax.random.split(key, 3)
    start = jax.random.randint(start_key, (), 0, 32)
    fade = jax.random.uniform(fade_key, minval=16.0, maxval=48.0)
    time = jnp.arange(96)[None] - start
    loud = jnp.where(time < 0, 0.0, jnp.exp(-jnp.maximum(time, 0) / fade))
    pitch = jnp.exp(-0.5 * (jnp.arange(32)[:, None] - 3 * label - 2) ** 2)
    noise = jax.random.uniform(noise_key, (32, 96), maxval=0.1)
    return (pitch * loud + noise)[..., None]


def load(
    *,
    modalities: Sequence[str] = mhd.MODALITIES,
    source: str = "embedded",
    data_dir: str | None = None,
    seed: int = 0,
) -> Dataset:
    """The set of the module.

    Args:
      modalities: which of image, trajectory, sound, symbol a batch has, in this order.
      source, data_dir: of the digits, see `mnist.arrays`.
      seed: of the order of training, of trajectories and sounds.

    Raises:
      ValueError: an unknown modality, or one twice; and as `mnist.arrays`.
      FileNotFoundError, ImportError: see `mnist.arrays`.
    """
    modalities = check_modalities(WHO, modalities, mhd.MODALITIES)
    digits = {s: mnist.arrays(s, source=source, data_dir=data_dir) for s in SPLITS}

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        images, labels = digits[split]
        found = {"label": labels[rows], "id": rows.astype(np.uint32)}
        found["stream"] = np.full(len(rows), STREAMS[split], np.uint32)
        if "image" in modalities:
            found["image"] = images[rows][..., None]
        return found

    def prepare(batch: Mapping) -> dict:
        rest = dict(batch)
        keys = example_keys(seed, rest.pop("stream"), rest.pop("id"))
        fold = jax.vmap(jax.random.fold_in, in_axes=(0, None))
        if "image" in rest:
            rest["image"] = rest["image"].astype(jnp.float32) / 255
        for column, draw in enumerate((trajectory, sound)):
            if draw.__name__ in modalities:
                own_keys = fold(keys, column)
                rest[draw.__name__] = jax.vmap(draw)(own_keys, rest["label"])
        if "symbol" in modalities:
            rest["symbol"] = jax.nn.one_hot(rest["label"], 10, dtype=jnp.float32)
        return rest

    num_examples = {split: len(labels) for split, (_, labels) in digits.items()}
    return of_rows(
        WHO, take, num_examples, seed=seed, prepare=prepare, modalities=modalities
    )
