"""Linear classification of representations from a few labeled rows of each class."""

from collections.abc import Sequence

import numpy as np

from repr_jax.data import subsample
from repr_jax.evaluators.common import Evaluation, Table, collect, needs
from repr_jax.evaluators.linear_probe import largest_share, score, unfinished
from repr_jax.ops import checks

ABOUT = (
    "Accuracy on the test split of a linear classifier fitted to so many training rows "
    "of each class: mean and standard deviation over {} draws of them. Chance: the "
    "largest class."
)


@needs("represent")
def evaluate(
    trained,
    dataset,
    *,
    shots: Sequence[int] = (1, 5, 20),
    num_draws: int = 5,
    max_train: int | None = 10_000,
    inverse_penalty: float = 1.0,
    batch_size: int = 256,
    seed: int = 0,
) -> Evaluation:
    """Accuracy on the test split from a few training rows of each class.

    Args:
      trained: Trained.
      dataset: Dataset with a `label`.
      shots: rows of each class that a classifier is fitted to; those that a class has
        not are left out.
      num_draws: of such rows, for each number; the same for every model.
      max_train: random rows of the training split to draw from; None for all.
      inverse_penalty: C of `linear_probe`, > 0.
      batch_size: rows encoded at a time.
      seed: of the draws; draw n has seed + n.

    Returns:
      "accuracy/5_shots" and "sd/5_shots", mean and standard deviation (n in the
      denominator) over the draws, for each number of shots. Chance is the share of the
      largest class.

    Raises:
      ValueError: fewer than two classes, or a class that is smaller than all shots.
    """
    checks.count("few_shot", num_draws=num_draws)
    x, y = collect(trained, dataset, "train", batch_size, limit=max_train)
    test = collect(trained, dataset, "test", batch_size)
    classes, labels, counts = np.unique(y, return_inverse=True, return_counts=True)
    smallest = int(counts.min()) if len(counts) else 0
    known = [count for count in shots if count <= smallest]
    if not known:
        raise ValueError(
            f"few_shot: expected shots of at most {smallest}, the rows of the smallest "
            f"class; got {tuple(shots)}."
        )

    def of_draw(count, number):
        options = dict(num_classes=len(classes), seed=seed + number)
        few = subsample.balanced(labels, count, **options)
        return score(x[few], y[few], *test, inverse_penalty=inverse_penalty)

    numbers, rows, fits = {}, [], []
    for count in known:
        scores = [of_draw(count, number) for number in range(num_draws)]
        accuracies = [one.accuracy for one in scores]
        mean, sd = float(np.mean(accuracies)), float(np.std(accuracies))
        numbers |= {f"accuracy/{count}_shots": mean, f"sd/{count}_shots": sd}
        rows.append((f"{count} a class", mean, sd))
        fits += scores
    chance = {f"accuracy/{count}_shots": largest_share(test[1]) for count in known}
    note = ABOUT.format(num_draws) + unfinished(fits)
    table = Table("Few rows of each class", note, ("fitted to", "accuracy", "sd"), rows)
    return Evaluation(numbers, {}, (table,), chance, tuple(chance)[-1:])
