"""Histograms whose bins are the ends of intervals of one width, linear between them."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import checked_rows, gather_rows, masked_mean, num_present
from repr_jax.ops.numerics import to_float
from repr_jax.ops.similarity import cosine, negative_distance

WIDEST = 2.0  # the greatest distance of rows of unit length


def shares(values: Array, low: float, high: float, num_intervals: int) -> Array:
    """[..., num_intervals + 1] shares of values in the two ends next to them."""
    ends = jnp.linspace(low, high, num_intervals + 1, dtype=values.dtype)
    ends = ends.reshape((1,) * values.ndim + ends.shape)
    away = jnp.abs(values[..., None] - ends) * num_intervals / (high - low)
    return jax.nn.relu(1 - away)


def hardest_gaps(
    who: str, view_a: Array, view_b: Array, where: Array | None, axis_name: str | None
) -> tuple[Array, Array]:
    """[batch] |a_i - b_i| less the least distance of either to another's other view.

    In [-2, 2], of rows of unit length; bool, is another row present?
    """
    view_a, view_b, where = checked_rows(who, where, view_a=view_a, view_b=view_b)
    a, b = cosine.prepare(view_a), cosine.prepare(view_b)
    rows = pairs.Rows((a, b), where, pairs.row_index(where, axis_name))
    columns = gather_rows(rows, axis_name)
    others = pairs.others(rows, columns)

    def nearest(x, y):
        s = lax.stop_gradient(negative_distance.of_pairs(x, y))
        place = jnp.argmax(jnp.where(others, s, -jnp.inf), axis=1)
        return negative_distance.of_rows(x, y[place])  # of near rows more exact

    every_a, every_b = columns.x
    far = jnp.maximum(nearest(a, every_b), nearest(b, every_a))
    counted = where & jnp.any(others, axis=1)
    near = negative_distance.of_rows(a, b)
    return jnp.where(counted, far - near, 0), counted


def moving_gaps(
    histogram: Array,
    view_a: Array,
    view_b: Array,
    *,
    decay: float | Array = 0.99,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[ends] decay * histogram + (1 - decay) that of the `hardest_gaps` of the batch.

    Without gradient. A histogram of zeros becomes that of the batch; without two rows
    nothing moves.

    Args:
      histogram: [ends] float, shares at ends from -2 to 2, zeros or of sum 1.
      view_a, view_b: [batch, dim]. decay: in [0, 1].

    Source: Zhang and Rusinkiewicz 2019, named at `losses.dynamic_soft_margin`.
    """
    gaps, counted = hardest_gaps("moving_gaps", view_a, view_b, where, axis_name)
    return moved("moving_gaps", histogram, gaps, counted, decay, axis_name)


def moved(
    who: str,
    histogram: Array,
    gaps: Array,
    counted: Array,
    decay: float | Array,
    axis_name: str | None,
) -> Array:
    """`moving_gaps` of gaps that are known."""
    checks.fraction(who, decay=decay)
    checks.same_shape(who, rank=1, histogram=histogram)
    checks.floating(who, histogram=histogram)
    checks.count(who, minimum=2, ends=len(histogram))
    histogram, gaps = lax.stop_gradient((to_float(histogram), gaps))
    gaps = jnp.clip(gaps, -WIDEST, WIDEST)
    new = shares(gaps, -WIDEST, WIDEST, len(histogram) - 1)
    new = masked_mean(new, where=counted, axis_name=axis_name)
    kept = jnp.where(jnp.sum(histogram) == 0, 0, decay)
    some = num_present(counted, axis_name) > 0
    return jnp.where(some, kept * histogram + (1 - kept) * new, histogram)


def share_below(histogram: Array, gaps: Array) -> Array:
    """[batch] the sum of the histogram up to the end below each gap in [-2, 2]."""
    last = len(histogram) - 1
    place = jnp.floor((gaps + WIDEST) * last / (2 * WIDEST)).astype(int)
    return jnp.cumsum(histogram)[jnp.clip(place, 0, last)]
