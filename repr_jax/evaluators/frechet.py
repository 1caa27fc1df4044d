"""Are generated examples distributed as real ones? In the features of a network.

Real are the examples of the test split that have the modality; generated are as many,
from the prior or a sampler, and from subsets A of the modalities of the test examples.
Features are those of a classifier that is trained here (see `evaluators.classifiers`):
the distance is then called "fd_clf", which is not FID and compares runs on one dataset
alone. With `features` of one's own it is called "fd"; see `evaluators.inception`.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax import metrics
from repr_jax.estimators import kmeans
from repr_jax.evaluators import classifiers, samplers
from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    batches,
    given_subsets,
    mean_by_views,
    needs,
    rows_with,
    with_present,
)

NUM_CLUSTERS, NUM_ANGLES = 20, 1001  # of prd, as published
COLUMNS = ("precision", "recall", "prd_precision", "prd_recall", "prd")
ABOUT = (
    "Generated against real test examples of {}, in features of {}. {}: Frechet "
    "distance, 0 is best, biased upwards by few rows; precision and recall: shares of "
    "generated and of real examples near others of the other kind, by nearest "
    "neighbors; prd: by clusters, F_1/8 for precision, F_8 for recall, and the mean of "
    "the curve, at most 0.7204. real: training examples in place of generated ones, "
    "the best to be hoped for; chance: one example, the mean of the real ones."
)


def compare(real, made, *, num_neighbors, num_fits, key) -> tuple[float, ...]:
    """Frechet distance and COLUMNS of features [rows, dim], as many of each kind."""
    rows = min(len(real), len(made))
    real, made = real[:rows], made[:rows]
    near = metrics.neighbor_precision_recall(real, made, num_neighbors=num_neighbors)
    both, curves = jnp.asarray(np.concatenate([real, made])), []
    for n in range(num_fits):
        own_key = jax.random.fold_in(key, n)
        clusters = kmeans.fit(own_key, both, num_clusters=min(NUM_CLUSTERS, rows))
        members = np.asarray(kmeans.assign(clusters, both))
        counts = [
            np.bincount(x, minlength=NUM_CLUSTERS) for x in np.split(members, [rows])
        ]
        curves.append(metrics.prd(*counts, num_angles=NUM_ANGLES))
    precision, recall = np.mean(curves, axis=0)
    return (
        metrics.frechet_distance(real, made),
        *near,
        metrics.largest_f(precision, recall, beta=1 / 8),
        metrics.largest_f(precision, recall, beta=8),
        float(np.mean([precision, recall])),
    )


def real_features(trained, dataset, split, extract, *, batch_size, limit):
    """{name: [rows, dim]} of the rows that have it, and {name: the mean example}."""
    found, totals = {}, {}
    for batch in batches(dataset, split, batch_size, limit=limit):
        prepared = trained.prepare(batch)
        for name in trained.modalities:
            rows = rows_with(batch, _alone(trained, name))
            x = jnp.nan_to_num(prepared[name])
            found.setdefault(name, []).append(extract(name, x)[rows])
            total, count = totals.get(name, (0.0, 0))
            total = total + np.sum(np.asarray(x, np.float64)[rows], axis=0)
            totals[name] = total, count + np.sum(rows)
    means = {name: total / max(count, 1) for name, (total, count) in totals.items()}
    return {name: np.concatenate(parts) for name, parts in found.items()}, means


def made_features(trained, dataset, asked, extract, key, *, batch_size, limit):
    """{"m0+m1->m2": [rows, dim]} of targets outside the subsets, of rows with both."""
    found = {}
    for n, batch in enumerate(batches(dataset, "test", batch_size, limit=limit)):
        for s, (given, subset) in enumerate(asked.items()):
            if not np.any(rows_with(batch, subset)):
                continue
            own_key = jax.random.fold_in(jax.random.fold_in(key, s), n)
            made = trained.outputs["generate"](with_present(batch, subset), own_key)
            for name in trained.modalities:
                alone = _alone(trained, name)
                if not np.any(alone & subset):
                    rows = rows_with(batch, subset | alone)
                    parts = found.setdefault(f"{given}->{name}", [])
                    parts.append(extract(name, made[name])[rows])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _alone(trained, name):
    return np.array([name == other for other in trained.modalities])


def _extractor(trained, dataset, features, settings):
    """(name, arrays) -> float64 features on the host; images clipped to [0, 1]."""
    own = None
    if features is None:
        params = classifiers.kept(trained, dataset, **settings)
        own = classifiers.features(params, settings["num_classes"])

    def extract(name, x):
        x = jnp.clip(x, 0, 1) if x.ndim == 4 else x
        return np.asarray(own(name, x) if own else features(x), np.float64)

    return extract


@needs("generate")
def evaluate(
    trained,
    dataset,
    *,
    features: Callable | None = None,
    given: Sequence[str] | None = None,
    sampler: Callable | None = None,
    num_neighbors: int = 3,
    num_fits: int = 3,
    classifier_steps: int = 800,
    classifier_batch: int = 128,
    classifier_peak: float = 4e-3,
    classifier_dropout: float = 0.0,
    num_classes: int = 10,
    batch_size: int = 256,
    limit: int | None = 10_000,
    seed: int = 0,
) -> Evaluation:
    """Frechet distance, precision and recall of what is generated, by modality.

    Args:
      trained: Trained with a `generate`, of named modalities.
      dataset: Dataset; with a `label` in [0, num_classes) unless there are features.
      features: arrays of a modality, images clipped to [0, 1] -> [batch, dim], of a
        network that is not trained here; None for the hidden layer of classifiers.
      given: as in `likelihood`, what is generated from. sampler: as in `coherence`.
      num_neighbors, num_fits: of precision and recall, as published; of k-means, whose
        curves are averaged, published: 10.
      classifier_steps, classifier_batch, classifier_peak, classifier_dropout,
        num_classes, batch_size: as in `coherence`, which then shares the classifiers.
      limit: rows of either split at most, random ones; None for all.
      seed: of what is generated, of k-means and the classifiers.

    Returns:
      "fd_clf/m0", or "fd/m0" with `features`: of nothing given; "fd_clf/m0+m1->m2": of
      targets outside the subset, and their means by size, "fd_clf/1_view"; all >= 0,
      0 is best. "precision/...", "recall/...", "prd_precision/...", "prd_recall/..."
      in [0, 1], and "prd/..." up to 0.7204; more is better. "fd_clf/real/m0", ...: of
      training examples in place of generated ones. "novelty": of a sampler.

    Raises:
      ValueError: a model of one input; fewer than num_neighbors + 1 rows of a modality;
        without `features`, no `label`, or one that is not below num_classes.
    """
    if not trained.modalities:
        raise ValueError("frechet: expected a model of named modalities; got none.")
    settings = dict(num_classes=num_classes, num_steps=classifier_steps, seed=seed)
    settings |= dict(batch_size=classifier_batch, peak=classifier_peak)
    settings["dropout"] = classifier_dropout
    extract = _extractor(trained, dataset, features, settings)
    keys, sizes = jax.random.split(jax.random.key(seed), 3), dict(batch_size=batch_size)
    fitted = sampler and samplers.fit(trained, dataset, sampler, keys[0], **sizes)
    real, sets = collected(
        trained, dataset, extract, given, fitted, keys[1], limit=limit, **sizes
    )
    options = dict(num_neighbors=num_neighbors, num_fits=num_fits, key=keys[2])
    scores = {name: compare(real[m], x, **options) for name, (m, x) in sets.items()}
    found = summary(trained.modalities, scores, own_network=features is None)
    return samplers.with_novelty(found, fitted)


def collected(trained, dataset, extract, given, fitted, key, *, batch_size, limit):
    """Features of real examples by modality; {name: (target, features)} to compare."""
    options, keys = dict(batch_size=batch_size), jax.random.split(key)
    real, means = real_features(
        trained, dataset, "test", extract, limit=limit, **options
    )
    asked = given_subsets(trained.modalities, given)
    made = made_features(
        trained, dataset, asked, extract, keys[0], limit=limit, **options
    )
    num = max(len(x) for x in real.values())
    free = {name: [] for name in trained.modalities}
    options_free = dict(num=num, fitted=fitted, **options)
    for images in samplers.generated(trained, dataset, keys[1], **options_free):
        for name, parts in free.items():
            parts.append(extract(name, images[name]))
    train = real_features(trained, dataset, "train", extract, limit=num, **options)[0]
    sets = {name: (name, np.concatenate(parts)) for name, parts in free.items()}
    sets |= {pair: (pair.split("->")[1], x) for pair, x in made.items()}
    sets |= {f"real/{name}": (name, x) for name, x in train.items()}
    for name, mean in means.items():
        feature = extract(name, jnp.asarray(mean, jnp.float32)[None])
        sets[f"chance/{name}"] = name, np.repeat(feature, num, axis=0)
    return real, sets


def summary(names, scores, own_network) -> Evaluation:
    """scores: {"m0", "m0->m1", "real/m0" or "chance/m0": Frechet distance, COLUMNS}."""
    kind, about = "fd", "a given network"
    if own_network:
        kind, about = "fd_clf", "the hidden layer of a classifier of this dataset"
    numbers, chance = {}, {}
    for c, column in enumerate((kind, *COLUMNS)):
        values = {name: found[c] for name, found in scores.items()}
        level = {name: values.pop(f"chance/{name}") for name in names}
        levels = {name: level[name.split("->")[-1].split("/")[-1]] for name in values}
        for kept, of in ((numbers, values), (chance, levels)):
            pairs = mean_by_views({n: x for n, x in of.items() if "->" in n})
            kept |= {f"{column}/{name}": x for name, x in (of | pairs).items()}
    tables = []
    for target in names:
        rows = [
            (_label(name), *found)
            for name, found in scores.items()
            if name.endswith((f"->{target}", f"/{target}")) or name == target
        ]
        title, note = f"Generated {target}", ABOUT.format(target, about, kind)
        tables.append(Table(title, note, ("given", kind, *COLUMNS), rows))
    headline = (f"{kind}/{names[0]}", f"{kind}/1_view")
    return Evaluation(numbers, {}, tuple(tables), chance, headline)


def _label(name: str) -> str:
    """ "m0" -> "nothing", "m0->m1" -> "m0", "real/m0" -> "real"."""
    given = name.replace("/", "->").rpartition("->")[0]
    return given or "nothing"
