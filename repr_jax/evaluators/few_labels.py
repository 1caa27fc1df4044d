"""The linear probe on shares of the labels: what is a representation worth with few?"""

from collections.abc import Mapping, Sequence

import numpy as np

from repr_jax.evaluators import linear_probe
from repr_jax.evaluators.common import Evaluation, Table, collect, needs
from repr_jax.ops import checks


def rows_of_fraction(labels: np.ndarray, fraction: float, seed: int = 0) -> np.ndarray:
    """Indices of max(1, round(fraction n)) rows of each class, of n that it has.

    Draws of one seed contain those of smaller fractions.

    Raises:
      ValueError: fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"few_labels: expected fraction in (0, 1]; got {fraction}.")
    order = np.random.default_rng(seed).permutation(len(labels))
    found = []
    for name in np.unique(labels):
        mine = order[labels[order] == name]
        found.append(mine[: max(1, int(np.floor(fraction * len(mine) + 0.5)))])
    return np.sort(np.concatenate(found))


def gaps(numbers: Mapping[str, float], others: Mapping[str, float]) -> dict:
    """{name: number - other} of the names that both have, such as pretrained - not."""
    return {name: x - others[name] for name, x in numbers.items() if name in others}


@needs("represent")
def evaluate(
    trained,
    dataset,
    *,
    fractions: Sequence[float] = (0.01, 0.02, 0.1, 1.0),
    num_draws: int = 1,
    max_train: int = 10_000,
    inverse_penalty: float = 1.0,
    batch_size: int = 256,
    seed: int = 0,
) -> Evaluation:
    """Test accuracy of `linear_probe` fitted to shares of the training labels.

    Of the published protocol the part that is not about faces, with frozen features.
    Classes keep their proportions; `few_shot` takes as many rows of each.
    The gap between two representations at each share is `gaps` of their numbers.

    Args:
      trained: Trained.
      dataset: Dataset with a `label`.
      fractions: in (0, 1], of the rows of each class, at least one row; 1 is the plain
        probe.
      num_draws: how many choices of rows the mean is taken of.
      max_train: rows of the training split to choose from, drawn at random.
      inverse_penalty, batch_size: as in `linear_probe`.
      seed: of the choice of rows; draw n has seed + n.

    Returns:
      "accuracy/0.1" and so on; in [0, 1]. Chance is the share of the largest class.

    Raises:
      ValueError: fractions that are not in (0, 1], or labels of less than two classes.

    Source: Bulat et al., "Pre-training Strategies and Datasets for Facial
      Representation Learning", 2022, https://arxiv.org/abs/2103.16554.
    """
    checks.count("few_labels", num_draws=num_draws)
    x, y = collect(trained, dataset, "train", batch_size, limit=max_train)
    test = collect(trained, dataset, "test", batch_size)
    options = dict(inverse_penalty=inverse_penalty)
    scores = {}
    for fraction in fractions:
        draws = num_draws if fraction < 1 else 1  # all rows are drawn in one way
        chosen = [rows_of_fraction(y, fraction, seed + n) for n in range(draws)]
        scores[f"accuracy/{fraction:g}"] = linear_probe.mean_score(
            linear_probe.score(x[rows], y[rows], *test, **options) for rows in chosen
        )
    numbers = {name: score.accuracy for name, score in scores.items()}
    largest = linear_probe.largest_share(test[1])
    chance = dict.fromkeys(numbers, largest)
    note = "Accuracy on the test split of a linear classifier fitted to so many labels."
    note += linear_probe.unfinished([*scores.values()])
    rows = [(name.split("/")[1], value, largest) for name, value in numbers.items()]
    table = Table("Few labels", note, ("share of labels", "accuracy", "chance"), rows)
    return Evaluation(numbers, {}, (table,), chance, tuple(numbers)[:1])
