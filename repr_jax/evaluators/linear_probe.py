"""Linear classification of representations, for every subset of the modalities."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from repr_jax.estimators import logistic
from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    by_size,
    collect_subsets,
    mean_by_views,
    needs,
    subsets,
    views,
)
from repr_jax.ops import checks

ABOUT = (
    "Accuracy on the test split of a linear classifier of the representation, fitted "
    "to the training split, or to so many rows of it. Chance: the largest class."
)


class Score(NamedTuple):
    """What a probe is worth."""

    accuracy: float  # on held-out rows, in [0, 1]
    converged: bool  # did the fit?
    gradient: float  # of the fit at its end


def stratified(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """[min(count, rows)] indices, drawn without replacement, classes in proportion."""
    order = np.random.default_rng(seed).permutation(len(labels))
    share = np.empty(len(labels))  # of its class drawn before a row is, in (0, 1)
    for name in np.unique(labels):
        mine = order[labels[order] == name]
        share[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return order[np.argsort(share[order], kind="stable")[:count]]


def largest_share(labels: np.ndarray) -> float:
    """How frequent the largest class is, in (0, 1]: chance."""
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def score(x, y, x_test, y_test, *, inverse_penalty: float = 1.0) -> Score:
    """Held-out accuracy of the logistic regression fitted to (x, y)."""
    if np.asarray(y).dtype.kind == "f":
        checks.finite("linear_probe", y=y)
    classes, y = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"linear_probe: expected labels of two or more classes; got {classes}."
        )
    penalty = 1 / inverse_penalty
    probe = logistic.fit(x, y, num_classes=len(classes), penalty=penalty)
    predictions = classes[np.asarray(logistic.predict(probe, x_test))]
    right = float(np.mean(predictions == np.asarray(y_test)))
    return Score(right, bool(probe.converged), float(probe.gradient))


def mean_score(scores: Iterable[Score]) -> Score:
    """The mean accuracy; converged if all did, the gradient of the worst."""
    accuracies, converged, gradients = zip(*scores)
    return Score(float(np.mean(accuracies)), all(converged), max(gradients))


@needs("represent")
def evaluate(
    trained,
    dataset,
    *,
    num_train: int = 500,
    num_draws: int = 1,
    max_train: int = 10_000,
    inverse_penalty: float = 1.0,
    batch_size: int = 256,
    seed: int = 0,
) -> Evaluation:
    """Accuracy on the test split of a linear classifier of the posterior means.

    Multinomial logistic regression, L2 penalty with C = 1, features not scaled, fitted
    to the training split twice: to all of it, and to `num_train` rows as published.

    Args:
      trained: Trained.
      dataset: Dataset with a `label`.
      num_train: rows of the small fit, classes in proportion.
      num_draws: how many small fits, each to rows of its own, the mean is taken of.
      max_train: rows of the large fit; a longer training split is thinned at random to
        so many, since each of the 2^M - 1 subsets has a fit.
      inverse_penalty: C, > 0.
      batch_size: rows encoded at a time.
      seed: of the choice of the `num_train` rows; draw n has seed + n.

    Returns:
      For every subset "m0+m1" (large fit) and "500_rows/m0+m1" (small fit, named by
      its rows), of the rows that have all of it; means over the subsets of a size,
      "1_view", "2_views". Fractions in [0, 1]. Of a model with one input, "accuracy"
      and "accuracy/500_rows". Chance is the share of the largest class.

    Source: protocol of Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021,
      https://arxiv.org/abs/2105.02470. They draw the 500 rows with replacement.
    """
    checks.count("linear_probe", num_draws=num_draws)
    large, small, largest = {}, {}, {}
    collected = collect_subsets(trained, dataset, batch_size, max_train)
    for name, (x, y), test in collected:
        large[name] = score(x, y, *test, inverse_penalty=inverse_penalty)
        draws = [stratified(y, num_train, seed + n) for n in range(num_draws)]
        small[name] = mean_score(
            score(x[few], y[few], *test, inverse_penalty=inverse_penalty)
            for few in draws
        )
        largest[name] = largest_share(test[1])
    if not large:
        raise ValueError("linear_probe: expected rows of both splits; got none.")
    note = unfinished([*large.values(), *small.values()])
    few = f"{num_train}_rows"
    if not trained.modalities:
        found = {"accuracy": large[""].accuracy, f"accuracy/{few}": small[""].accuracy}
        chance = dict.fromkeys(found, largest[""])
        fitted_to = ("all rows", few.replace("_", " "))
        rows = list(zip(fitted_to, found.values(), chance.values()))
        header = ("fitted to", "accuracy", "chance")
        table = Table("Linear probe", ABOUT + note, header, rows)
        return Evaluation(found, {}, (table,), chance, ("accuracy",))
    return of_subsets(trained.modalities, large, small, largest, few, note)


def unfinished(scores) -> str:
    """A sentence about fits that had not converged; "" if all had."""
    late = [score.gradient for score in scores if not score.converged]
    if not late:
        return ""
    return (
        f" {len(late)} of {len(scores)} fits had not converged (gradient "
        f"{max(late):.1e})."
    )


def of_subsets(modalities, large, small, largest, few, note) -> Evaluation:
    """Numbers and tables of a model of several modalities."""
    columns, chances = {}, {}
    level = largest | mean_by_views(largest)
    for prefix, scores in (("", large), (f"{few}/", small)):
        scores = {name: score.accuracy for name, score in scores.items()}
        columns[prefix] = scores | mean_by_views(scores)
        chances |= {f"{prefix}{name}": float(x) for name, x in level.items()}
    found = {
        f"{prefix}{name}": value
        for prefix, scores in columns.items()
        for name, value in scores.items()
    }
    header = ("given", "all rows", few.replace("_", " "), "chance")
    columns["chance"] = level
    of_each = [
        (name, *(scores.get(name) for scores in columns.values()))
        for name in subsets(modalities)
    ]
    tables = (
        Table(
            "Linear probe by number of views",
            f"{ABOUT} Means over the subsets of so many views.{note}",
            header,
            by_size(columns, modalities),
        ),
        Table("Linear probe by subset of the views", "", header, of_each),
    )
    sizes = dict.fromkeys((views(1), views(len(modalities))))
    return Evaluation(found, {}, tables, chances, tuple(sizes))
