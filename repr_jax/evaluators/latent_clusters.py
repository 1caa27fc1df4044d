"""Do k-means clusters of representations agree with classes? For every subset."""

import jax
import numpy as np

from repr_jax import metrics
from repr_jax.estimators import kmeans
from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    collect_subsets,
    mean_by_views,
    needs,
    views,
)
from repr_jax.ops import checks

KINDS = ("majority", "matched", "nmi", "ari")
ABOUT = (
    "k-means of representations, clusters: {}, against the classes of test rows; means "
    "of {} fits to training rows. majority: accuracy where a cluster stands for the "
    "most frequent class of its training rows; matched: where clusters and classes are "
    "matched one to one; nmi and ari: agreement of the two partitions. 1 is best. "
    "chance: majority of shuffled labels."
)


def scores(fit, test, *, num_clusters, num_fits, seed) -> tuple[dict, dict]:
    """({kind: value}, {kind: level of chance}); fit, test: (x, labels)."""
    classes, labels = np.unique(np.concatenate([fit[1], test[1]]), return_inverse=True)
    num_clusters = num_clusters or len(classes)
    shape = dict(num_clusters=num_clusters, num_classes=len(classes))
    labels, rng = np.split(labels, [len(fit[1])]), np.random.default_rng(seed)
    found, level = [], []
    for n in range(num_fits):
        key = jax.random.fold_in(jax.random.key(seed), n)
        clusters = kmeans.fit(key, fit[0], num_clusters=num_clusters)
        members = [np.asarray(kmeans.assign(clusters, x)) for x, _ in (fit, test)]
        shuffled = [rng.permutation(y) for y in labels]
        for kept, of in ((found, labels), (level, shuffled)):
            fitted, judged = (
                metrics.contingency(m, y, **shape) for m, y in zip(members, of)
            )
            values = (
                metrics.majority_accuracy(fitted, judged),
                metrics.hungarian_accuracy(judged),
                metrics.nmi(judged),
                metrics.adjusted_rand_index(judged),
            )
            kept.append(values)
    means = (map(float, np.mean(values, axis=0)) for values in (found, level))
    return tuple(dict(zip(KINDS, values)) for values in means)


@needs("represent")
def evaluate(
    trained,
    dataset,
    *,
    num_clusters: int | None = None,
    num_fits: int = 5,
    max_train: int = 10_000,
    batch_size: int = 256,
    seed: int = 0,
) -> Evaluation:
    """Agreement of k-means clusters of the representations with the classes.

    Args:
      trained: Trained.
      dataset: Dataset with a `label`.
      num_clusters: >= 1; None for as many as there are classes.
      num_fits: >= 1, of k-means from other seeds, whose scores are averaged.
      max_train: random rows of the training split that are clustered, at most.
      batch_size: rows encoded at a time.
      seed: of k-means, and of the shuffles behind the levels of chance.

    Returns:
      "majority/m0+m1", "matched/m0+m1", in [0, 1], "nmi/m0+m1" in [0, 1] and
      "ari/m0+m1" at most 1, for every subset, of the rows that have all of it; means
      over subsets of a size "majority/1_view", .... Of a model with one input
      "majority", "matched", "nmi" and "ari". 1 is best.

    Raises:
      ValueError: no row has any modality.
    """
    checks.count("latent_clusters", num_fits=num_fits)
    found, level = {}, {}
    options = dict(num_clusters=num_clusters, num_fits=num_fits, seed=seed)
    for name, *splits in collect_subsets(trained, dataset, batch_size, max_train):
        found[name], level[name] = scores(*splits, **options)
    if not found:
        raise ValueError("latent_clusters: expected rows of both splits; got none.")
    numbers, chance = (
        {kind: {name: value[kind] for name, value in values.items()} for kind in KINDS}
        for values in (found, level)
    )
    if trained.modalities:
        for values in (numbers, chance):
            for kind in KINDS:
                values[kind] |= mean_by_views(values[kind])
    columns = {**numbers, "chance": chance["majority"]}
    rows = [
        (name.replace("_", " ") or "all", *(c[name] for c in columns.values()))
        for name in numbers["majority"]
    ]
    about = ABOUT.format(num_clusters or "as many as classes", num_fits)
    table = Table("Clusters of latents", about, ("given", *columns), rows)
    numbers, chance = (
        {f"{kind}/{n}".rstrip("/"): x for kind, of in v.items() for n, x in of.items()}
        for v in (numbers, chance)
    )
    last = views(len(trained.modalities)) if trained.modalities else ""
    headline = [f"{kind}/{last}".rstrip("/") for kind in ("majority", "nmi")]
    return Evaluation(numbers, {}, (table,), chance, headline)
