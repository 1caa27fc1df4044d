"""Held-out evidence bound, of all modalities together and of each one alone."""

import jax
import numpy as np

from repr_jax.evaluators.common import Evaluation, batches, needs, with_present


@needs("bound")
def evaluate(
    trained,
    dataset,
    *,
    batch_size: int = 256,
    limit: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """Mean evidence bound of the test split, in nats an example, at beta = 1.

    A lower bound of the log-likelihood, estimated with the samples that the model's
    bound draws; how loose it is depends on the model, so it compares runs of one kind.

    Args:
      trained: Trained with a `bound`.
      dataset: Dataset.
      batch_size: rows at a time.
      limit: number of random test rows to use; None for all.
      seed: of the samples of z.

    Returns:
      "joint": bound of log p(x), with all modalities given; higher is better.
      "m0", ...: bound of log p(x_m0), only that modality given. Absent if there
        are fewer than two modalities.
    """
    names = trained.modalities
    asked = {"joint": np.ones(len(names), bool)}
    if len(names) > 1:
        asked |= dict(zip(names, np.eye(len(names), dtype=bool)))
    key = jax.random.key(seed)
    totals, count = dict.fromkeys(asked, 0.0), 0
    for n, batch in enumerate(batches(dataset, "test", batch_size, limit=limit)):
        rows = int(np.sum(batch["where"]))
        count += rows
        for s, (name, subset) in enumerate(asked.items()):
            own_key = jax.random.fold_in(jax.random.fold_in(key, s), n)
            given = with_present(batch, subset) if names else batch
            totals[name] += rows * float(trained.outputs["bound"](given, own_key))
    return Evaluation({name: total / count for name, total in totals.items()})
