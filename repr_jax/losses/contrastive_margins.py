"""Ranking of matching pairs above others, by a margin of their own that each pair has.

view_a and view_b are [batch, dim] float, of any scale: similarities are cosines, and
distances those of rows of unit length. Other arguments and errors are those of
`contrastive`.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, pairs
from repr_jax.ops import histogram as histograms
from repr_jax.ops.batch import checked_rows, gather_rows, masked_mean, num_present
from repr_jax.ops.pairs import Rows
from repr_jax.ops.similarity import cosine


def soft_margin_ranking(
    view_a: Array,
    view_b: Array,
    clean: Array,
    *,
    margin: float | Array = 0.2,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Hinge of the hardest negative of each pair, its margin by how clean the pair is.

    mean_i [ max_{j != i} max(0, m_i + s_ij - s_ii) + max_{j != i} max(0, m_i + s_ji -
    s_ii) ], m_i = margin (10^clean_i - 1) / 9, s_ij = cos(view_a_i, view_b_j).

    Compares all pairs at once: a maximum over columns is none of the reductions that
    `ops.pairs` takes block by block.

    Args:
      clean: [batch] float in [0, 1], how probably a pair is a true one; 1 everywhere
        is the usual hinge, and at 0 the margin is 0. Without gradient.
      margin: >= 0, of a clean pair.

    Returns:
      float32 scalar >= 0; twice the mean margin if all rows are equal.

    Source: Duan et al., "PC2: Pseudo-Classification Based Pseudo-Captioning for Noisy
      Correspondence Learning in Cross-Modal Retrieval", 2024,
      https://arxiv.org/abs/2408.01349; hardest negatives are those of Faghri et al.,
      "VSE++", 2018, https://arxiv.org/abs/1707.05612. The authors' code sums over i,
      and in one direction takes the margin of pair j, which we take for a slip.
    """
    who = "soft_margin_ranking"
    directions = _directions(who, view_a, view_b, clean, margin, where, axis_name)

    def hardest(rows, columns):
        found = _violations(rows, gather_rows(columns, axis_name), ())
        return jnp.max(found, axis=1, initial=0)

    terms = sum(hardest(*both) for both in directions)
    return masked_mean(terms, where=directions[0][0].where, axis_name=axis_name)


def soft_margin_ranking_average(
    view_a: Array,
    view_b: Array,
    clean: Array,
    *,
    margin: float | Array = 0.2,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`soft_margin_ranking` with the mean over columns in place of the maximum.

    mean_i mean_j [ max(0, m_i + s_ij - s_ii) + max(0, m_i + s_ji - s_ii) ], where j = i
    adds 0 but counts. It is for the first epochs, when the hardest negative of a wrong
    pair is a right one.

    Source: as `soft_margin_ranking`.
    """
    who = "soft_margin_ranking_average"
    pairs.check(who, chunk_size, axis_name, ring)
    directions = _directions(who, view_a, view_b, clean, margin, where, axis_name)
    options = dict(chunk_size=chunk_size, axis_name=axis_name, ring=ring)
    total = sum(pairs.total(_violations, *both, **options) for both in directions)
    where = directions[0][0].where
    total /= jnp.maximum(num_present(where, axis_name), 1)
    return masked_mean(total, where=where, axis_name=axis_name)


def dynamic_soft_margin(
    view_a: Array,
    view_b: Array,
    histogram: Array,
    *,
    decay: float | Array = 0.99,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Triplets of the hardest negatives, each weighed by how many so far were easier.

    mean_i C(v_i) v_i, v_i = |a_i - b_i| - min_{j != i} min(|a_i - b_j|, |a_j - b_i|) of
    rows of unit length, C(v) = sum_{e <= v} H_e, H = decay * histogram + (1 - decay)
    that of this batch, without gradient: `ops.histogram.moving_gaps`. No margin is to
    be chosen. Compares all pairs at once.

    Args:
      view_a, view_b: [batch, dim] float, any scale; row i of both shows example i.
      histogram: [ends] float, the H of the step before at ends from -2 to 2, at first
        zeros; equal on all devices. The caller keeps H for the next step. The authors
        take 512 ends.
      decay: in [0, 1], of H; 0 in effect while histogram is zeros.

    Returns:
      float32 scalar in [-2, 2]; below 0 where negatives are farther.

    Raises:
      ValueError: the two differ in shape or are not [batch, dim], or histogram is not
        of rank 1 with two ends or more. TypeError: integers.

    Source: Zhang and Rusinkiewicz, "Learning Local Descriptors with a CDF-Based Dynamic
      Soft Margin", 2019, https://doi.org/10.1109/ICCV.2019.00306, as in the authors'
      code for descriptors of real numbers. That code leaves out negatives nearer than
      0.008, which are copies in its data.
    """
    who = "dynamic_soft_margin"
    gaps, counted = histograms.hardest_gaps(who, view_a, view_b, where, axis_name)
    moved = histograms.moved(who, histogram, gaps, counted, decay, axis_name)
    weights = histograms.share_below(moved, lax.stop_gradient(gaps))
    return masked_mean(weights * gaps, where=counted, axis_name=axis_name)


def _directions(who, view_a, view_b, clean, margin, where, axis_name):
    """Rows and columns of both directions; with each row what s_ij must stay below."""
    checks.non_negative(who, margin=margin)
    view_a, view_b, where = checked_rows(who, where, view_a=view_a, view_b=view_b)
    checks.rows(who, len(where), clean=clean)
    clean, _ = checked_rows(who, where, rank=1, clean=clean)
    view_a, view_b = (cosine.prepare(x) for x in (view_a, view_b))
    clean = jnp.clip(lax.stop_gradient(clean), 0, 1)
    margins = margin * (10**clean - 1) / 9
    bounds = cosine.of_rows(view_a, view_b) - margins
    index = pairs.row_index(where, axis_name)
    a, b = (Rows((x, bounds), where, index) for x in (view_a, view_b))
    return (a, b), (b, a)


def _violations(rows, columns, _):
    """[n, m] how much the similarity of others is above the bound of the row."""
    (x, bounds), (y, _) = rows.x, columns.x
    above = jax.nn.relu(cosine.of_pairs(x, y) - bounds[:, None])
    return jnp.where(pairs.others(rows, columns), above, 0)
