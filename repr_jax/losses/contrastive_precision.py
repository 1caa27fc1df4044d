"""Average precision of each row as a query among the others, made differentiable.

Arguments and errors are those of `contrastive_labels`. Each returns a value in [0, 1],
0 if every row ranks its own class first; rows whose class has no other row do not
count.
"""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import gather_rows, masked_mean
from repr_jax.ops.mining import labeled
from repr_jax.ops.similarity import cosine, negative_squared_distance


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
    others = pairs.same_label(rows, columns)
    own = columns.where[None] & (rows.label[:, None] == columns.label[None])
    ahead = jax.nn.sigmoid((s[:, None] - s[:, :, None]) / temperature)  # [i, p, j]
    ahead = jnp.where(pairs.others(columns, columns)[None], ahead, 0)
    among = jnp.sum(jnp.where(own[:, None], ahead, 0), axis=2)
    shares = (1 + among) / (1 + jnp.sum(ahead, axis=2))
    total = jnp.sum(jnp.where(own, shares, 0), axis=1)
    terms = 1 - total / jnp.maximum(jnp.sum(own, axis=1), 1)
    counted = rows.where & jnp.any(others, axis=1)
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
    bins = jnp.linspace(0, 4, num_bins + 1, dtype=squares.dtype)
    away = jnp.abs(squares[..., None] - bins[None, None]) * num_bins / 4
    weights = jax.nn.relu(1 - away)  # [rows, all rows, bins]
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
