"""Penalties of one set of rows, to be added to a loss, by a weight of the caller's.

Common to all:
  where: bool of the batch, False for absent rows; None if all are present.
  axis_name: the mapped axis the batch is split over; None if it is whole.
Each returns a float32 scalar, and raises ValueError for shapes that do not fit,
TypeError for integers.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, pairs
from repr_jax.ops import local_dimension as dimension
from repr_jax.ops.batch import (
    centered,
    checked_rows,
    gather_rows,
    masked_mean,
    num_present,
)
from repr_jax.ops.numerics import l2_normalize, length, pairwise_dot, root
from repr_jax.ops.pairs import Rows
from repr_jax.ops.similarity import negative_squared_distance


def codebook_diversity(
    probabilities: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Negative entropy of how often the entries of codebooks are chosen, on average.

    mean_g mean_v p_gv log p_gv, p the mean of the probabilities over the batch; in
    [-log(entries) / entries, 0], least if all entries are chosen as often.

    Args:
      probabilities: [group, batch, entry] float, softmax of the choice in each group of
        a product quantizer; all steps of all sequences are rows of the batch.

    Source: Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of
      Speech Representations", 2020, eq. 4, https://arxiv.org/abs/2006.11477; weighted
      by 0.1.
    """
    who = "codebook_diversity"
    checks.same_shape(who, rank=3, probabilities=probabilities)
    probabilities = jnp.moveaxis(probabilities, 1, 0)
    p, where = checked_rows(who, where, rank=3, probabilities=probabilities)
    mean = masked_mean(p, where=where, axis_name=axis_name)
    return jnp.mean(mean * jnp.log(jnp.where(mean > 0, mean, 1)))


def local_dimension(
    x: Array,
    *,
    num_neighbors: int,
    power: float = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Local dimensions of representations are driven away from 1, up from above.

    -(mean_i |log d_i|^power)^(1 / power), d_i = `ops.local_dimension.moments` of the
    Euclidean distances to the nearest rows of the batch, which get no gradient. Of
    d_i < 1 it is driven down, as published. Compares all pairs at once.

    Args:
      x: [batch, dim] float, representations of one view.
      num_neighbors: from 2 to batch - 1; without so many nothing counts. The paper
        takes 64 and 128.
      power: >= 1; 1 and 2 are published.

    Source: Huang et al., "LDReg: Local Dimensionality Regularized Self-Supervised
      Learning", 2024, https://arxiv.org/abs/2401.10474, where the weight is 0.005 for
      BYOL. The authors' code takes the root of power 2 by row, which is power 1.
    """
    who = "local_dimension"
    checks.count(who, minimum=2, num_neighbors=num_neighbors)
    checks.non_negative(who, **{"power - 1": power - 1})
    x, where = checked_rows(who, where, x=x)
    rows = Rows(x, where, pairs.row_index(where, axis_name))
    columns = lax.stop_gradient(gather_rows(rows, axis_name))
    checks.count(who, minimum=num_neighbors + 1, batch=len(columns.index))
    others = pairs.others(rows, columns)
    alike = negative_squared_distance.of_pairs(lax.stop_gradient(x), columns.x)
    _, nearest = lax.top_k(jnp.where(others, alike, -jnp.inf), num_neighbors)
    distances = jnp.sort(length(x[:, None] - columns.x[nearest]), axis=1)
    logs = jnp.abs(jnp.log(dimension.moments(distances))) ** power
    counted = where & (jnp.sum(others, axis=1) >= num_neighbors)
    mean = masked_mean(logs, where=counted, axis_name=axis_name)
    return -jnp.where(mean == 0, 0, jnp.where(mean == 0, 1, mean) ** (1 / power))


def regular_face(
    weights: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """The mean cosine of the weights of each class to those nearest to them.

    mean_k max_{j != k} cos(weights_k, weights_j), in [-1, 1]. Compares all pairs at
    once.

    Args:
      weights: [classes, dim] float, any scale, such as the prototypes of `arcface`.
      where: [classes] bool, False for absent rows; None if all are present.

    Source: Zhao, Xu and Cheng, "RegularFace: Deep Face Recognition via Exclusive
      Regularization", 2019, http://openaccess.thecvf.com/content_CVPR_2019/html/
      Zhao_RegularFace_Deep_Face_Recognition_via_Exclusive_Regularization_CVPR_2019_
      paper.html.
    """
    weights, where = checked_rows("regular_face", where, weights=weights)
    rows = Rows(l2_normalize(weights), where, pairs.row_index(where, axis_name))
    columns = gather_rows(rows, axis_name)
    others = pairs.others(rows, columns)
    cosines = jnp.where(others, pairwise_dot(rows.x, columns.x), -jnp.inf)
    counted = where & jnp.any(others, axis=1)
    return masked_mean(jnp.max(cosines, axis=1), where=counted, axis_name=axis_name)


def soft_orthogonality(
    weights: Array,
    *,
    threshold: float | Array,
    sharpness: float | Array = 10.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How far the columns of a matrix are from orthonormal, beyond what is allowed.

    n sigmoid(sharpness (n - threshold)), n = |W^T W - I| the Frobenius norm: about 0
    below the threshold, n above it. The gate has a gradient.

    Args:
      weights: [rows, columns] float, W, of an adapter x W + b.
      threshold: >= 0. The paper writes lambda.
      sharpness: > 0.
      where: [rows] bool, False for absent rows of W; None if all are present.
      axis_name: the mapped axis the rows of W are split over; None if it is whole.

    Source: Ricci et al., "lambda-Orthogonality Regularization for Compatible
      Representation Learning", 2025, https://arxiv.org/abs/2509.16664. The form of the
      gate and its sharpness are our choice.
    """
    who = "soft_orthogonality"
    checks.non_negative(who, threshold=threshold)
    checks.positive(who, sharpness=sharpness)
    weights, where = checked_rows(who, where, weights=weights)
    gram = pairwise_dot(weights.T, weights.T)
    gram = gram if axis_name is None else lax.psum(gram, axis_name)
    norm = length((gram - jnp.eye(len(gram), dtype=gram.dtype)).ravel())
    value = norm * jax.nn.sigmoid(sharpness * (norm - threshold))
    return jnp.where(num_present(where, axis_name) > 0, value, 0)


def sigreg(
    x: Array,
    directions: Array,
    *,
    num_knots: int = 17,
    most: float = 3.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How far projections of the rows are from standard normal ones.

    N mean_m int_-most^most |phi_m(t) - g(t)|^2 g(t) dt, g(t) = exp(-t^2 / 2), phi_m(t)
    = mean_i exp(i t x_i . directions_m) of the N rows: the test of Epps and Pulley, by
    the trapezoidal rule.

    Args:
      x: [batch, dim] float, projections of one view.
      directions: [num, dim] float, of any length, drawn anew at every step, such as
        jax.random.normal(key, (1024, dim)); without gradient.
      num_knots: >= 2, where the functions are evaluated, from 0 to `most`.
      most: > 0.

    Source: Balestriero and LeCun, "LeJEPA: Provable and Scalable Self-Supervised
      Learning Without the Heuristics", 2025, https://arxiv.org/abs/2511.08544. Their
      loss is lambda times it, lambda = 0.05, and 1 - lambda times the mean square of
      what views differ by from the mean of the global ones.
    """
    checks.count("sigreg", minimum=2, num_knots=num_knots)
    checks.positive("sigreg", most=most)
    x, where = checked_rows("sigreg", where, x=x)
    unit = _directions("sigreg", directions, x)
    t = jnp.linspace(0, most, num_knots, dtype=x.dtype)
    phases = pairwise_dot(x, unit)[..., None] * t[None, None]  # [batch, num, knots]
    split = dict(where=where, axis_name=axis_name)
    real, imaginary = (masked_mean(f(phases), **split) for f in (jnp.cos, jnp.sin))
    normal = jnp.exp(-(t**2) / 2)
    away = (real - normal[None]) ** 2 + imaginary**2
    ends = (jnp.arange(num_knots) % (num_knots - 1)) == 0
    weights = jnp.where(ends, 1, 2) * normal * most / (num_knots - 1)
    return num_present(where, axis_name) * jnp.mean(
        jnp.sum(away * weights[None], axis=1)
    )


def visreg(
    x: Array,
    directions: Array,
    *,
    scale_weight: float | Array = 1.0,
    shape_weight: float | Array = 1.0,
    center_weight: float | Array = 1.0,
    epsilon: float = 1e-4,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Features are driven to mean 0 and deviation 1, their projections to normal ones.

    scale_weight mean_k (1 - s_k)^2 + center_weight mean_k m_k^2 + shape_weight mean_jr
    (p_jr - Q(r / (N + 1)))^2, m and s the means and deviations of features over the N
    rows; p_jr the r-th smallest of (x - m) / (s + epsilon), s without gradient, in
    direction j; Q the quantiles of the standard normal distribution.

    Args:
      x: [batch, dim] float, projections of one view.
      directions: [num, dim] float, as in `sigreg`.
      scale_weight, shape_weight, center_weight: >= 0.
      epsilon: > 0, added to deviations.

    Source: Wu, Balestriero and Levine, "VISReg: Variance-Invariance-Sketching
      Regularization for JEPA training", 2026, https://arxiv.org/abs/2606.02572. Their
      loss is lambda times it, lambda = 0.9, and 1 - lambda times the mean square of
      what views differ by from the mean of the global ones.
    """
    weights = dict(scale_weight=scale_weight, shape_weight=shape_weight)
    checks.non_negative("visreg", center_weight=center_weight, **weights)
    checks.positive("visreg", epsilon=epsilon)
    x, where = checked_rows("visreg", where, x=x)
    unit = _directions("visreg", directions, x)
    split = dict(where=where, axis_name=axis_name)
    rows, mean = centered(x, **split)
    deviation = root(masked_mean(rows**2, **split))
    scaled = rows / (lax.stop_gradient(deviation) + epsilon)[None]
    shape = _from_normal(pairwise_dot(scaled, unit), where, axis_name)
    scale = jnp.mean((1 - deviation) ** 2)
    value = scale_weight * scale + center_weight * jnp.mean(mean**2)
    value = jnp.where(num_present(where, axis_name) > 0, value, 0)
    return value + shape_weight * shape


def _from_normal(projected, where, axis_name):
    """[] mean square of sorted columns [batch, num] less quantiles of the normal."""
    projected, there = gather_rows((projected, where), axis_name)
    count = jnp.sum(there)
    ordered = jnp.sort(jnp.where(there[:, None], projected, jnp.inf), axis=0)
    counted = jnp.arange(len(ordered)) < count
    ordered = jnp.where(counted[:, None], ordered, 0)
    places = jnp.arange(1, len(ordered) + 1, dtype=ordered.dtype) / (count + 1)
    normal = jax.scipy.special.ndtri(jnp.where(counted, places, 0.5))
    squares = jnp.mean((ordered - normal[:, None]) ** 2, axis=1)
    value = masked_mean(squares, where=counted)
    return value if axis_name is None else lax.pmean(value, axis_name)  # of equal ones


def _directions(who, directions, x):
    """[num, dim] of unit length, without gradient."""
    checks.floating(who, directions=directions)
    shape = (*jnp.shape(directions)[:1], x.shape[1])
    checks.shape(who, shape, directions=directions)
    return lax.stop_gradient(l2_normalize(directions))
