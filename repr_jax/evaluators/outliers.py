"""Does a score of a classifier's logits tell outliers from the test split?"""

from collections.abc import Callable, Mapping

import jax
import numpy as np

from repr_jax import metrics
from repr_jax.evaluators.common import Evaluation, Table, collect_targets, needs


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
      "OUTLIERS/SCORE/auroc", 1 is best, and "OUTLIERS/SCORE/fpr_at_95", the share of
      inliers taken for outliers where 95 % of the outliers are found, 0 is best.
    """
    inside = _logits(trained, dataset, batch_size)
    numbers, chance, rows = {}, {}, []
    for name, make in outliers.items():
        logits = np.concatenate([inside, _logits(trained, make(), batch_size)])
        outlier = np.arange(len(logits)) >= len(inside)
        for kind, score in scores.items():
            values = np.asarray(jax.jit(score)(logits))
            found = (
                float(metrics.auroc(values, outlier)),
                float(metrics.fpr_at_tpr(values, outlier, tpr=0.95)),
            )
            keys = [f"{name}/{kind}/{key}" for key in ("auroc", "fpr_at_95")]
            numbers |= dict(zip(keys, found))
            chance |= dict(zip(keys, (0.5, 0.95)))
            rows.append((name, kind, *found))
    note = (
        "AUROC: how often an outlier has a higher score than a test row, chance 0.5. "
        "FPR: test rows taken for outliers where 95 % of the outliers are found."
    )
    table = Table("Outliers", note, ("outliers", "score", "AUROC", "FPR at 95 %"), rows)
    return Evaluation(
        numbers, tables=[table], chance=chance, headline=list(numbers)[:2]
    )


def _logits(trained, dataset, batch_size) -> np.ndarray:
    """[rows, num_classes] of the test split."""
    return collect_targets(trained, dataset, "test", batch_size, (), output="logits")[0]
