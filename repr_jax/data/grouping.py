"""Batches whose rows all belong to different groups, such as clusters."""

import numpy as np

from repr_jax.data.dataset import check_seed
from repr_jax.ops import checks


def distinct_groups(
    labels: np.ndarray, batch_size: int, *, seed: int, step: int
) -> np.ndarray:
    """[batch_size] int64, the rows of training batch `step`: no two share a label.

    Groups are drawn one after another without replacement, each by its share of the
    rows of the groups left, and of each group one of its rows, uniformly. With labels
    of k-means a batch then holds fewer false negatives of a contrastive loss.

    Rows of groups with more than 1 / batch_size of all rows come less often than
    others; many more groups than batch_size soften it. A batch of one is a uniform row.

    Args:
      labels: [rows] int, the group of each row: any whole numbers.
      batch_size: >= 1, at most the number of groups.
      seed, step: whole numbers >= 0; the batch depends on nothing else.

    Raises:
      ValueError: labels are not [rows], fewer groups than batch_size, or a number out
        of range. TypeError: labels or numbers that are not whole.

    Source: Chakraborty, Gosthipaty and Paul, "G-SimCLR: Self-Supervised Contrastive
      Learning with Guided Projection via Pseudo Labelling", 2020,
      https://arxiv.org/abs/2009.12007, whose batches have different pseudo-labels.
      There rows are sorted once by their rank within their cluster and cut into
      batches, of which only the first are free of repeats; drawing is our choice.
    """
    who = "distinct_groups"
    checks.same_shape(who, rank=1, labels=labels)
    checks.integers(who, labels=labels)
    checks.count(who, batch_size=batch_size)
    checks.count(who, minimum=0, step=step)
    check_seed(who, seed)
    _, group, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(counts) < batch_size:
        raise ValueError(
            f"{who}: expected at least batch_size = {batch_size} groups; got "
            f"{len(counts)}."
        )
    rng = np.random.default_rng((seed, step))
    keys = np.log(counts) + rng.gumbel(size=len(counts))
    chosen = np.argsort(-keys)[:batch_size]  # as drawn one after another
    place = rng.integers(counts[chosen])
    by_group = np.argsort(group, kind="stable")
    return by_group[np.cumsum(counts)[chosen] - counts[chosen] + place]
