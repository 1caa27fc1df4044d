"""Do generated modalities show what the given ones show? Classifiers are the judges.

Conditional: what is generated for modality m from the modalities A of a test example, z
drawn from their posterior, shows its label. It is the mean of m given z: of text the
probability of each letter. Joint: all modalities generated from one z
of the prior, or of a sampler fitted to latents, show the same class. The classifiers
are those of `evaluators.classifiers`.

Source: Shi et al., "Variational Mixture-of-Experts Autoencoders", 2019,
  https://arxiv.org/abs/1911.03393; means by number of views as in Sutter, Daunhawer and
  Vogt, 2021, https://arxiv.org/abs/2105.02470.
"""

from collections.abc import Callable

import jax
import numpy as np

from repr_jax import metrics
from repr_jax.evaluators import classifiers, samplers
from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    batches,
    by_size,
    mean_by_views,
    needs,
    rows_with,
    subsets,
    with_present,
)
from repr_jax.ops import checks


def of_nothing(trained, dataset, judge, key, *, num, sampler, batch_size):
    """What the judges see [modality, num, ...] where nothing is given, and `Fitted`.

    sampler: what z is drawn from, fitted to latents; None for the prior.
    """
    fit_key = jax.random.fold_in(key, num)
    options = dict(batch_size=batch_size)
    fitted = sampler and samplers.fit(trained, dataset, sampler, fit_key, **options)
    options |= dict(num=num, fitted=fitted)
    samples = samplers.generated(trained, dataset, key, **options)
    seen = [told(judge(made)) for made in samples]
    return np.concatenate(seen, axis=1)[:, :num], fitted


def told(seen) -> np.ndarray:
    """What judges say, [modality, rows, ...]; ValueError where they cannot tell."""
    seen = np.asarray(seen)
    lost = seen < 0 if seen.dtype.kind == "i" else ~np.isfinite(seen)
    rows = np.flatnonzero(np.any(lost, axis=(0, *range(2, seen.ndim))))
    if len(rows):
        raise ValueError(
            "coherence: expected finite arrays to judge; got others in row "
            f"{rows[0]} of those generated, or of the test split."
        )
    return seen


def conditional(
    trained, dataset, judge, key, *, batch_size, limit, target="label", of_made=None
):
    """What the judges see in the test rows, and in what is generated from subsets.

    target: entry of a prepared batch, [rows] classes or [rows, attribute]. of_made: a
    judge of what is generated, where that is not of all modalities.

    Returns:
      originals: (what the judges say [modality, rows, ...], targets [rows, ...], where
        [modality, rows]), False where the test set lacks the modality.
      generated: dict by name of the subset -> (what the judges say [modality, rows,
        ...], targets [rows, ...]) of the rows that have all of it.
    """
    names, of_made = trained.modalities, of_made or judge
    chosen = subsets(names)
    originals, generated = [], {name: [] for name in chosen}
    for n, batch in enumerate(batches(dataset, "test", batch_size, limit=limit)):
        there = np.stack([rows_with(batch, row) for row in np.eye(len(names))])
        prepared = trained.prepare(batch)
        truth = np.asarray(prepared[target])
        seen = np.asarray(judge(prepared))
        shown = there.reshape(*there.shape, *(1,) * (seen.ndim - 2))
        originals.append((told(np.where(shown, seen, 0)), truth, there))
        for s, (name, subset) in enumerate(chosen.items()):
            rows = rows_with(batch, subset)
            if not np.any(rows):
                continue
            own_key = jax.random.fold_in(jax.random.fold_in(key, s), n)
            made = trained.outputs["generate"](with_present(batch, subset), own_key)
            seen = told(np.asarray(of_made(made))[:, rows])
            generated[name].append((seen, truth[rows]))

    def joined(parts):
        seen, truth, *there = zip(*parts)
        found = np.concatenate(seen, axis=1), np.concatenate(truth)
        return *found, *(np.concatenate(x, axis=1) for x in there)

    return joined(originals), {n: joined(x) for n, x in generated.items() if x}


def targets_of(trained, dataset, batch_size) -> tuple[str, ...]:
    """The modalities that are generated: of a conditional model one alone."""
    batch = next(batches(dataset, "test", batch_size, limit=batch_size))
    batch = with_present(batch, [True] * len(trained.modalities))
    made = trained.outputs["generate"](batch, jax.random.key(0))
    return tuple(name for name in trained.modalities if name in made)


def by_target(names, generated, score, *, inside: bool) -> dict[str, float]:
    """{"m0+m1->m2": score(classes, labels)}; targets inside the subset, or outside."""
    return {
        f"{name}->{target}": float(score(classes, labels))
        for name, (seen, labels) in generated.items()
        for target, classes in zip(names, seen)
        if (target in name.split("+")) == inside
    }


def by_class(names, generated) -> Table:
    """Coherence of the rows of each class, by number of views."""
    columns = {}
    labels = np.concatenate([labels for _, labels in generated.values()])
    for label in np.unique(labels):

        def right(classes, labels, label=label):
            return np.mean(classes[labels == label] == label)

        some = {n: x for n, x in generated.items() if label in x[1]}
        columns[label] = mean_by_views(by_target(names, some, right, inside=False))
    sizes = sorted({size for scores in columns.values() for size in scores})
    header = ("class", *(size.replace("_", " ") for size in sizes))
    rows = [(str(n), *(x.get(size) for size in sizes)) for n, x in columns.items()]
    note = "Of the test rows of a class; means over subsets and targets outside them."
    return Table("Coherence by class", note, header, rows)


ABOUT = (
    "How often a generated view shows the class that it should, as a classifier sees "
    "it; macro: the mean over classes; self: of views that were among the given ones. "
    "The classifiers are right on {} of real test rows. Chance: {:.3f}."
)


def tabulate(names, targets, num_classes, judged, outside, macro, inside):
    """By number of views, and by subset and target."""
    ceiling = ", ".join(f"{judged[name]:.3f} ({name})" for name in judged)
    columns = {"coherence": outside, "macro": macro, "self": inside}
    sizes = Table(
        "Coherence by number of views",
        ABOUT.format(ceiling, 1 / num_classes),
        ("given", *columns),
        by_size(columns, names),
    )
    rows = [
        (given, *(scores.get(f"{given}->{target}") for target in targets))
        for scores in [outside | inside]
        for given in subsets(names)
    ]
    header = ("given", *(f"\u2192 {target}" for target in targets))
    note = "A target that is among the given views is a reconstruction."
    return sizes, Table("Coherence by subset and target", note, header, rows)


@needs("generate")
def evaluate(
    trained,
    dataset,
    *,
    classifier_steps: int = 800,
    classifier_batch: int = 128,
    classifier_peak: float = 4e-3,
    classifier_dropout: float = 0.0,
    num_classes: int = 10,
    num_random: int = 10_000,
    sampler: Callable | None = None,
    batch_size: int = 256,
    limit: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """How often generated modalities show the class that they should, by classifiers.

    Args:
      trained: Trained with a `generate`, of all modalities or of some.
      dataset: Dataset with a `label` in [0, num_classes).
      classifier_steps, classifier_batch: how long the judges are trained.
      classifier_peak: their largest learning rate.
      classifier_dropout: theirs; 0.5 as published suits a fixed training set, and 0 one
        that is composed anew at each step.
      num_classes: classes that the judges tell apart.
      num_random: samples of nothing given.
      sampler: as `samplers.flow`, what z is drawn from where nothing is given; needs
        the outputs `latents` and `decode`. None for the prior.
      batch_size: rows generated at a time.
      limit: number of random test rows to use; None for all.
      seed: of the judges and of what is generated.

    Returns:
      Fractions in [0, 1], see `summary`.

    Raises:
      ValueError: a model of one input; no `label`, or one that is not below
        num_classes.
    """
    names = trained.modalities
    if not names:
        raise ValueError("coherence: expected a model of named modalities; got none.")
    settings = dict(num_classes=num_classes, num_steps=classifier_steps, seed=seed)
    settings |= dict(batch_size=classifier_batch, peak=classifier_peak)
    settings["dropout"] = classifier_dropout
    params = classifiers.kept(trained, dataset, **settings)
    targets = targets_of(trained, dataset, batch_size)
    judge, of_made = (
        classifiers.make_judge(params, some, num_classes) for some in (names, targets)
    )
    keys, sizes = jax.random.split(jax.random.key(seed)), dict(batch_size=batch_size)
    options = dict(limit=limit, of_made=of_made, **sizes)
    seen = conditional(trained, dataset, judge, keys[0], **options)
    checks.within("coherence", num_classes, label=seen[0][1])
    if len(targets) == 1:
        return summary(names, targets, num_classes, *seen, None)
    free, fitted = of_nothing(
        trained, dataset, judge, keys[1], num=num_random, sampler=sampler, **sizes
    )
    found = summary(names, targets, num_classes, *seen, free)
    return samplers.with_novelty(found, fitted)


def summary(names, targets, num_classes, originals, generated, free) -> Evaluation:
    """The numbers and tables of what the judges saw; free: in samples, or None.

    names: of the modalities; targets: of those that are generated.

    1 is best and 1 / num_classes is chance, except of the last three.
      "classifier/m0": accuracy of a judge on test rows, the ceiling of the others.
      "m0+m1->m2": for every proper subset and target outside it, of the rows that have
        all of the subset.
      "1_view", "2_views", ...: means of those, by size of subset; "macro/1_view", ...:
        of means over the classes, which are the same if all have as many rows.
      "self/m0+m1->m0": targets inside the subset, reconstructions; and their
        means "self/1_view", ....
      "joint": all judges agree; chance is num_classes^-(M - 1). Absent if
        one modality is generated.
      "joint_entropy": of the class that they agree on, over that of equally frequent
        ones, in [0, 1]: 0 if it is always the same, of which "joint" is no merit.
      "novelty": of a sampler, see `samplers.Fitted`.
    """
    seen, labels, where = originals
    judged = {
        name: float(metrics.accuracy(seen[m], labels, where=where[m]))
        for m, name in enumerate(names)
        if np.any(where[m])
    }
    outside, inside = (
        by_target(targets, generated, metrics.accuracy, inside=inside)
        for inside in (False, True)
    )
    outside, inside = (scores | mean_by_views(scores) for scores in (outside, inside))
    macro = by_target(targets, generated, metrics.macro_accuracy, inside=False)
    macro = mean_by_views(macro)
    found = {f"classifier/{name}": value for name, value in judged.items()} | outside
    found |= {f"macro/{name}": value for name, value in macro.items()}
    found |= {f"self/{name}": value for name, value in inside.items()}
    chance = dict.fromkeys(found, 1 / num_classes)
    if free is not None:
        found["joint"] = float(metrics.agreement(free))
        chance["joint"] = float(num_classes) ** -(len(targets) - 1)
        found["joint_entropy"] = agreed_entropy(free, num_classes)
    tables = tabulate(names, targets, num_classes, judged, outside, macro, inside)
    if len(names) > 1:
        tables = (*tables, by_class(targets, generated))
    headline = ("1_view", "2_views", "joint", "joint_entropy")
    return Evaluation(found, {}, tables, chance, headline)


def agreed_entropy(free, num_classes) -> float:
    """Of [modality, sample] classes, where all are the same, in [0, 1]; 0 of none."""
    agreed = free[0][np.all(free == free[:1], axis=0)]
    shares = np.bincount(agreed, minlength=num_classes) / max(len(agreed), 1)
    return float(metrics.clustering.entropy(shares) / np.log(num_classes))
