"""Dominoes: a digit above a picture, where the digit is the easy way to the label.

A batch after `prepare` has "image" float32 [batch, 64, 32, 3] in [0, 1], the digit in
rows 0 to 31 and the picture below; "label" int32 [batch], the class of the picture;
"spurious" int32, the digit, 0 or 1; "domain" int32, 0 in distribution and 1 out of it;
"index" int32, the number of the picture; and "where" bool in evaluation. Before it
there are "digit" and the picture, or "key", instead of the image. `data.shift` says how
strongly label and digit correlate: at r = 1 class 0 has digit 0, class 1 digit 1.

Pictures are CIFAR-10's automobiles (class 0) and trucks (class 1), or drawn on the
device for machines without: a square or a heart with soft edges, of random size, turn,
place and colors, with noise of standard deviation 0.1. A random crop of a domino may
hold one block alone: `each_block` changes them one by one.

Source: Shah et al., "The Pitfalls of Simplicity Bias in Neural Networks", 2020,
https://arxiv.org/abs/2006.07710, code. There every digit is paired once; here each
picture draws a digit of its class. The drawn pictures are ours.
"""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.data import mnist, sprites, tfds_images
from repr_jax.data import shift as shifts
from repr_jax.data.dataset import Dataset, of_rows, uniform
from repr_jax.ops import checks

SIZE = 32  # pixels of a block
PICTURES = ("drawn", "cifar10")
CIFAR_CLASSES = (1, 9)  # automobile, truck
DIGITS = (0, 1)
SHAPES = (0, 2)  # of `sprites`: square, heart
NOISE = 0.1
DIGIT_STREAM = 0xD16  # of `dataset.uniform`
POOLS = {"train": "train", "ood_head": "train", "test": "test", "ood_test": "test"}


def load(
    *,
    r_id: float = 1.0,
    r_ood: float = 0.0,
    pictures: str = "drawn",
    source: str = "embedded",
    data_dir: str | None = None,
    num_train: int = 8_000,
    num_test: int = 980,
    num_head: int = 1_000,
    seed: int = 0,
    data_seed: int = 0,
) -> Dataset:
    """Dominoes at r_id and r_ood; see the module.

    Args:
      r_id: of the splits "train" and "test", in [-1, 1]; see `shift`.
      r_ood: of "ood_head" and "ood_test".
      pictures: "drawn", or "cifar10": 10,000 for train and ood_head together, 2,000 for
        the two tests, whose digits are of MNIST's test split.
      source, data_dir: of the digits, see `mnist.arrays`; data_dir is CIFAR-10's too.
      num_train, num_test, num_head: how many "train", each of the two tests, and
        "ood_head" have; no picture is in two of them.
      seed: of the order of training.
      data_seed: of the choice of pictures, of digits and of what is drawn.

    Raises:
      ValueError, TypeError: a number out of range, or more pictures than there are.
      FileNotFoundError, ImportError: see `mnist.arrays`.
    """
    who = "dominoes.load"
    checks.one_of(who, PICTURES, pictures=pictures)
    shift = shifts.check_shift(who, shifts.Shift(r_id, r_ood, data_seed), len(DIGITS))
    counts = (num_train, num_test, num_head, num_test)
    num_examples = dict(zip(shifts.SPLITS, counts))
    checks.count(who, **num_examples)
    digits = {
        s: _of_classes(*mnist.arrays(s, source=source, data_dir=data_dir))
        for s in ("train", "test")
    }
    blocks, labels, rows_of = _pictures(pictures, num_examples, data_dir, data_seed)

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        index = rows_of[split][rows]
        label = labels[index]
        digit = shifts.attributes(
            label, index, r=shift.of(split), num_values=len(DIGITS), seed=data_seed
        )
        drawn = blocks is None
        return {
            "digit": _shown(digits[POOLS[split]], digit, index, data_seed),
            **({"key": index.astype("u4")} if drawn else {"picture": blocks[index]}),
            "label": label,
            "spurious": digit,
            "domain": np.full(len(rows), split.startswith("ood"), np.int32),
            "index": index.astype(np.int32),
        }

    prepare = functools.partial(_prepare, seed=int(data_seed))
    return of_rows(who, take, num_examples, seed=seed, prepare=prepare)


def _of_classes(images: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """The images of each of DIGITS."""
    return [images[labels == digit] for digit in DIGITS]


def _shown(known: list[np.ndarray], digit: np.ndarray, index: np.ndarray, seed: int):
    """[batch, 28, 28] uint8: an image of each digit, by the number of the picture."""
    draws = uniform(seed, DIGIT_STREAM, index, 1)[:, 0]
    return np.stack([known[a][int(u * len(known[a]))] for a, u in zip(digit, draws)])


def _pictures(
    pictures: str, num_examples: Mapping[str, int], data_dir: str | None, seed: int
) -> tuple:
    """Pictures or None, their labels, and {split: numbers of pictures}."""
    pools = {
        pool: {split: n for split, n in num_examples.items() if POOLS[split] == pool}
        for pool in ("train", "test")
    }
    if pictures == "drawn":
        blocks, sizes = None, {p: sum(some.values()) for p, some in pools.items()}
        labels = [np.arange(n) % 2 for n in sizes.values()]
    else:
        found = [tfds_images.arrays("cifar10", p, data_dir=data_dir) for p in pools]
        kept = [np.isin(y, CIFAR_CLASSES) for _, y in found]
        blocks = np.concatenate([x[k] for (x, _), k in zip(found, kept)])
        labels = [(y[k] == CIFAR_CLASSES[1]) for (_, y), k in zip(found, kept)]
        sizes = {p: len(y) for p, y in zip(pools, labels)}
    rows_of, start = {}, 0
    for pool, some in pools.items():
        parts = shifts.split_rows(some, sizes[pool], seed)
        rows_of |= {split: start + rows for split, rows in parts.items()}
        start += sizes[pool]
    return blocks, np.concatenate(labels).astype(np.int32), rows_of


def draw(key: Array, label: Array) -> Array:
    """One picture [32, 32, 3] float32 in [0, 1]: a square for label 0, else a heart."""
    key_pose, key_colors, key_noise = jax.random.split(key, 3)
    pose = jax.random.uniform(key_pose, (4,))
    radius = sprites.RADIUS * (0.7 + 0.6 * pose[0])
    center = (pose[2:] - 0.5) * 0.8
    shown = sprites.coverage(
        jnp.array(SHAPES)[label][None],
        radius[None],
        2 * jnp.pi * pose[1:2],
        center[None],
        size=SIZE,
    )[0, :, :, None]
    inside, outside = jax.random.uniform(key_colors, (2, 1, 1, 3))
    noise = NOISE * jax.random.normal(key_noise, (SIZE, SIZE, 3))
    return jnp.clip(shown * inside + (1 - shown) * outside + noise, 0.0, 1.0)


def _prepare(batch: Mapping, *, seed: int) -> dict:
    """Draws the picture if there is none, and puts the digit above it."""
    rest = dict(batch)
    digit = rest.pop("digit").astype(jnp.float32) / 255
    digit = jnp.pad(digit, [(0, 0), (2, 2), (2, 2)])
    if "key" in rest:
        base = jax.random.key(seed)
        keys = jax.vmap(lambda n: jax.random.fold_in(base, n))(rest.pop("key"))
        picture = jax.vmap(draw)(keys, rest["label"])
    else:
        picture = rest.pop("picture").astype(jnp.float32) / 255
    top = jnp.broadcast_to(digit[..., None], picture.shape)
    return {**rest, "image": jnp.concatenate([top, picture], axis=1)}


def each_block(key: Array, images: Array, *, view: Callable) -> Array:
    """Both blocks changed, each by a key of its own; an augmentation of dominoes.

    Args:
      key: PRNG key.
      images: [batch, 64, 32, channels] float in [0, 1].
      view: (key, [batch, 32, 32, channels]) -> the same shape.
    """
    blocks = jnp.split(images, 2, axis=1)
    keys = jax.random.split(key, 2)
    return jnp.concatenate([view(k, x) for k, x in zip(keys, blocks)], axis=1)
