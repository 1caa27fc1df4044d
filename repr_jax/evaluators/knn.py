"""Classification of representations by the classes of their nearest neighbors."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from repr_jax import metrics
from repr_jax.evaluators.common import Evaluation, Table, collect, needs
from repr_jax.evaluators.linear_probe import largest_share
from repr_jax.ops import checks
from repr_jax.ops.batch import by_block
from repr_jax.ops.numerics import l2_normalize, pairwise_dot

ABOUT = (
    "Accuracy on the test split of the classes of so many nearest training rows, by "
    "cosine similarity; weighted: a neighbor's vote is exp(similarity / {:g}). Chance: "
    "the largest class."
)


def shares(
    bank: Array,
    labels: Array,
    queries: Array,
    *,
    num_neighbors: int,
    num_classes: int,
    temperature: float = 0.07,
) -> Array:
    """The weighted votes of the most cosine-similar rows of the bank for each class.

    share_c = sum_j w_j [ label_j = c ], w = softmax(similarity_j / temperature) over
    the num_neighbors nearest j; of equally near ones those that come first.

    Args:
      bank: [rows, dim] float, any scale.
      labels: [rows] int in [0, num_classes).
      queries: [batch, dim] float, any scale.
      num_neighbors: k, from 1 to rows.
      num_classes: of the labels.
      temperature: > 0; infinity gives every neighbor the same vote.

    Returns:
      [batch, num_classes] float32; each row sums to 1.

    Raises:
      ValueError: shapes that do not fit together, values that are not finite, labels or
        a number out of range. TypeError: not floats, not integers.

    Source: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
      Discrimination", 2018, section 3.4, https://arxiv.org/abs/1805.01978.
    """
    who = "knn.shares"
    checks.same_shape(who, rank=2, bank=bank)
    checks.same_shape(who, rank=2, queries=queries)
    checks.shape(who, bank.shape[:1], labels=labels)
    checks.floating(who, bank=bank, queries=queries)
    checks.integers(who, labels=labels)
    checks.count(who, num_neighbors=num_neighbors, num_classes=num_classes)
    checks.positive(who, temperature=temperature)
    checks.finite(who, bank=bank, queries=queries)
    checks.within(who, num_classes, labels=labels)
    if num_neighbors > len(bank):
        raise ValueError(
            f"{who}: expected at most {len(bank)} neighbors, the rows of the bank; got "
            f"num_neighbors {num_neighbors}."
        )
    return _shares(bank, labels, queries, temperature, num_neighbors, num_classes)


@functools.partial(jax.jit, static_argnums=(4, 5))
def _shares(bank, labels, queries, temperature, num_neighbors, num_classes):
    bank, votes = l2_normalize(bank), jax.nn.one_hot(labels, num_classes)

    def of_block(some):
        near, rows = lax.top_k(pairwise_dot(some, bank), num_neighbors)
        weights = jax.nn.softmax(near / temperature, axis=-1)
        return jnp.sum(weights[..., None] * votes[rows], axis=1)

    return by_block(of_block, l2_normalize(queries), size=256)


@needs("represent")
def evaluate(
    trained,
    dataset,
    *,
    num_neighbors: Sequence[int] = (20, 200),
    temperature: float = 0.07,
    max_train: int | None = None,
    batch_size: int = 256,
) -> Evaluation:
    """Accuracy on the test split of the k nearest training rows, for several k.

    Args:
      trained: Trained.
      dataset: Dataset with a `label`.
      num_neighbors: candidates for k; those above the number of training rows are left
        out. DINO reports the best of 10, 20, 100 and 200.
      temperature: of the weighted vote, as in Wu et al. and DINO.
      max_train: rows of the training split to search, drawn at random; None for all.
      batch_size: rows encoded at a time.

    Returns:
      "accuracy/20" of the weighted vote and "unweighted/20" of the plain one, for every
      k; in [0, 1]. Chance is the share of the largest class.

    Raises:
      ValueError: no k is small enough.
    """
    bank, y = collect(trained, dataset, "train", batch_size, limit=max_train)
    queries, y_test = collect(trained, dataset, "test", batch_size)
    classes, labels = np.unique(y, return_inverse=True)
    known = [k for k in num_neighbors if k <= len(bank)]
    if not known:
        raise ValueError(
            f"knn: expected num_neighbors of at most {len(bank)}, the training rows; "
            f"got {tuple(num_neighbors)}."
        )

    def accuracy(k, temperature):
        options = dict(num_neighbors=k, num_classes=len(classes))
        found = shares(bank, labels, queries, temperature=temperature, **options)
        return float(metrics.accuracy(classes[np.argmax(found, axis=1)], y_test))

    numbers = {f"accuracy/{k}": accuracy(k, temperature) for k in known}
    numbers |= {f"unweighted/{k}": accuracy(k, np.inf) for k in known}
    chance = dict.fromkeys(numbers, largest_share(y_test))
    rows = [
        (f"{k} neighbors", numbers[f"accuracy/{k}"], numbers[f"unweighted/{k}"])
        for k in known
    ]
    header = ("", "weighted", "unweighted")
    table = Table("Nearest neighbors", ABOUT.format(temperature), header, rows)
    return Evaluation(numbers, {}, (table,), chance, (f"accuracy/{known[0]}",))
