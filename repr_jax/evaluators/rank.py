"""Has a representation collapsed? How many of its dimensions the rows use."""

from repr_jax import metrics
from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    collect_targets,
    moments,
    needs,
)

ABOUT = (
    "How many dimensions the representations of {} test rows use, of {}: the exponent "
    "of the entropy of their singular values. A point, or a line through 0, uses 1; "
    "centered: after their mean is subtracted."
)


@needs("represent")
def evaluate(
    trained, dataset, *, limit: int | None = 10_000, batch_size: int = 256
) -> Evaluation:
    """Effective rank of the representations of the test split; labels are not needed.

    With `config.eval_every` it is drawn over training.

    Args:
      trained: Trained.
      dataset: Dataset.
      limit: rows to look at, drawn at random; None for all.
      batch_size: rows encoded at a time.

    Returns:
      "effective_rank" and "rankme" of `metrics`, and "centered", the effective rank of
      rows less their mean; at most the number of dimensions.
    """
    x, _ = collect_targets(trained, dataset, "test", batch_size, (), limit=limit)
    numbers = {
        "effective_rank": float(metrics.effective_rank(x)),
        "rankme": float(metrics.rankme(x)),
        "centered": float(metrics.effective_rank(x - moments(x)[0])),
    }
    rows = [(name.replace("_", " "), value) for name, value in numbers.items()]
    note = ABOUT.format(*x.shape)
    table = Table("Dimensions in use", note, ("", "dimensions"), rows)
    return Evaluation(numbers, {}, (table,), headline=("effective_rank",))
