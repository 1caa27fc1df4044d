"""Held-out evidence bound, of all modalities together and of each one alone."""

import jax
import numpy as np

from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    batches,
    needs,
    rows_with,
    with_present,
)

ABOUT = (
    "A lower bound of the log-likelihood of a test example, at beta = 1; higher is "
    "better. joint: of all modalities together; the others: of one alone."
)


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
      trained: Trained, with a `bound` that is the mean over the rows of a batch.
      dataset: Dataset.
      batch_size: rows at a time.
      limit: number of random test rows to use; None for all.
      seed: of the samples of z.

    Returns:
      "joint": bound of log p(x), over the rows that have all modalities; higher is
        better.
      "m0", ...: bound of log p(x_m0), only that modality given, over the rows that have
        it. Absent if there are fewer than two modalities.
      What no row has is left out. No picture, and chance has no level.

    Raises:
      ValueError: nothing that is asked for is in any row.
    """
    names = trained.modalities
    asked = {"joint": np.ones(len(names), bool) if names else None}
    if len(names) > 1:
        asked |= dict(zip(names, np.eye(len(names), dtype=bool)))
    key = jax.random.key(seed)
    totals, counts = dict.fromkeys(asked, 0.0), dict.fromkeys(asked, 0)
    for n, batch in enumerate(batches(dataset, "test", batch_size, limit=limit)):
        for s, (name, subset) in enumerate(asked.items()):
            where = rows_with(batch, subset)
            if not np.any(where):
                continue
            own_key = jax.random.fold_in(jax.random.fold_in(key, s), n)
            given = with_present(batch, subset) if names else batch
            given = {**given, "where": where}
            rows = int(np.sum(where))
            counts[name] += rows
            totals[name] += rows * float(trained.outputs["bound"](given, own_key))
    found = {name: totals[name] / rows for name, rows in counts.items() if rows}
    if not found:
        raise ValueError(
            "bound: expected test rows with a modality at least; got none."
        )
    table = Table("Evidence bound", ABOUT, ("given", "nats"), list(found.items()))
    return Evaluation(found, tables=(table,), headline=("joint",))
