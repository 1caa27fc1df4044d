"""Triplets: an anchor, a positive of its class, and a negative of another.

Common to all, beside the arguments and errors of `contrastive_labels`:
  similarity: one of `ops.similarity`, `negative_distance` among them.
  margin: >= 0.
  smooth: log(1 + exp(gap)) in place of max(0, gap), which never is 0; with margin = 0
    it is the soft margin of Hermans et al.
  non_zero: the mean is over the triplets above 0 alone, which does not vanish as most
    of them are satisfied.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, mining, pairs
from repr_jax.ops import similarity as similarities
from repr_jax.ops.batch import checked_rows, gather_rows, masked_mean
from repr_jax.ops.mining import labeled
from repr_jax.ops.similarity import Similarity


def triplet(
    anchors: Array,
    positives: Array,
    negatives: Array,
    *,
    similarity: Similarity = similarities.negative_squared_distance,
    margin: float | Array = 0.2,
    swap: bool = False,
    smooth: bool = False,
    non_zero: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How much the positive fails to be more similar than the negative by a margin.

    mean_i max(0, margin + s(anchors_i, negatives_i) - s(anchors_i, positives_i)).

    Args:
      anchors, positives, negatives: [batch, dim]; the paper's have unit length.
      margin: >= 0. The paper writes alpha.
      swap: the positive takes the place of the anchor where it is more similar to the
        negative: max(s(anchors_i, negatives_i), s(positives_i, negatives_i)).

    Source: Schroff, Kalenichenko and Philbin, "FaceNet: A Unified Embedding for Face
      Recognition and Clustering", 2015, section 3.1, https://arxiv.org/abs/1503.03832.
      The swap is of Balntas et al., "Learning Local Feature Descriptors with Triplets
      and Shallow Convolutional Neural Networks", 2016,
      http://www.bmva.org/bmvc/2016/papers/paper119/index.html.
    """
    checks.non_negative("triplet", margin=margin)
    anchors, positives, negatives, where = checked_rows(
        "triplet", where, anchors=anchors, positives=positives, negatives=negatives
    )
    anchors, positives, negatives = (
        similarity.prepare(x) for x in (anchors, positives, negatives)
    )
    near = similarity.of_rows(anchors, positives)
    far = similarity.of_rows(anchors, negatives)
    if swap:
        far = jnp.maximum(far, similarity.of_rows(positives, negatives))
    return _mean(margin + far - near, smooth, non_zero, where, axis_name)


def triplet_hardest(
    x: Array,
    labels: Array,
    *,
    similarity: Similarity = similarities.negative_squared_distance,
    margin: float | Array = 0.2,
    smooth: bool = False,
    non_zero: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Batch-hard `triplet`: the least similar positive, the most similar negative.

    Positives have the label of the row, negatives another one. Both are found in the
    whole batch; a row that lacks either does not count. Compares all pairs at once.

    Source: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person
      Re-Identification", 2017, eq. 5 ("batch hard"), https://arxiv.org/abs/1703.07737.
      There distances are not squared.
    """
    checks.non_negative("triplet_hardest", margin=margin)
    rows = labeled("triplet_hardest", x, labels, where, axis_name, similarity)
    columns = gather_rows(rows, axis_name)
    found = mining.hardest_of(rows, columns, similarity)
    far = similarity.of_rows(rows.x, columns.x[found.negative])
    near = similarity.of_rows(rows.x, columns.x[found.positive])
    return _mean(margin + far - near, smooth, non_zero, found.where, axis_name)


def triplet_semi_hard(
    x: Array,
    labels: Array,
    *,
    similarity: Similarity = similarities.negative_squared_distance,
    margin: float | Array = 0.2,
    smooth: bool = False,
    non_zero: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`triplet` of all pairs of a class, each with the next negative beyond it.

    The negative is the most similar row of another class that is less similar to the
    anchor than the positive is; pairs without one do not count. Found in the whole
    batch, comparing all pairs at once.

    Source: Schroff et al. 2015 (as `triplet`), section 3.2. Negatives beyond the margin
      add 0 but count in the mean.
    """
    checks.non_negative("triplet_semi_hard", margin=margin)
    rows = labeled("triplet_semi_hard", x, labels, where, axis_name, similarity)
    columns = gather_rows(rows, axis_name)
    distances = -similarity.of_pairs(rows.x, columns.x)  # [rows, all rows]
    negative = pairs.other_label(rows, columns)
    beyond = jnp.sort(jnp.where(negative, distances, jnp.inf), axis=1)
    find = jax.vmap(partial(jnp.searchsorted, side="right"))
    place = find(*lax.stop_gradient((beyond, distances)))
    beyond = jnp.pad(beyond, [(0, 0), (0, 1)], constant_values=jnp.inf)
    next_negative = jnp.take_along_axis(beyond, place, axis=1)
    some = next_negative < jnp.inf
    gaps = margin + distances - jnp.where(some, next_negative, 0)
    counted = (pairs.same_label(rows, columns) & some) | jnp.isnan(distances)
    counted &= rows.where[:, None]
    return _mean(gaps, smooth, non_zero, counted, axis_name)


def triplet_all(
    x: Array,
    labels: Array,
    *,
    similarity: Similarity = similarities.negative_squared_distance,
    margin: float | Array = 0.2,
    swap: bool = False,
    smooth: bool = False,
    non_zero: bool = False,
    triplet_where: Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Batch-all `triplet`: each row with all of its positives and all negatives.

    mean_ipn max(0, margin + s_in - s_ip), p the other rows with the label of i, n those
    with another. Holds a number for every triple.

    Args:
      swap: as in `triplet`, max(s_in, s_pn) in place of s_in.
      triplet_where: [rows, all rows, all rows] bool, False for triplets (i, p, n) that
        do not count, such as `ops.mining.margin_triplets`.

    Source: Hermans et al. 2017 (as `triplet_hardest`), eq. 6 ("batch all"), there a
      sum; with non_zero it is their best form of it.
    """
    who = "triplet_all"
    checks.non_negative(who, margin=margin)
    rows = labeled(who, x, labels, where, axis_name, similarity)
    columns = gather_rows(rows, axis_name)
    s = similarity.of_pairs(rows.x, columns.x)
    far = s[:, None]
    if swap:
        far = jnp.maximum(far, similarity.of_pairs(columns.x, columns.x)[None])
    counted = mining.triplets_of(rows, columns)
    if triplet_where is not None:
        checks.shape(who, counted.shape, triplet_where=triplet_where)
        checks.boolean(who, triplet_where=triplet_where)
        counted &= triplet_where
    gaps = margin + far - s[:, :, None]
    return _mean(gaps, smooth, non_zero, counted, axis_name)


def _mean(gaps, smooth, non_zero, counted, axis_name):
    """The mean of the hinges of what counts."""
    terms = jax.nn.softplus(gaps) if smooth else jax.nn.relu(gaps)
    if non_zero:
        counted = counted & ~(terms <= 0)  # a NaN counts
    return masked_mean(terms.ravel(), where=counted.ravel(), axis_name=axis_name)
