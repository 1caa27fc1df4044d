"""Contrastive losses that are told which rows belong together.

Common to all: x is [rows, dim] float, every view of every example a row of its own, and
labels [rows] int, equal for rows that belong together. Other arguments and errors are
those of `contrastive`; TypeError also for labels that are not integers.
"""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.contrastive import check_options, negative_logits, views
from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import masked_mean
from repr_jax.ops.pairs import Rows
from repr_jax.ops.similarity import cosine


def sup_con(
    x: Array,
    labels: Array,
    *,
    temperature: float | Array = 0.1,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of finding the rows of one's class, averaged outside of the log.

    mean_i [ log sum_{j != i} exp(s_ij / temperature) - mean_p s_ip / temperature ], s
    the cosine and p the other rows with the label of i. A row without such p does not
    count. With two views and a label per example it is `nt_xent`.

    Source: Khosla et al., "Supervised Contrastive Learning", 2020, eq. 2,
      https://arxiv.org/abs/2004.11362; their code also multiplies by temperature.
    """
    check_options("sup_con", temperature, chunk_size, axis_name, ring)
    rows = labelled("sup_con", x, labels, where, axis_name)

    def positive(rows, columns):
        same = rows.label[:, None] == columns.label[None]
        return same & pairs.others(rows, columns)

    def logits(rows, columns, temperature):
        values = cosine.of_pairs(rows.x, columns.x) / temperature
        return jnp.where(positive(rows, columns), values, 0)

    def ones(rows, columns, _):
        return positive(rows, columns).astype(rows.x.dtype)

    log_z, total, count = (
        reduce(
            score,
            rows,
            rows,
            temperature,
            chunk_size=chunk_size,
            axis_name=axis_name,
            ring=ring,
        )
        for reduce, score in (
            (pairs.log_sum_exp, negative_logits(cosine)),  # over all j != i
            (pairs.total, logits),
            (pairs.total, ones),
        )
    )
    terms = log_z - total / jnp.maximum(lax.stop_gradient(count), 1)
    return masked_mean(terms, where=rows.where & (count > 0), axis_name=axis_name)


def labelled(who, x, labels, where, axis_name) -> Rows:
    """The arguments, checked, as rows that each are an example of their own."""
    x, where = views(who, where, x=x)
    checks.shape(who, where.shape, labels=labels)
    if not jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        raise TypeError(
            f"{who}: expected labels of integers; got {jnp.result_type(labels)}."
        )
    return Rows(x, where, pairs.row_index(where, axis_name), jnp.asarray(labels))
