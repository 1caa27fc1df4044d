"""Contrastive losses with a term that attracts and a term that spreads rows out.

Arguments and errors are those of `contrastive`; values are in nats where a docstring
says so.
"""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.contrastive import nt_xent
from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import (
    checked_rows,
    gather_rows,
    log_mean_exp,
    masked_mean,
    num_present,
    present,
)
from repr_jax.ops.numerics import l2_normalize, length, to_float
from repr_jax.ops.pairs import Rows
from repr_jax.ops.similarity import dot, negative_squared_distance


def spectral_contrastive(
    view_a: Array,
    view_b: Array,
    *,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Positives have a large product, rows of different examples are orthogonal.

    -2 mean_i a_i . b_i + mean_{i != j} (a_i . b_j)^2. Its minimum spans the leading
    eigenvectors of the graph that joins views of one example. Rows are not normalized.

    Source: HaoChen et al., "Provable Guarantees for Self-Supervised Deep Learning with
      Spectral Contrastive Loss", 2021, eq. 6, https://arxiv.org/abs/2106.04156.
    """
    who = "spectral_contrastive"
    pairs.check(who, chunk_size, axis_name, ring)
    view_a, view_b, where = checked_rows(who, where, view_a=view_a, view_b=view_b)

    def squares(rows, columns, _):
        products = dot.of_pairs(rows.x, columns.x)
        return jnp.where(pairs.others(rows, columns), products**2, 0)

    index = pairs.row_index(where, axis_name)
    totals = pairs.total(
        squares,
        Rows(view_a, where, index),
        Rows(view_b, where, index),
        chunk_size=chunk_size,
        axis_name=axis_name,
        ring=ring,
    )
    others = jnp.maximum(num_present(where, axis_name) - 1, 1)
    terms = -2 * dot.of_rows(view_a, view_b) + totals / others
    return masked_mean(terms, where=where, axis_name=axis_name)


def alignment(
    view_a: Array,
    view_b: Array,
    *,
    power: float = 2.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Mean distance of the two views of an example on the unit sphere.

    mean_i |a_i - b_i|^power, rows normalized; in [0, 2^power].

    Args:
      power: > 0. The paper writes alpha and takes 2.

    Source: Wang and Isola, "Understanding Contrastive Representation Learning through
      Alignment and Uniformity on the Hypersphere", 2020, section 4.1,
      https://arxiv.org/abs/2005.10242.
    """
    checks.positive("alignment", power=power)
    view_a, view_b, where = checked_rows(
        "alignment", where, view_a=view_a, view_b=view_b
    )
    rows = l2_normalize(view_a), l2_normalize(view_b)
    squares = -negative_squared_distance.of_rows(*rows)
    apart = jnp.any(view_a != view_b, axis=-1)  # compilers round equal rows apart
    apart &= squares != 0  # a root has no slope at 0
    distances = jnp.where(apart, jnp.where(apart, squares, 1) ** (power / 2), 0)
    return masked_mean(distances, where=where, axis_name=axis_name)


def uniformity(
    x: Array,
    *,
    scale: float | Array = 2.0,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Log of the mean Gaussian kernel of two different rows on the unit sphere.

    log mean_{i != j} exp(-scale * |x_i - x_j|^2), rows normalized; in nats, between
    -4 * scale and 0. 0 also if there is no pair.

    Args:
      x: [batch, dim], one view.
      scale: > 0. The paper writes t and takes 2.

    Source: Wang and Isola 2020 (as `alignment`), section 4.1.
    """
    checks.positive("uniformity", scale=scale)
    pairs.check("uniformity", chunk_size, axis_name, ring)
    x, where = checked_rows("uniformity", where, x=x)

    def kernel(rows, columns, scale):
        logits = scale * negative_squared_distance.of_pairs(rows.x, columns.x)
        return jnp.where(pairs.others(rows, columns), logits, -jnp.inf)

    rows = Rows(l2_normalize(x), where, pairs.row_index(where, axis_name))
    by_row = pairs.log_sum_exp(
        kernel,
        rows,
        rows,
        scale,
        chunk_size=chunk_size,
        axis_name=axis_name,
        ring=ring,
    )
    count = num_present(where, axis_name)
    log_mean = by_row - jnp.log(jnp.maximum(count - 1, 1))
    return log_mean_exp(log_mean, where=where & (count > 1), axis_name=axis_name)


def koleo(
    x: Array,
    *,
    epsilon: float = 1e-8,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Every row is pushed away from the row nearest to it: a spread in all directions.

    -mean_i log(|x_i - x_nn(i)| + epsilon) of rows of unit length, nn(i) the other row
    of the largest cosine; both rows have a gradient. Up to a constant the estimate of
    Kozachenko and Leonenko of the negative entropy. Compares all pairs at once.

    Args:
      x: [batch, dim] float, any scale, of one view: DINOv2 adds up those of the views.
      epsilon: > 0; equal rows cost -log(epsilon), without a gradient.

    Source: Sablayrolles et al., "Spreading vectors for similarity search", 2019, eq. 2,
      https://arxiv.org/abs/1806.03198; as in Oquab et al., "DINOv2: Learning Robust
      Visual Features without Supervision", 2023, https://arxiv.org/abs/2304.07193,
      which weighs it by 0.1.
    """
    checks.positive("koleo", epsilon=epsilon)
    x, where = checked_rows("koleo", where, x=x)
    rows = Rows(l2_normalize(x), where, pairs.row_index(where, axis_name))
    columns = gather_rows(rows, axis_name)
    others = pairs.others(rows, columns)
    alike = lax.stop_gradient(dot.of_pairs(rows.x, columns.x))
    nearest = jnp.argmax(jnp.where(others, alike, -jnp.inf), axis=1)
    terms = -jnp.log(length(rows.x - columns.x[nearest]) + epsilon)
    counted = where & jnp.any(others, axis=1)
    return masked_mean(terms, where=counted, axis_name=axis_name)


def alignment_uniformity(
    view_a: Array,
    view_b: Array,
    *,
    power: float = 2.0,
    scale: float | Array = 2.0,
    uniformity_weight: float | Array = 1.0,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """alignment + uniformity_weight * the mean uniformity of the two views.

    Args:
      power: > 0, of `alignment`.
      scale: > 0, of `uniformity`.
      uniformity_weight: >= 0. The paper writes lambda and varies it.

    Source: Wang and Isola 2020 (as `alignment`), section 5.
    """
    who = "alignment_uniformity"
    checks.non_negative(who, uniformity_weight=uniformity_weight)
    view_a, view_b, where = checked_rows(who, where, view_a=view_a, view_b=view_b)
    near = alignment(view_a, view_b, power=power, where=where, axis_name=axis_name)
    spread_a, spread_b = (
        uniformity(
            x,
            scale=scale,
            chunk_size=chunk_size,
            ring=ring,
            where=where,
            axis_name=axis_name,
        )
        for x in (view_a, view_b)
    )
    return near + uniformity_weight * (spread_a + spread_b) / 2


def mean_shifted(
    view_a: Array,
    view_b: Array,
    center: Array,
    *,
    temperature: float | Array = 0.25,
    angular_weight: float = 0.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`nt_xent` of the views as seen from the center of the training features.

    nt_xent(a - c, b - c) + angular_weight (mean_i |a_i - c|^2 + mean_i |b_i - c|^2), a
    and b normalized: features that share one narrow cone are told apart by where they
    lie in it, and do not leave it.

    Args:
      center: [dim] float, the mean of the normalized training features before training,
        without gradient; normalized too where angular_weight is not 0, as published.
      angular_weight: >= 0; 0 or 1 published.

    Source: Reiss and Hoshen, "Mean-Shifted Contrastive Loss for Anomaly Detection",
      2023, https://arxiv.org/abs/2106.03844.
    """
    who = "mean_shifted"
    checks.non_negative(who, angular_weight=angular_weight)
    view_a, view_b, where = checked_rows(who, where, view_a=view_a, view_b=view_b)
    checks.shape(who, view_a.shape[1:], center=center)
    center = lax.stop_gradient(to_float(center))[None]
    a, b = (present(l2_normalize(x) - center, where) for x in (view_a, view_b))
    split = dict(where=where, axis_name=axis_name)
    loss = nt_xent(a, b, temperature=temperature, **split)
    angular = masked_mean(jnp.sum(a**2 + b**2, axis=1), **split)
    return loss + angular_weight * angular
