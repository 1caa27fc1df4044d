"""Contrastive losses of an updated model against the old one, which has no gradient.

Arguments and errors are those of `contrastive_labels`.
"""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.contrastive import check_options
from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.numerics import class_ids
from repr_jax.ops.pairs import Rows
from repr_jax.ops.similarity import cosine


def hoc(
    new: Array,
    old: Array,
    labels: Array,
    *,
    temperature: float | Array = 0.1,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`hoc_strict` in which rows of the same class count as orthogonal to the old row.

    mean_i [ log sum_j exp([y_i != y_j] s(old_i, new_j) / temperature) - s(old_i, new_i)
    / temperature ], s the cosine: the row itself and its class add exp(0) each.

    Args:
      new, old: [batch, dim], features of the same rows by the updated model and by the
        old one, which gets no gradient.
      labels: [batch] int.
      temperature: > 0. The paper writes 1 / mu, and takes mu = 10.

    Source: Biondi et al., "Stationary Representations: Optimally Approximating
      Compatibility and Implications for Improved Model Replacements", 2024,
      https://arxiv.org/abs/2405.02581, as in the authors' code, which adds 0.9 of it
      to 0.1 of cross-entropy with the fixed classifier `ops.simplex.vertices`.
    """
    options = (temperature, chunk_size, ring, where, axis_name)
    return _higher_order("hoc", new, old, labels, 0.0, *options)


def hoc_strict(
    new: Array,
    old: Array,
    labels: Array,
    *,
    temperature: float | Array = 0.1,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """New features are like the old ones of their row, not of other classes.

    mean_i [ log sum_{j: y_j != y_i} exp(s(old_i, new_j) / temperature) - s(old_i,
    new_i) / temperature ], s the cosine. Rows without such j do not count. May be
    negative.

    Args and Source: as `hoc`, whose code keeps the masked pairs.
    """
    options = (temperature, chunk_size, ring, where, axis_name)
    return _higher_order("hoc_strict", new, old, labels, -jnp.inf, *options)


def _higher_order(
    who, new, old, labels, of_class, temperature, chunk_size, ring, where, axis_name
):
    """of_class: the logit of rows of the same class."""
    check_options(who, temperature, chunk_size, axis_name, ring)
    new, old, where = checked_rows(who, where, new=new, old=old)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    new, old = cosine.prepare(new), lax.stop_gradient(cosine.prepare(old))
    index, label = pairs.row_index(where, axis_name), class_ids(labels)

    def score(rows, columns, temperature):
        logits = cosine.of_pairs(rows.x, columns.x) / temperature
        logits = jnp.where(pairs.other_label(rows, columns), logits, of_class)
        return jnp.where(columns.where[None], logits, -jnp.inf)

    log_z = pairs.log_sum_exp(
        score,
        Rows(old, where, index, label),
        Rows(new, where, index, label),
        temperature,
        chunk_size=chunk_size,
        axis_name=axis_name,
        ring=ring,
    )
    terms = log_z - cosine.of_rows(old, new) / temperature
    counted = where & (log_z != -jnp.inf)
    return masked_mean(terms, where=counted, axis_name=axis_name)
