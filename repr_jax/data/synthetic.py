"""Tiny datasets made of random numbers, for tests and first steps; nothing to download.

Images are float32 [batch, size, size, 3] on the host already, so `prepare` has nothing
to do. Pixels of `blobs` are unbounded, those of `multiview` in [0, 1].
"""

import itertools

import numpy as np

from repr_jax.data.dataset import (
    SPLITS,
    Dataset,
    check_evaluate,
    check_modalities,
    check_seed,
    check_train,
    padded_rows,
    this_process,
)
from repr_jax.ops import checks


def blobs(*, num_classes=4, num_examples=64, size=8, seed=0) -> Dataset:
    """One random image per class plus noise; both splits are the same.

    A batch has "image" float32 [batch, size, size, 3], about normal, "label" int32
    [batch], and in evaluation "where" bool [batch].

    Raises:
      ValueError, TypeError: a number that is not a whole one, or below 1.
    """
    who = "synthetic.blobs"
    checks.count(who, num_classes=num_classes, num_examples=num_examples, size=size)
    check_seed(who, seed)
    rng = np.random.default_rng(seed)
    shape = (max(num_classes, num_examples), size, size, 3)
    noise = rng.normal(size=shape).astype(np.float32)
    labels = (np.arange(num_examples) % num_classes).astype(np.int32)

    def take(rows):
        image = noise[labels[rows]] + np.float32(0.1) * noise[rows]
        return {"image": image, "label": labels[rows]}

    return _dataset(who, {split: (take, num_examples) for split in SPLITS}, seed)


def multiview(
    *, modalities=("m0", "m1", "m2"), num_classes=4, num_examples=64, size=28, seed=0
) -> Dataset:
    """A coarse black and white pattern per class, in the two colours of each modality.

    The splits differ in their noise. Batches have the entries of PolyMNIST after
    `prepare`: one per modality, float32 [batch, size, size, 3] in [0, 1], and "label"
    int32 [batch], in evaluation also "where" bool [batch].

    Raises:
      ValueError, TypeError: no modality, one twice, or a number that is not a whole
        one, or below 1.
    """
    who = "synthetic.multiview"
    modalities = check_modalities(who, modalities, known=modalities)
    checks.count(who, num_classes=num_classes, num_examples=num_examples, size=size)
    check_seed(who, seed)
    rng = np.random.default_rng(seed)
    pattern = rng.random((num_classes, 4, 4)) < 0.5
    cell = np.arange(size) * 4 // size
    pattern = pattern[:, cell][:, :, cell]  # [class, size, size]
    colours = rng.uniform(0.1, 0.9, size=(len(modalities), 2, 3)).astype(np.float32)
    labels = (np.arange(num_examples) % num_classes).astype(np.int32)
    shape = (num_examples, len(modalities), size, size, 3)
    noise = {s: rng.uniform(-0.1, 0.1, shape).astype(np.float32) for s in SPLITS}

    def taker(split):
        def take(rows):
            ink = pattern[labels[rows]].astype(int)
            views = {
                name: colours[i][ink] + noise[split][rows, i]
                for i, name in enumerate(modalities)
            }
            return {**views, "label": labels[rows]}

        return take

    splits = {split: (taker(split), num_examples) for split in SPLITS}
    return _dataset(who, splits, seed)._replace(modalities=modalities)


def _dataset(who, splits, seed):
    """A dataset of {split: (take, num_examples)}; take: rows [b] -> batch."""

    def train(batch_size, start_step=0):
        check_train(who, batch_size, start_step)
        take, num_examples = splits["train"]

        def batch(step):
            rng = np.random.default_rng((seed, step))
            return take(this_process(rng.integers(num_examples, size=batch_size)))

        return map(batch, itertools.count(start_step))

    def evaluate(split, batch_size):
        check_evaluate(who, split, batch_size)
        take, num_examples = splits[split]
        return (
            {**take(rows), "where": where}
            for rows, where in padded_rows(num_examples, batch_size)
        )

    num_examples = {split: num for split, (_, num) in splits.items()}
    return Dataset(train, evaluate, num_examples=num_examples)
