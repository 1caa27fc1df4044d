"""Losses of whether two rows match, by their distance."""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.numerics import length


def pair_match(
    view_a: Array,
    view_b: Array,
    matches: Array,
    *,
    bias: float | Array,
    scale: float | Array,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Binary cross-entropy of whether two rows are of one thing, by their distance.

    -mean_i log sigmoid(m_i (bias - scale |a_i - b_i|)), m_i = 1 if they match, else -1.

    Args:
      view_a, view_b: [batch, dim] float, such as two embedded names; symmetric in them.
      matches: [batch] bool, or int of which 0 is no match.
      bias: the log odds at distance 0; scale: >= 0. Floats, or learned scalars.
      where: [batch] bool, False for absent pairs; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats; log 2 if bias and scale are 0.

    Raises:
      ValueError: shapes that do not fit. TypeError: integers; matches of floats.

    Source: record linkage as in Jerzak and Libgober, "Linking Datasets on Organizations
      Using Half A Billion Open Collaborated Records", 2021,
      https://arxiv.org/abs/2302.02533; this form is our choice.
    """
    who = "pair_match"
    view_a, view_b, where = checked_rows(who, where, view_a=view_a, view_b=view_b)
    checks.shape(who, where.shape, matches=matches)
    if jnp.result_type(matches) != jnp.bool_:
        checks.integers(who, matches=matches)
    checks.non_negative(who, scale=scale)
    logits = bias - scale * length(view_a - view_b)
    signs = jnp.where(jnp.asarray(matches) != 0, 1, -1)
    terms = jax.nn.softplus(-signs * logits)
    return masked_mean(terms, where=where, axis_name=axis_name)
