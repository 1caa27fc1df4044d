"""Contrastive losses with proxies of classes, whose negatives are rows of the batch.

Arguments and errors are those of `classification_margins`.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.classification_margins import checked_cosines
from repr_jax.losses.contrastive_metric import above, below
from repr_jax.ops import checks, margins, pairs
from repr_jax.ops.batch import checked_rows, gather_rows, masked_mean
from repr_jax.ops.numerics import class_ids, l2_normalize, one_hot, pairwise_dot
from repr_jax.ops.pairs import Rows


def proxy_anchor(
    x: Array,
    labels: Array,
    proxies: Array,
    *,
    margin: float | Array = 0.1,
    sharpness: float | Array = 32.0,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Every proxy attracts the rows of its class and repels all others, hard ones most.

    mean_{p with rows} log(1 + sum_{i of p} exp(-sharpness (c_ip - margin))) + mean_p
    log(1 + sum_{i not of p} exp(sharpness (c_ip + margin))), c the cosine.

    Args:
      proxies: [num_classes, dim] float, any scale, learned, one a class.
      margin: >= 0. The paper writes delta.
      sharpness: > 0. The paper writes alpha.
      chunk_size, ring: as in `contrastive`; blocks are of proxies and of rows.

    Source: Kim et al., "Proxy Anchor Loss for Deep Metric Learning", 2020, eq. 4,
      https://arxiv.org/abs/2003.13911.
    """
    who = "proxy_anchor"
    checks.non_negative(who, margin=margin)
    checks.positive(who, sharpness=sharpness)
    pairs.check(who, chunk_size, axis_name, ring)
    checked_cosines(who, x, labels, proxies, where)
    x, where = checked_rows(who, where, x=x)
    num_classes = len(proxies)
    own = one_hot(labels, num_classes, dtype=bool)
    label = jnp.where(jnp.any(own, axis=1), jnp.argmax(own, axis=1), -1)
    columns = Rows(l2_normalize(x), where, pairs.row_index(where, axis_name), label)
    every = jnp.ones(num_classes, bool)
    names = jnp.arange(num_classes)
    rows = Rows(l2_normalize(proxies), every, -1 - names, names)  # of no row here
    attract, repel = (
        pairs.log_sum_exp(
            score,
            rows,
            columns,
            (sharpness, base),
            chunk_size=chunk_size,
            axis_name=axis_name,
            ring=ring,
        )
        for score, base in ((below, margin), (above, -margin))
    )
    # Terms of proxies are equal on all devices, and so is their mean.
    attract, repel = (
        masked_mean(jax.nn.softplus(terms), where=counted, axis_name=axis_name)
        for terms, counted in ((attract, attract != -jnp.inf), (repel, every))
    )
    return attract + repel


def unified_negatives(
    x: Array,
    labels: Array,
    prototypes: Array,
    *,
    margin: float | Array = 0.5,
    scale: float | Array = 64.0,
    whisker: float | Array = 1.5,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`cosface` with the batch's pairs of different classes as further negatives.

    mean_i log(1 + sum_{k != y_i} exp(l_ik - p_i) + sum_{a < b} exp(scale c_ab - p_i)),
    l = scale c_ik, p_i = scale (c_iy - margin), c cosines. The pairs (a, b) are those
    of different labels with c_ab in [q - whisker (r - q), r + whisker (r - q)], q and
    r being the quartiles of all of them: the same list for every row, with gradient.
    Without such a pair it is `cosface`. Compares all pairs at once, as they are sorted.

    Args:
      margin: >= 0; scale: > 0.
      whisker: >= 0, how far beyond the quartiles a pair counts. The paper writes r.

    Source: Jung et al., "Unified Negative Pair Generation toward Well-discriminative
      Feature Space for Face Recognition", 2022, https://arxiv.org/abs/2203.11593, with
      CosFace and quartiles as in the authors' code: of n sorted cosines those at the
      places n // 4 and 3 n // 4, from 0. There each device has its own pairs.
    """
    who = "unified_negatives"
    cosines, where = checked_cosines(who, x, labels, prototypes, where)
    checks.non_negative(who, margin=margin, whisker=whisker)
    checks.positive(who, scale=scale)
    x, where = checked_rows(who, where, x=x)
    index = pairs.row_index(where, axis_name)
    rows = Rows(l2_normalize(x), where, index, class_ids(labels))
    between = _log_sum_between(gather_rows(rows, axis_name), scale, whisker)
    logits = margins.cosface(cosines, labels, margin=margin, scale=scale)
    own = one_hot(labels, cosines.shape[1], dtype=logits.dtype)
    log_z = jnp.logaddexp(jax.nn.logsumexp(logits, axis=1), between)
    terms = jnp.sum(own, axis=1) * log_z - jnp.sum(own * logits, axis=1)
    return masked_mean(terms, where=where, axis_name=axis_name)


def manifold_similarity(
    x: Array,
    labels: Array,
    proxies: Array,
    *,
    walk_rate: float | Array = 0.8,
    temperature: float | Array = 0.05,
    margin: float | Array = 5e-4,
    context_weight: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """A random walk over rows and proxies ends at the row's own proxy above all others.

    mean_i [ log(1 + sum_k exp(F_ik - F_iy + margin)) + context_weight log(1 + sum_k
    exp(cos(F_i, F_k) - cos(F_i, F_y) + margin)) ], over the proxies k other than y =
    labels_i whose difference, with the margin, is above 0. F = (1 - walk_rate) (I -
    walk_rate S)^-1 of the rows and the proxies as nodes, S_ij = W_ij / sqrt(D_i D_j),
    W_ij = exp(max(0, c_ij) / temperature) for j != i, else 0, D its sums over j, c the
    cosine. With gradient in all of them.

    Each step solves a linear system of as many unknowns as there are rows in the whole
    batch and proxies, and holds its inverse; a split batch solves it on every device.

    Args:
      labels: [batch] int in [0, num_proxies), rows of others count as nodes alone. The
        paper's proxies are of groups of classes, drawn at random [our reading].
      proxies: [num_proxies, dim] float, any scale, learned.
      walk_rate: in [0, 1), how much of a node's similarity goes on to its neighbors.
        The paper writes alpha.
      temperature: > 0.
      margin: >= 0.
      context_weight: >= 0. The paper writes lambda_C.

    Source: Aziere and Todorovic, "Ensemble Deep Manifold Similarity Learning Using Hard
      Proxies", 2019, http://openaccess.thecvf.com/content_CVPR_2019/html/
      Aziere_Ensemble_Deep_Manifold_Similarity_Learning_Using_Hard_Proxies_CVPR_2019_
      paper.html, from the authors' code, as tests of pytorch-metric-learning have it,
      and its temperature; walk_rate, margin and context_weight are of that package
      [our reading: the paper's]. How the paper makes proxies hard is not here.
    """
    who = "manifold_similarity"
    checks.fraction(who, walk_rate=walk_rate)
    checks.positive(who, temperature=temperature, **{"1 - walk_rate": 1 - walk_rate})
    checks.non_negative(who, margin=margin, context_weight=context_weight)
    checked_cosines(who, x, labels, proxies, where)
    x, where = checked_rows(who, where, x=x)
    own = one_hot(labels, len(proxies), dtype=bool)
    rows, own, where = gather_rows((l2_normalize(x), own, where), axis_name)
    nodes = jnp.concatenate([rows, l2_normalize(proxies)])
    there = jnp.concatenate([where, jnp.ones(len(proxies), bool)])
    walk = _random_walk(nodes, there, walk_rate, temperature)
    of_rows, of_proxies = walk[: len(rows)], walk[len(rows) :]
    alike = pairwise_dot(l2_normalize(of_rows), l2_normalize(of_proxies))
    terms = _others_above(of_rows[:, len(rows) :], own, margin)
    terms += context_weight * _others_above(alike, own, margin)
    # Terms are equal on all devices, and so is their mean.
    counted = where & jnp.any(own, axis=1)
    return masked_mean(terms, where=counted, axis_name=axis_name)


def _random_walk(nodes, there, walk_rate, temperature):
    """[n, n] where a walk from each node ends, absent ones linked to none."""
    linked = there[:, None] & there[None] & ~jnp.eye(len(nodes), dtype=bool)
    logits = jax.nn.relu(pairwise_dot(nodes, nodes)) / temperature
    some = jnp.any(linked, axis=1, keepdims=True)
    degree = jax.nn.logsumexp(jnp.where(linked | ~some, logits, -jnp.inf), axis=1)
    both = (degree[:, None] + degree[None]) / 2
    steps = jnp.exp(jnp.where(linked, logits - both, -jnp.inf))
    identity = jnp.eye(len(nodes), dtype=steps.dtype)
    system = jax.scipy.linalg.cho_factor(identity - walk_rate * steps)
    return (1 - walk_rate) * jax.scipy.linalg.cho_solve(system, identity)


def _others_above(scores, own, margin):
    """[n] log(1 + sum exp of what other scores plus the margin exceed the own by)."""
    wanted = jnp.sum(jnp.where(own, scores, 0), axis=1, keepdims=True)
    gaps = scores - wanted + margin
    kept = ~own & ~(gaps <= 0)  # a NaN counts
    return jnp.log1p(jnp.sum(jnp.where(kept, jnp.exp(gaps), 0), axis=1))


def _log_sum_between(rows, scale, whisker):
    """[] log sum exp of the pairs of different labels within the whiskers."""
    cosines = pairwise_dot(rows.x, rows.x)
    once = jnp.triu(jnp.ones(cosines.shape, bool), 1)
    pair = once & rows.where[:, None] & pairs.other_label(rows, rows)
    fixed = lax.stop_gradient(cosines)
    ordered = jnp.sort(jnp.where(pair, fixed, jnp.inf).ravel())
    count = jnp.sum(pair)
    low, high = ordered[count // 4], ordered[3 * count // 4]
    reach = whisker * (high - low)
    kept = pair & (fixed >= low - reach) & (fixed <= high + reach)
    some = jnp.any(kept)
    log_sum = jax.nn.logsumexp(jnp.where(kept | ~some, scale * cosines, -jnp.inf))
    return jnp.where(some, log_sum, -jnp.inf)
