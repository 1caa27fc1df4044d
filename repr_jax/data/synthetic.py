"""Tiny datasets made of random numbers, for tests and first steps; nothing to download.

Images are float32 [batch, size, size, 3] on the host already, so `prepare` has nothing
to do. Pixels of `blobs` are unbounded, those of `multiview` in [0, 1].
"""

from collections.abc import Sequence

import numpy as np

from repr_jax.data.dataset import (
    SPLITS,
    Dataset,
    check_modalities,
    check_seed,
    of_rows,
)
from repr_jax.ops import checks


def blobs(
    *, num_classes: int = 4, num_examples: int = 64, size: int = 8, seed: int = 0
) -> Dataset:
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

    def take(
        split: str, rows: np.ndarray
    ) -> dict[str, np.ndarray]:  # every split is the same here
        image = noise[labels[rows]] + np.float32(0.1) * noise[rows]
        return {"image": image, "label": labels[rows]}

    return of_rows(who, take, dict.fromkeys(SPLITS, num_examples), seed=seed)


def multiview(
    *,
    modalities: Sequence[str] = ("m0", "m1", "m2"),
    num_classes: int = 4,
    num_examples: int = 64,
    size: int = 28,
    seed: int = 0,
) -> Dataset:
    """A coarse black and white pattern per class, in the two colors of each modality.

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
    colors = rng.uniform(0.1, 0.9, size=(len(modalities), 2, 3)).astype(np.float32)
    labels = (np.arange(num_examples) % num_classes).astype(np.int32)
    shape = (num_examples, len(modalities), size, size, 3)
    noise = {s: rng.uniform(-0.1, 0.1, shape).astype(np.float32) for s in SPLITS}

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        ink = pattern[labels[rows]].astype(int)
        views = {
            name: colors[i][ink] + noise[split][rows, i]
            for i, name in enumerate(modalities)
        }
        return {**views, "label": labels[rows]}

    num_examples = dict.fromkeys(SPLITS, num_examples)
    return of_rows(who, take, num_examples, seed=seed, modalities=modalities)


def graph(
    *,
    num_classes: int = 4,
    num_nodes: int = 64,
    num_features: int = 16,
    degree: float = 6.0,
    seed: int = 0,
) -> Dataset:
    """One random graph with communities: a batch is some of its nodes.

    A stochastic block model: each node has a class, and is linked to about `degree`
    others, five sixths of them of its own class; its features are one-hot of its class
    plus noise of scale 1. Half of the nodes are the split "train", half "test".

    A batch has "node" int32 [batch], numbers of nodes; "label" int32 [batch]; and in
    evaluation "where" bool [batch]. `Dataset.fixed`, which every prepared batch
    contains whole, has "features" float32 [num_nodes, num_features], and "senders" and
    "receivers" int32 [num_edges], each edge in both directions.

    Raises:
      ValueError, TypeError: a number that is not a whole one, or too small: two nodes a
        class and split, one feature a class.
    """
    who = "synthetic.graph"
    checks.count(who, num_classes=num_classes)
    checks.count(who, minimum=2 * num_classes, num_nodes=num_nodes)
    checks.count(who, minimum=num_classes, num_features=num_features)
    checks.positive(who, degree=degree)
    check_seed(who, seed)
    rng = np.random.default_rng(seed)
    labels = (np.arange(num_nodes) % num_classes).astype(np.int32)
    features = np.eye(num_features)[labels] + rng.normal(size=(num_nodes, num_features))
    same = labels[:, None] == labels[None]
    inside, outside = same.sum(axis=1) - 1, (~same).sum(axis=1)
    rate = np.where(same, inside[:, None], 5 * outside[:, None])
    rate = 5 * degree / 6 / np.maximum(rate, 1)
    linked = np.triu(rng.random(same.shape) < rate, k=1)
    first, second = (ends.astype(np.int32) for ends in np.nonzero(linked))
    fixed = {
        "features": features.astype(np.float32),
        "senders": np.concatenate([first, second]),
        "receivers": np.concatenate([second, first]),
    }
    order = rng.permutation(num_nodes).astype(np.int32)
    nodes = {"train": order[: num_nodes // 2], "test": order[num_nodes // 2 :]}

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {"node": nodes[split][rows], "label": labels[nodes[split][rows]]}

    num_examples = {split: len(rows) for split, rows in nodes.items()}
    return of_rows(who, take, num_examples, seed=seed, fixed=fixed)
