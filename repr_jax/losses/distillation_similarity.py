"""Losses of the similarities of another network's features, which get no gradient."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, quantiles
from repr_jax.ops.batch import (
    checked_rows,
    gather_rows,
    masked_mean,
    num_present,
)
from repr_jax.ops.pairs import row_index
from repr_jax.ops.similarity import cosine


def similarity_calibration(
    features_a: Array,
    features_b: Array,
    codes_a: Array,
    codes_b: Array,
    *,
    shape: float = 5.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Similarities of hash codes keep the order of those of features, spread by a law.

    mean_i |cos(codes_ai, codes_bi) - t_i|, t_i = max(0, 2 Q((2 r_i - 1) / 2n) - 1) of
    n pairs: r_i the rank of cos(features_ai, features_bi) from 1, ascending, and Q the
    quantiles of Beta(shape, shape).

    The other term of the method is `code_quantization`, of weight 1. It assumes random
    pairs: those of a shuffled batch's halves, in the paper.

    Args:
      features_a, features_b: [batch, dim] float, any scale, without gradient.
      codes_a, codes_b: [batch, bits] float, what the signs of are the codes.
      shape: > 0; the larger, the more pairs are about orthogonal. The paper writes
        alpha = beta.
      where: [batch] bool, False for absent pairs; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in [0, 2].

    Raises:
      ValueError: shapes that do not fit. TypeError: integers.

    Source: Ng et al., "Unsupervised Hashing with Similarity Distribution Calibration",
      2023, https://arxiv.org/abs/2302.07669, as in the authors' code, whose configs
      take 5.
    """
    who = "similarity_calibration"
    checks.positive(who, shape=shape)
    *features, where = checked_rows(
        who, where, features_a=features_a, features_b=features_b
    )
    checks.rows(who, len(where), codes_a=codes_a)
    *codes, _ = checked_rows(who, where, codes_a=codes_a, codes_b=codes_b)
    alike, found = (
        cosine.of_rows(*(cosine.prepare(x) for x in pair)) for pair in (features, codes)
    )
    alike, count = lax.stop_gradient(alike), num_present(where, axis_name)
    ranks, total = _ranks(alike, where, axis_name)
    shares = (2 * jnp.arange(total) + 1) / jnp.maximum(2 * count, 1)  # of all ranks
    values = quantiles.beta(jnp.minimum(shares, 1), shape)
    targets = jax.nn.relu(2 * values.astype(alike.dtype) - 1)[ranks]
    targets = jnp.where(jnp.isnan(alike), alike, targets)
    return masked_mean(jnp.abs(found - targets), where=where, axis_name=axis_name)


def code_quantization(
    codes: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """How far codes are from their signs: mean_i [1 - cos(codes_i, sign(codes_i))].

    Args:
      codes: [batch, bits] float; the sign of 0 is 1.
      where, axis_name: as of `similarity_calibration`.

    Returns:
      float32 scalar in [0, 1]; 0 if all entries of a row have one size.

    Source: Ng et al. 2023 (as `similarity_calibration`).
    """
    codes, where = checked_rows("code_quantization", where, codes=codes)
    signs = jnp.where(codes < 0, -1.0, 1.0).astype(codes.dtype)
    near = cosine.of_rows(cosine.prepare(codes), cosine.prepare(signs))
    return masked_mean(1 - near, where=where, axis_name=axis_name)


def _ranks(values, where, axis_name):
    """[batch] from 0, ascending, among present values of the whole batch; its size."""
    index = row_index(where, axis_name)
    others, there, places = gather_rows((values, where, index), axis_name)
    less = others[None] < values[:, None]
    tied = (others[None] == values[:, None]) & (places[None] < index[:, None])
    return jnp.sum((less | tied) & there[None], axis=1), len(others)
