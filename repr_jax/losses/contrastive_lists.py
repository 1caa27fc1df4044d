"""Losses of each row and the list of all others, in the order of their similarity.

Arguments and errors are those of `contrastive_labels`; all pairs are compared at once.
`smooth_ap` and `fast_ap` are one less the average precision of each row as a query,
made differentiable: in [0, 1], 0 if every row ranks its own class first; rows whose
class has no other row do not count.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks, pairs
from repr_jax.ops import histogram as histograms
from repr_jax.ops.batch import gather_rows, masked_mean
from repr_jax.ops.mining import labeled
from repr_jax.ops.similarity import (
    cosine,
    negative_distance,
    negative_squared_distance,
)


def histogram(
    x: Array,
    labels: Array,
    *,
    num_bins: int = 100,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How probably a pair of two classes is more similar than a pair of one.

    sum_b n_b sum_{a <= b} p_a, p and n the shares of the pairs of one label, and of
    two, in the bins of the cosine. A pair counts in the two bins next to its cosine,
    linearly. In [0, 1]; 0 without a pair of either kind.

    Args:
      num_bins: >= 1, how many intervals of [-1, 1]; bins are their ends.

    Source: Ustinova and Lempitsky, "Learning Deep Embeddings with Histogram Loss",
      2016, https://arxiv.org/abs/1611.00822.
    """
    checks.count("histogram", num_bins=num_bins)
    rows = labeled("histogram", x, labels, where, axis_name, cosine)
    columns = gather_rows(rows, axis_name)
    s = cosine.of_pairs(rows.x, columns.x)
    weights = histograms.shares(s, -1, 1, num_bins)
    positive, negative = (
        masked_mean(
            weights,
            where=rows.where[:, None] & kind(rows, columns),
            axis_name=axis_name,
        )
        for kind in (pairs.same_label, pairs.other_label)
    )
    return jnp.sum(negative * jnp.cumsum(positive))


def pnp(
    x: Array,
    labels: Array,
    *,
    penalty: Callable[[Array], Array] = jnp.log1p,
    temperature: float | Array = 0.01,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """A penalty of how many negatives come before each positive in the list of a row.

    mean_i mean_p penalty(r_ip), r_ip = sum_n sigmoid((s_in - s_ip) / temperature), s
    the cosine; p the rows with the label of i, itself among them, n those with another.
    Rows whose class has no other row do not count. Holds a number for every triple.

    Args:
      penalty: of r >= 0, rising from 0. The paper's names: log(1 + r), D_s; 1 - (1 +
        r)^-a, D_q; r, O; (1 + r) log(1 + r), I_u; (b r - log(1 + b r)) / b^2, I_b. D,
        of falling slope, leaves the clusters of a class apart.

    Source: Li et al., "Rethinking the Optimization of Average Precision: Only
      Penalizing Negative Instances before Positive Ones is Enough", 2022,
      https://arxiv.org/abs/2102.04640, as in the authors' code, where each row is among
      its own positives.
    """
    checks.positive("pnp", temperature=temperature)
    rows = labeled("pnp", x, labels, where, axis_name, cosine)
    columns = gather_rows(rows, axis_name)
    s = cosine.of_pairs(rows.x, columns.x)
    own, counted = _own(rows, columns)
    ahead = _ahead(s, pairs.other_label(rows, columns)[:, None], temperature)
    terms = jnp.where(own, penalty(jnp.sum(ahead, axis=2)), 0)
    terms = jnp.sum(terms, axis=1) / jnp.maximum(jnp.sum(own, axis=1), 1)
    return masked_mean(terms, where=counted, axis_name=axis_name)


def ranked_list(
    x: Array,
    labels: Array,
    *,
    boundary: float | Array = 1.2,
    margin: float | Array = 0.4,
    positive_temperature: float | Array = 0.0,
    negative_temperature: float | Array = 10.0,
    balance: float | Array = 0.5,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """A class lies within a sphere around each of its rows, all others beyond a margin.

    mean_i [ (1 - balance) sum_p w_p v_p + balance sum_n w_n v_n ], v_p = d_ip -
    (boundary - margin), v_n = boundary - d_in, over the rows p with the label of i, and
    n with another, that are above 0; w the softmax of v times the temperature of either
    kind, d the distance of rows of unit length. A row without p or n adds 0 there.

    Args:
      boundary: of negatives. The paper writes alpha.
      margin: >= 0. The paper writes m.
      positive_temperature, negative_temperature: >= 0, larger ones look at the worst
        alone. The paper writes T.
      balance: in [0, 1].

    Source: Wang et al., "Ranked List Loss for Deep Metric Learning", 2019,
      https://arxiv.org/abs/1903.03238. Weights have a gradient, as in
      pytorch-metric-learning.
    """
    who = "ranked_list"
    temperatures = dict(
        positive_temperature=positive_temperature,
        negative_temperature=negative_temperature,
    )
    checks.non_negative(who, margin=margin, **temperatures)
    checks.fraction(who, balance=balance)
    rows = labeled(who, x, labels, where, axis_name, cosine)
    columns = gather_rows(rows, axis_name)
    d = -negative_distance.of_pairs(rows.x, columns.x)
    same, other = pairs.same_label(rows, columns), pairs.other_label(rows, columns)
    near = _weighted(d - (boundary - margin), same, positive_temperature)
    far = _weighted(boundary - d, other, negative_temperature)
    terms = (1 - balance) * near + balance * far
    return masked_mean(terms, where=rows.where, axis_name=axis_name)


def smooth_ap(
    x: Array,
    labels: Array,
    *,
    temperature: float | Array = 0.01,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """One less average precision, whose ranks are sums of sigmoids.

    1 - mean_i mean_p [ (1 + sum_q G_pq) / (1 + sum_j G_pj) ], G_pj = sigmoid((s_ij -
    s_ip) / temperature), s the cosine; p and q != p are the rows with the label of i,
    itself among them, and j != p all rows. Holds a number for every triple.

    Source: Brown et al., "Smooth-AP: Smoothing the Path Towards Large-Scale Image
      Retrieval", 2020, https://arxiv.org/abs/2007.12163, as in the authors' code, where
      each row is among its own positives.
    """
    checks.positive("smooth_ap", temperature=temperature)
    rows = labeled("smooth_ap", x, labels, where, axis_name, cosine)
    columns = gather_rows(rows, axis_name)
    s = cosine.of_pairs(rows.x, columns.x)
    own, counted = _own(rows, columns)
    ahead = _ahead(s, pairs.others(columns, columns)[None], temperature)
    among = jnp.sum(jnp.where(own[:, None], ahead, 0), axis=2)
    shares = (1 + among) / (1 + jnp.sum(ahead, axis=2))
    total = jnp.sum(jnp.where(own, shares, 0), axis=1)
    terms = 1 - total / jnp.maximum(jnp.sum(own, axis=1), 1)
    return masked_mean(terms, where=counted, axis_name=axis_name)


def fast_ap(
    x: Array,
    labels: Array,
    *,
    num_bins: int = 10,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """One less average precision, from histograms of the squared distances.

    1 - mean_i sum_b h_ib H_ib / (N_ib count_i), h_ib how many rows with the label of i
    are in bin b, H_ib those in bins up to b, N_ib rows of any label there, count_i
    those with the label of i; itself is none of them. A row counts in the two bins next
    to its distance in [0, 4], linearly.

    Args:
      num_bins: >= 1, how many intervals; bins are their ends.

    Source: Cakir et al., "Deep Metric Learning to Rank", 2019,
      http://openaccess.thecvf.com/content_CVPR_2019/html/
      Cakir_Deep_Metric_Learning_to_Rank_CVPR_2019_paper.html.
    """
    checks.count("fast_ap", num_bins=num_bins)
    rows = labeled("fast_ap", x, labels, where, axis_name, cosine)
    columns = gather_rows(rows, axis_name)
    squares = -negative_squared_distance.of_pairs(rows.x, columns.x)
    weights = histograms.shares(squares, 0, 4, num_bins)
    same, other = (
        jnp.sum(jnp.where(kind(rows, columns)[..., None], weights, 0), axis=1)
        for kind in (pairs.same_label, pairs.other_label)
    )
    upto, every = (jnp.cumsum(h, axis=1) for h in (same, same + other))
    filled = ~(every == 0)  # NaN stays NaN
    precision = jnp.where(filled, upto / jnp.where(filled, every, 1), 0)
    count = jnp.sum(pairs.same_label(rows, columns), axis=1)
    terms = 1 - jnp.sum(same * precision, axis=1) / jnp.maximum(count, 1)
    return masked_mean(terms, where=rows.where & (count > 0), axis_name=axis_name)


def _own(rows, columns):
    """[n, m] bool, is a column of the row's class, itself too? [n], is one another?"""
    own = columns.where[None] & (rows.label[:, None] == columns.label[None])
    return own, rows.where & jnp.any(pairs.same_label(rows, columns), axis=1)


def _ahead(s, where, temperature):
    """[i, p, j] how much j is before p in the list of i, 0 where not marked."""
    ahead = jax.nn.sigmoid((s[:, None] - s[:, :, None]) / temperature)
    return jnp.where(where, ahead, 0)


def _weighted(gaps, where, temperature):
    """[n] the mean of the marked gaps above 0, by the softmax of them; 0 of none."""
    kept = where & ~(gaps <= 0)  # a NaN counts
    some = jnp.any(kept, axis=1, keepdims=True)
    gaps = jnp.where(kept, gaps, 0)
    logits = jnp.where(kept | ~some, temperature * gaps, -jnp.inf)
    return jnp.sum(jax.nn.softmax(logits, axis=1) * gaps, axis=1)
