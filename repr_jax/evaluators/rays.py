"""Does a score of a classifier's logits notice inputs far away along their own rays?"""

from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from repr_jax import metrics
from repr_jax.evaluators.common import Evaluation, Table, batches, needs
from repr_jax.ops import checks

auroc = jax.jit(metrics.auroc)


@needs("logits")
def evaluate(
    trained,
    dataset,
    *,
    scores: Mapping[str, Callable],
    entry: str = "image",
    scales: Sequence[float] = (10.0, 100.0),
    max_test: int | None = 2_000,
    batch_size: int = 256,
) -> Evaluation:
    """Scores of test inputs times some scales, beside those of the inputs themselves.

    A network of rectified linear units becomes sure of one class far away
    (`metrics.ray_slopes`), so that scores which ask how sure it is fail there.

    Args:
      trained: Trained, whose `logits` are [batch, num_classes].
      dataset: Dataset; its test split is scaled.
      scores: by name, [batch, num_classes] logits -> [batch], higher for what is more
        anomalous, such as `ops.uncertainty.energy`.
      entry: of a batch, the array that is scaled.
      scales: above 1.
      max_test: rows, drawn at random; None for all.
      batch_size: rows at a time.

    Returns:
      "SCORE/auroc_at_100", 1 where all scaled inputs have a higher score than any test
      input, chance 1/2, and 0 where they all seem more familiar; "SCORE/mean_at_100".

    Source: Ulmer and Cina, "Know Your Limits: Uncertainty Estimation with ReLU
      Classifiers Fails at Reliable OOD Detection", 2021,
      https://arxiv.org/abs/2012.05329.
    """
    checks.positive("rays", **{f"scale_{i}": s for i, s in enumerate(scales)})
    logits = {scale: [] for scale in (1.0, *scales)}
    for batch in batches(dataset, "test", batch_size, limit=max_test):
        where = np.asarray(batch["where"])
        for scale, rows in logits.items():
            moved = {**batch, entry: scale * np.asarray(batch[entry], np.float32)}
            rows.append(np.asarray(trained.outputs["logits"](moved))[where])
    logits = {scale: np.concatenate(rows) for scale, rows in logits.items()}
    numbers, chance, rows = {}, {}, []
    for name, score in scores.items():
        values = {s: np.asarray(jax.jit(score)(x)) for s, x in logits.items()}
        near = values[1.0]
        for scale in scales:
            both = np.concatenate([near, values[scale]])
            far = np.arange(len(both)) >= len(near)
            found = float(auroc(both, far))
            numbers[f"{name}/auroc_at_{scale:g}"] = found
            chance[f"{name}/auroc_at_{scale:g}"] = 0.5
            numbers[f"{name}/mean_at_{scale:g}"] = float(np.mean(values[scale]))
            rows.append(
                (
                    f"{name}, {scale:g} times",
                    found,
                    float(np.mean(near)),
                    float(np.mean(values[scale])),
                )
            )
    note = (
        "AUROC: how often a scaled input has a higher score than a test input, chance "
        "0.5; below it what is far away seems more familiar."
    )
    header = ("score", "AUROC", "mean near", "mean far")
    table = Table("Far away along rays", note, header, rows)
    return Evaluation(numbers, {}, (table,), chance, tuple(chance)[:1])
