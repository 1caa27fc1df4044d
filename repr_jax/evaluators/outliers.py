"""Does a score of a classifier's logits tell outliers from the test split?"""

from collections.abc import Callable, Mapping

import jax
import numpy as np

from repr_jax import metrics
from repr_jax.evaluators.common import Evaluation, Table, collect_targets, needs

COLUMNS = ("AUROC", "AP", "FPR at 95 %")  # of the figures of `detection`
NOTE = (
    "AUROC: how often an outlier has a higher score than a test row, chance 0.5. AP: "
    "average precision, chance the share of outliers. FPR: test rows taken for "
    "outliers where 95 % of the outliers are found."
)


@needs("logits")
def evaluate(
    trained,
    dataset,
    *,
    scores: Mapping[str, Callable],
    outliers: Mapping[str, Callable],
    batch_size: int = 256,
) -> Evaluation:
    """Detection of each set of outliers by each score.

    Args:
      trained: Trained, whose `logits` are [batch, num_classes].
      dataset: Dataset; its test split are the inliers.
      scores: by name, [batch, num_classes] logits -> [batch], higher for what is more
        anomalous, such as `ops.uncertainty.energy`.
      outliers: by name, () -> Dataset of the same entries, of which the test split
        counts, such as partial(mnist.digits, classes=(8, 9)).
      batch_size: rows at a time.

    Returns:
      "OUTLIERS/SCORE/auroc", 1 is best; "OUTLIERS/SCORE/average_precision", 1 is best;
      and "OUTLIERS/SCORE/fpr_at_95", the share of inliers taken for outliers where 95 %
      of the outliers are found, 0 is best.
    """
    inside = _logits(trained, dataset, batch_size)
    numbers, chance, rows = {}, {}, []
    for name, make in outliers.items():
        logits = np.concatenate([inside, _logits(trained, make(), batch_size)])
        outlier = np.arange(len(logits)) >= len(inside)
        for kind, score in scores.items():
            values = np.asarray(jax.jit(score)(logits))
            found = detection(values, outlier)
            numbers |= {f"{name}/{kind}/{key}": x for key, x in found.items()}
            known = (0.5, float(outlier.mean()), 0.95)
            chance |= {f"{name}/{kind}/{key}": x for key, x in zip(found, known)}
            rows.append((name, kind, *found.values()))
    table = Table("Outliers", NOTE, ("outliers", "score", *COLUMNS), rows)
    return Evaluation(
        numbers, tables=[table], chance=chance, headline=list(numbers)[:1]
    )


def detection(scores, outlier) -> dict[str, float]:
    """The figures of one score, [rows], by their keys; outlier: [rows] bool."""
    return {name: float(x) for name, x in _detection(scores, outlier).items()}


@jax.jit
def _detection(scores, outlier):
    return {
        "auroc": metrics.auroc(scores, outlier),
        "average_precision": metrics.average_precision(scores, outlier),
        "fpr_at_95": metrics.fpr_at_tpr(scores, outlier, tpr=0.95),
    }


def _logits(trained, dataset, batch_size) -> np.ndarray:
    """[rows, num_classes] of the test split."""
    return collect_targets(trained, dataset, "test", batch_size, (), output="logits")[0]
