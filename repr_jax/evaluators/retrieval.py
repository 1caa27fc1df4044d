"""Retrieval between modalities: each test example finds itself in another modality."""

import itertools
from collections.abc import Sequence

import jax
import numpy as np

from repr_jax import metrics
from repr_jax.evaluators.common import Evaluation, collect, needs, subsets
from repr_jax.ops import similarity


@needs("represent")
def evaluate(
    trained, dataset, *, ks: Sequence[int] = (1, 5, 10), batch_size: int = 256
) -> Evaluation:
    """Recall at k from every modality to every other, over the whole test split.

    Args:
      trained: Trained, of two modalities or more.
      dataset: Dataset.
      ks: of recall, each >= 1.
      batch_size: rows encoded at a time.

    Returns:
      "a->b/recall_1" in [0, 1], 1 is best; "a->b/median_rank", 1 is
      best; "chance/recall_1", what random encodings would get. Ties count
      against the query, as `metrics.ranks` says.

    Raises:
      ValueError: the model has fewer than two modalities.
    """
    encodings = of_each_modality(trained, dataset, batch_size)
    rows = len(next(iter(encodings.values())))
    find = jax.jit(metrics.ranks)
    found = {f"chance/recall_{k}": min(1.0, k / rows) for k in ks}
    for a, b in itertools.permutations(encodings, 2):
        ranks = np.asarray(find(encodings[a], encodings[b]))
        for k in ks:
            found[f"{a}->{b}/recall_{k}"] = float(np.mean(ranks < k))
        found[f"{a}->{b}/median_rank"] = float(np.median(ranks)) + 1
    return Evaluation(found)


def similarities(queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """[n, dim], [m, dim] -> [n, m] cosines."""
    prepared = (similarity.cosine.prepare(x) for x in (queries, keys))
    return np.asarray(jax.jit(similarity.cosine.of_pairs)(*prepared))


def of_each_modality(trained, dataset, batch_size, limit=None) -> dict[str, np.ndarray]:
    """{modality: [rows, dim] encodings of the test split, given it alone}.

    limit: number of random rows to stop at, the same as `batches` draws.
    """
    if len(trained.modalities) < 2:
        raise ValueError(
            f"retrieval: expected a model of two or more modalities; got "
            f"{trained.modalities}."
        )
    alone = list(subsets(trained.modalities).items())[: len(trained.modalities)]
    return {
        name: collect(trained, dataset, "test", batch_size, subset, limit)[0]
        for name, subset in alone
    }
