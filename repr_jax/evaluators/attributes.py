"""Attributes that rows have or not: are they in what is generated, and in the latents?

`evaluate` is coherence where a row has no class, but many attributes, as faces of
CelebA do: of each modality that is generated a classifier says how likely it is to show
each attribute, and these scores are ranked against the truth. `probe` is the same of a
linear classifier of the latents. Both report average precision, the mean over
attributes, in (0, 1]: 1 is best, and chance the share of rows that have the attribute.

Source: Sutter, Daunhawer and Vogt, "Multimodal Generative Learning Utilizing
  Jensen-Shannon-Divergence", 2020, https://arxiv.org/abs/2006.08242, on CelebA. Their
  coherence of what is generated from nothing compares the wrong axes; here it is the
  share of attributes on which the classifiers of all modalities agree.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from repr_jax import metrics
from repr_jax.estimators import logistic
from repr_jax.evaluators import classifiers, samplers
from repr_jax.evaluators.coherence import by_target, conditional, of_nothing
from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    by_size,
    collect_subsets,
    mean_by_views,
    needs,
)
from repr_jax.evaluators.linear_probe import stratified

ABOUT = (
    "Average precision of the attributes of generated modalities, as classifiers see "
    "them, the mean over attributes that some test rows have and some have not; self: "
    "of modalities that were among the given ones. Of real rows {}. Chance: {:.3f}."
)
OF_EACH = (
    "Average precision, and how many of the test rows have the attribute, its chance."
)
PROBE = (
    "Average precision of a linear classifier of the latents, fitted to {} training "
    "rows, the mean over attributes. Chance: the share of rows that have them."
)

precisions = jax.jit(jax.vmap(metrics.average_precision, in_axes=1))


def precision(scores, truth) -> np.ndarray:
    """[attribute] of scores and truth [rows, attribute]; NaN if all or none has it."""
    return np.asarray(precisions(np.float32(scores), np.asarray(truth, bool)))


def mean_precision(scores, truth) -> float:
    """The mean over the attributes for which it is a number."""
    found = precision(scores, truth)
    return float(np.mean(found[~np.isnan(found)])) if len(found) else np.nan


@needs("generate")
def evaluate(
    trained,
    dataset,
    *,
    target: str = "attributes",
    names: Sequence[str] = (),
    classifier_steps: int = 800,
    classifier_batch: int = 128,
    classifier_peak: float = 4e-3,
    classifier_dropout: float = 0.0,
    num_random: int = 10_000,
    sampler: Callable | None = None,
    batch_size: int = 256,
    limit: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """Average precision of attributes in what is generated, by classifiers.

    Args:
      trained: Trained with a `generate`, of named modalities.
      dataset: Dataset.
      target: entry of a prepared batch, [batch, attribute] of 0 and 1.
      names: of the attributes, for the table; () numbers them.
      classifier_steps, classifier_batch, classifier_peak, classifier_dropout,
        num_random, sampler, batch_size, limit, seed: as in `coherence.evaluate`.

    Returns:
      "m0->m1", ... for every subset and target outside it, and means "1_view", ...;
      "self/m0+m1->m0", ...; "classifier/m0", of real test rows, the ceiling; all in
      (0, 1]. "joint": the share of attributes on which all judges agree, in what is
      generated from nothing; its chance is that of judges that guess independently.

    Raises:
      ValueError: a model of one input; a batch without `target`, or of another form.
    """
    modalities = trained.modalities
    count = num_attributes(trained, dataset, target)
    settings = dict(num_classes=count, num_steps=classifier_steps, seed=seed)
    settings |= dict(batch_size=classifier_batch, peak=classifier_peak)
    settings |= dict(dropout=classifier_dropout, target=target)
    params = classifiers.kept(trained, dataset, **settings)
    score = classifiers.make_scorer(params, modalities, count)
    keys, sizes = jax.random.split(jax.random.key(seed)), dict(batch_size=batch_size)
    originals, generated = conditional(
        trained, dataset, score, keys[0], limit=limit, target=target, **sizes
    )
    found, tables, shares = summary(modalities, names, originals, generated)
    level = float(np.mean(shares[(shares > 0) & (shares < 1)]))
    chance = dict.fromkeys(found, level)
    if len(modalities) == 1:
        return Evaluation(found, {}, tables, chance, ("self/1_view",))
    seen, fitted = of_nothing(
        trained, dataset, score, keys[1], num=num_random, sampler=sampler, **sizes
    )
    free = seen > 0
    found["joint"] = float(np.mean(np.all(free == free[:1], axis=0)))
    guess = shares ** len(modalities) + (1 - shares) ** len(modalities)
    chance["joint"] = float(np.mean(guess))
    evaluation = Evaluation(found, {}, tables, chance, ("1_view", "2_views", "joint"))
    return samplers.with_novelty(evaluation, fitted)


def num_attributes(trained, dataset, target) -> int:
    """How many there are; ValueError as of `evaluate`."""
    if not trained.modalities:
        raise ValueError("attributes: expected a model of named modalities; got none.")
    batch = trained.prepare(next(iter(dataset.evaluate("train", 8))))
    if target not in batch or np.ndim(batch[target]) != 2:
        got = f"{batch[target].shape}" if target in batch else ", ".join(sorted(batch))
        raise ValueError(
            f"attributes: expected an entry {target!r} [batch, attribute]; got {got}."
        )
    return batch[target].shape[1]


def summary(modalities, names, originals, generated):
    """Numbers, see `evaluate`; tables; the share of rows that have each attribute."""
    seen, truth, there = originals
    judged = {
        name: precision(seen[m][there[m]], truth[there[m]])
        for m, name in enumerate(modalities)
        if np.any(there[m])
    }
    outside, inside = (
        by_target(modalities, generated, mean_precision, inside=inside)
        for inside in (False, True)
    )
    outside, inside = (scores | mean_by_views(scores) for scores in (outside, inside))
    ceiling = {name: float(np.nanmean(values)) for name, values in judged.items()}
    found = {f"classifier/{name}": value for name, value in ceiling.items()} | outside
    found |= {f"self/{name}": value for name, value in inside.items()}
    shares = np.mean(truth[np.any(there, axis=0)], axis=0)
    chance = np.mean(shares[(shares > 0) & (shares < 1)])
    levels = ", ".join(f"{value:.3f} ({name})" for name, value in ceiling.items())
    columns = {"generated": outside, "self": inside}
    sizes = Table(
        "Attributes by number of views",
        ABOUT.format(levels, chance),
        ("given", *columns),
        by_size(columns, modalities),
    )
    singles = {
        f"{name} \u2192 {target}": precision(seen[m], truth)
        for name, (seen, truth) in generated.items()
        for m, target in enumerate(modalities)
        if name in modalities and name != target
    }
    columns = {f"real {name}": x for name, x in judged.items()} | singles
    rows = [
        (
            names[a] if a < len(names) else str(a),
            *(_number(x[a]) for x in columns.values()),
            float(shares[a]),
        )
        for a in range(len(shares))
    ]
    header = ("attribute", *columns, "chance")
    return found, (sizes, Table("Attributes, each", OF_EACH, header, rows)), shares


def _number(x) -> float | None:
    return None if np.isnan(x) else float(x)


@needs("represent")
def probe(
    trained,
    dataset,
    *,
    target: str = "attributes",
    num_train: int = 500,
    inverse_penalty: float = 1.0,
    batch_size: int = 256,
    limit: int | None = 10_000,
    seed: int = 0,
) -> Evaluation:
    """Average precision of a linear classifier of the latents for each attribute.

    Args:
      trained: Trained, of named modalities.
      dataset: Dataset.
      target: entry of a prepared batch, [batch, attribute] of 0 and 1.
      num_train: rows that the classifiers are fitted to; published: 500.
      inverse_penalty: C of the logistic regression, > 0.
      batch_size: rows encoded at a time.
      limit: rows of either split to look at, random ones; None for all.
      seed: of the choice of rows.

    Returns:
      The mean over attributes for every subset "m0+m1", of the rows that have all of
      it, and means over subsets of a size "1_view", ...; in (0, 1], 1 is best.

    Raises:
      ValueError: as of `evaluate`; no row has any modality, or no attribute differs.
    """
    num_attributes(trained, dataset, target)
    found, chance, used = {}, {}, 0
    collected = collect_subsets(
        trained, dataset, batch_size, limit, limit, target=target
    )
    for name, (x, y), (x_test, y_test) in collected:
        y, y_test = y > 0, y_test > 0
        some = stratified(np.zeros(len(y)), num_train, seed)
        scored = [
            (_scores(x[some], y[some, a], x_test, inverse_penalty), y_test[:, a])
            for a in range(y.shape[1])
            if len({*y[some, a]}) == len({*y_test[:, a]}) == 2
        ]
        if scored:
            scores, truth = (np.stack(parts, axis=1) for parts in zip(*scored))
            found[name] = mean_precision(scores, truth)
            chance[name], used = float(np.mean(truth)), len(some)
    if not found:
        raise ValueError("attributes: expected rows that differ in some; got none.")
    found, chance = (values | mean_by_views(values) for values in (found, chance))
    columns = {"average precision": found, "chance": chance}
    rows = [
        (name.replace("_", " "), *(c[name] for c in columns.values())) for name in found
    ]
    table = Table(
        "Attributes in latents", PROBE.format(used), ("given", *columns), rows
    )
    return Evaluation(found, {}, (table,), chance, ("1_view",))


def _scores(x, y, x_test, inverse_penalty):
    """[test rows] log odds of the logistic regression fitted to (x, y)."""
    fitted = logistic.fit(
        x, y.astype(np.int32), num_classes=2, penalty=1 / inverse_penalty
    )
    logits = np.asarray(logistic.logits(fitted, x_test))
    return logits[:, 1] - logits[:, 0]
