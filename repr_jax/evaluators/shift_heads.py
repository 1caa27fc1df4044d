"""What survives a distribution shift: the representation, or only a head on top of it.

Linear heads are fitted to frozen representations: the ID head to the training split,
which is in distribution (ID), the OOD head to the small split "ood_head", which is not.
Both are tested on "test" (ID) and on "ood_test". With acc_i and acc_o for the accuracy
of a head on the ID and the OOD test split, and c_i and c_o for the two heads,

    shift sensitivity of a head c  =  acc_i(c) - acc_o(c)
    head bias                      =  acc_o(c_o) - acc_o(c_i)

so that acc_i(c_i) - acc_o(c_i) = [acc_i(c_i) - acc_o(c_o)] + head bias: what a shift
costs is what the representation lost, and what the ID head did not use of it.

Source: Shi et al., "How Robust is Unsupervised Representation Learning to Distribution
  Shift?", 2023, https://arxiv.org/abs/2206.08871. The choice of the penalty, the
  intervals, worst groups and the small ID head are ours.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from repr_jax.data.shift import SPLITS
from repr_jax.estimators import logistic
from repr_jax.evaluators.common import Evaluation, Table, collect_targets, needs
from repr_jax.evaluators.latents import standardized
from repr_jax.evaluators.linear_probe import largest_share, stratified, unfinished
from repr_jax.ops import checks

TARGETS = ("label", "spurious")
TESTS = {"id": "test", "ood": "ood_test"}  # which split tests in, which out
ABOUT = (
    "Accuracy of reading the {target} with linear heads: in distribution (ID), out of "
    "it (OOD), and their difference, in brackets 95 % of the bootstrap over test rows; "
    "worst group: the least accuracy over pairs of label and spurious attribute, OOD. "
    "ID heads are fitted to training rows, the small one to as many as the OOD head. "
    "Chance: {chance:.3f}."
)
HEADER = ("head", "rows", "penalty", "ID", "OOD", "ID - OOD", "worst group")


class Head(NamedTuple):
    """A linear classifier, and how it came about."""

    classes: np.ndarray  # [class], what the classifier's classes are called
    fitted: logistic.Logistic
    penalty: float  # that was chosen
    num_rows: int  # that it was fitted to

    @property
    def converged(self) -> bool:
        """Did the fit?"""
        return bool(self.fitted.converged)

    @property
    def gradient(self) -> float:
        """Of the fit at its end."""
        return float(self.fitted.gradient)


def fit(
    x: np.ndarray,
    y: np.ndarray,
    *,
    penalties: Sequence[float],
    held_out: float = 0.2,
    seed: int = 0,
) -> Head:
    """The logistic regression of all rows, with the penalty best on held-out ones.

    A share `held_out` of the rows, classes in proportion, is set aside for every
    penalty; the one of the highest accuracy there is used, of equals the largest.

    Args:
      x: [rows, dim] float.
      y: [rows] int, any two or more classes.
      penalties: see `logistic.fit`.
      held_out: in (0, 1).
      seed: of the choice of held-out rows.

    Raises:
      ValueError: there are fewer than two classes, or no penalty.
    """
    if not len(penalties) or not 0 < held_out < 1:
        raise ValueError(
            "shift_heads: expected penalties, and held_out above 0 and below 1; got "
            f"{tuple(penalties)} and {held_out}."
        )
    classes, labels = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"shift_heads: expected rows of two or more classes; got {classes}."
        )

    def of(penalty, where=None):
        options = dict(num_classes=len(classes), penalty=penalty, where=where)
        return logistic.fit(x, labels, **options)

    aside = np.zeros(len(x), bool)
    aside[stratified(labels, max(1, round(held_out * len(x))), seed)] = True
    best = (-1.0, 0.0)
    for penalty in penalties:
        found = np.asarray(logistic.predict(of(penalty, ~aside), x[aside]))
        best = max(best, (float(np.mean(found == labels[aside])), float(penalty)))
    return Head(classes, of(best[1]), best[1], len(x))


def predict(head: Head, x: np.ndarray) -> np.ndarray:
    """[rows, dim] -> [rows], the most probable class."""
    return head.classes[np.asarray(logistic.predict(head.fitted, x))]


def differences(accuracies: Mapping) -> dict:
    """Shift sensitivities and head bias of {"id_head/id": ..., "id_head/ood": ...}.

    Values are floats, or arrays of any one shape.
    """
    heads = dict.fromkeys(name.partition("/")[0] for name in accuracies)
    found = {
        f"sensitivity/{head}": accuracies[f"{head}/id"] - accuracies[f"{head}/ood"]
        for head in heads
    }
    bias = accuracies["ood_head/ood"] - accuracies["id_head/ood"]
    return {**found, "head_bias": bias}


def resampled(right: np.ndarray, num_draws: int, rng) -> np.ndarray:
    """[head, draw]: accuracies on rows drawn with replacement, as many as there are.

    right: [head, row] bool. All heads see the same draws.
    """
    patterns, counts = np.unique(right.T, axis=0, return_counts=True)
    num_rows = right.shape[1]
    draws = rng.multinomial(num_rows, counts / num_rows, size=num_draws)
    return (draws @ patterns).T / num_rows


def worst_group(right: np.ndarray, *groups: np.ndarray) -> float:
    """The least mean of right [row] over the combinations of groups that have a row."""
    _, members = np.unique(np.stack(groups), axis=1, return_inverse=True)
    members = members.reshape(-1)
    return float(np.min(np.bincount(members, right) / np.bincount(members)))


@needs("represent")
def evaluate(
    trained,
    dataset,
    *,
    target: str = "label",
    num_head: int | None = None,
    max_train: int = 10_000,
    penalties: Sequence[float] = (1.0, 10.0, 100.0, 1000.0),
    held_out: float = 0.2,
    num_draws: int = 1_000,
    batch_size: int = 256,
    seed: int = 0,
) -> Evaluation:
    """Accuracies of ID and OOD heads in and out of distribution; see the module.

    Representations are standardized by the training split for every head.

    Args:
      trained: Trained.
      dataset: Dataset with the splits and the batches of `data.shift`.
      target: "label", or "spurious": how well the attribute can be read instead.
      num_head: rows of "ood_head" to fit to, classes in proportion; None for all.
      max_train: rows of the training split to fit to, drawn at random.
      penalties: candidates, of which each head gets its own; see `fit`.
      held_out: share of a head's rows that choose its penalty.
      num_draws: of the bootstrap.
      batch_size: rows encoded at a time.
      seed: of the choices of rows and of the bootstrap.

    Returns:
      "id_head/id", "id_head/ood", the same of "ood_head" and of "small_id_head", which
      is fitted to as many training rows as the OOD head: accuracies in [0, 1], with
      the share of the largest class as chance. "sensitivity/id_head", ..., "head_bias":
      differences in [-1, 1]. Of each, "NAME/low" and "NAME/high" hold 95 % of the
      bootstrap. "worst_group/id_head", ...: accuracies, OOD.

    Raises:
      ValueError: a split is missing or empty, or a head has fewer than two classes.
    """
    checks.one_of("shift_heads", TARGETS, target=target)
    checks.count("shift_heads", max_train=max_train, num_draws=num_draws)
    checks.count("shift_heads", num_head=1 if num_head is None else num_head)
    x, entries = _collected(trained, dataset, max_train, batch_size)
    y = {split: entries[split][target] for split in SPLITS}
    options = dict(penalties=penalties, held_out=held_out, seed=seed)
    heads = _heads(x, y, num_head, options)
    right = {
        side: np.stack([predict(head, x[split]) == y[split] for head in heads.values()])
        for side, split in TESTS.items()
    }
    numbers, intervals = _numbers(right, list(heads), num_draws, seed)
    groups = [entries["ood_test"][name] for name in TARGETS]
    for head, of_head in zip(heads, right["ood"]):
        numbers[f"worst_group/{head}"] = worst_group(of_head, *groups)
    largest = {side: largest_share(y[split]) for side, split in TESTS.items()}
    chance = {f"{head}/{side}": largest[side] for head in heads for side in TESTS}
    table = _table(heads, numbers, intervals, target, largest["ood"])
    for name, (low, high) in intervals.items():
        numbers |= {f"{name}/low": low, f"{name}/high": high}
    headline = ("id_head/id", "id_head/ood", "ood_head/ood")
    return Evaluation(numbers, {}, (table,), chance, headline)


def _collected(trained, dataset, max_train: int, batch_size: int) -> tuple[dict, dict]:
    """Standardized representations and TARGETS of each split."""
    missing = [s for s in SPLITS if not dataset.num_examples.get(s)]
    if missing:
        raise ValueError(
            f"shift_heads: expected a dataset with the splits {', '.join(SPLITS)}; got "
            f"none of {', '.join(missing)}."
        )
    x, entries = {}, {}
    for split in SPLITS:
        limit = max_train if split == "train" else None
        x[split], entries[split] = collect_targets(
            trained, dataset, split, batch_size, TARGETS, limit=limit
        )
    return dict(zip(SPLITS, standardized(*x.values()))), entries


def _heads(x: Mapping, y: Mapping, num_head: int | None, options: Mapping) -> dict:
    """The heads of `evaluate`, by name."""
    wanted = len(y["ood_head"]) if num_head is None else num_head
    few = stratified(y["ood_head"], wanted, options["seed"])
    small = stratified(y["train"], len(few), options["seed"])
    return {
        "id_head": fit(x["train"], y["train"], **options),
        "ood_head": fit(x["ood_head"][few], y["ood_head"][few], **options),
        "small_id_head": fit(x["train"][small], y["train"][small], **options),
    }


def _numbers(right: Mapping, heads: Sequence[str], num_draws: int, seed: int) -> tuple:
    """Accuracies and differences, and the interval of each, by name."""
    rng = np.random.default_rng((seed, 1))
    numbers, draws = {}, {}
    for side, of_heads in right.items():
        names = [f"{head}/{side}" for head in heads]
        numbers |= zip(names, map(float, np.mean(of_heads, axis=1)))
        draws |= zip(names, resampled(of_heads, num_draws, rng))
    numbers, draws = (values | differences(values) for values in (numbers, draws))
    ends = {name: np.quantile(v, (0.025, 0.975)).tolist() for name, v in draws.items()}
    return numbers, ends


def _table(
    heads: Mapping[str, Head],
    numbers: Mapping[str, float],
    intervals: Mapping[str, Sequence[float]],
    target: str,
    chance: float,
) -> Table:
    def cell(name):
        low, high = intervals[name]
        return f"{numbers[name]:.3f} [{low:.3f}, {high:.3f}]"

    rows = [
        (
            name.replace("_", " "),
            head.num_rows,
            f"{head.penalty:g}",
            *(cell(f"{name}/{side}") for side in ("id", "ood")),
            cell(f"sensitivity/{name}"),
            numbers[f"worst_group/{name}"],
        )
        for name, head in heads.items()
    ]
    low, high = intervals["head_bias"]
    note = ABOUT.format(target=target, chance=chance)
    note += f" Head bias: {numbers['head_bias']:.3f} [{low:.3f}, {high:.3f}]."
    note += unfinished(list(heads.values()))
    return Table(f"Heads in and out of distribution: {target}", note, HEADER, rows)
