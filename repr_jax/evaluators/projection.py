"""A picture of the representations: their two directions of largest variance."""

import numpy as np

from repr_jax import figures
from repr_jax.evaluators.common import (
    Evaluation,
    Picture,
    batches,
    collect_targets,
    needs,
)

CAPTION = (
    "Representations of test examples, of all that is known of each, on the two "
    "directions of largest variance. "
)
BY_CLASS = (
    "A color a class, its name at the median. Classes that overlap here may still be "
    "apart in the other dimensions, which a linear probe sees and the picture does not."
)
NO_CLASS = "Look for groups, and for points far from all others."


@needs("represent")
def evaluate(
    trained, dataset, *, max_points: int = 2_000, batch_size: int = 256
) -> Evaluation:
    """Draws test examples on the two principal axes of their representations.

    Args:
      trained: Trained, with a `represent` that gives [batch, dim].
      dataset: Dataset; whole numbers `label` [batch], if it has them, are the colors.
      max_points: random rows of the test split to draw.
      batch_size: rows encoded at a time.

    Returns:
      The picture "plane", and no number.

    Raises:
      ValueError: there is no row that has any modality.
    """
    first = next(batches(dataset, "test", batch_size))
    known = "label" in first or "label" in trained.prepare(first)
    targets = ("label",) if known else ()
    x, entries = collect_targets(
        trained, dataset, "test", batch_size, targets, limit=max_points
    )
    if not len(x):
        raise ValueError("projection: expected test rows with a modality; got none.")
    labels = entries.get("label")
    if labels is not None and (
        labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer)
    ):
        labels = None
    caption = CAPTION + (NO_CLASS if labels is None else BY_CLASS)
    png = figures.scatter(x.reshape(len(x), -1), labels)
    return Evaluation({}, {"plane": Picture("The latent space", caption, png)})
