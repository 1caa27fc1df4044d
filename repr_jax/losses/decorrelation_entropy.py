"""Losses of several views whose rows are whitened, or spread by an entropy of moments.

Common to all:
  views: [view, batch, dim] float, two views or more; row i of all shows example i.
  where: [batch] bool, False for absent examples; None if all are present.
  axis_name: the mapped axis the batch is split over; None if it is whole.
Each returns a float32 scalar, and raises ValueError for shapes that do not fit,
TypeError for integers.
"""

import itertools

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.covariance import coding_rate
from repr_jax.ops.numerics import l2_normalize, pairwise_dot
from repr_jax.ops.similarity import cosine
from repr_jax.ops.whitening import whiten


def wmse(
    views: Array,
    *,
    shrinkage: float = 0.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Whitened views agree, so that no direction can collapse.

    mean over pairs of views a < b of mean_i [2 - 2 cos(w_ai, w_bi)], w_a =
    `ops.whitening.whiten` of view a alone.

    Args:
      views: of more rows than features, better twice as many. The paper whitens parts
        of the batch: jnp.mean(jax.vmap(losses.wmse, in_axes=1)(parts)), parts [view,
        parts, rows, dim] of a shuffled batch, which it draws several times.
      shrinkage: in [0, 1], share of the identity in the covariances; 0 is published.

    Source: Ermolov et al., "Whitening for Self-Supervised Representation Learning",
      2021, https://arxiv.org/abs/2007.06346. In [0, 4].
    """
    views, where = _checked("wmse", views, where)
    split = dict(where=where, axis_name=axis_name)
    whitened = [whiten(x, shrinkage=shrinkage, **split) for x in views]
    unit = [l2_normalize(x) for x in whitened]
    pairs = list(itertools.combinations(unit, 2))
    alike = sum(cosine.of_rows(a, b) for a, b in pairs) / len(pairs)
    return masked_mean(2 - 2 * alike, **split)


def emp_ssl(
    views: Array,
    *,
    invariance_weight: float | Array = 200.0,
    distortion: float | Array = 0.2,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Rows of a view take many bits, views of an example are near their mean.

    -mean_v R_v - invariance_weight mean_vi cos(z_vi, mean_u z_ui), rows z of unit
    length, R_v = `ops.covariance.coding_rate` of view v.

    Args:
      views: any scale; patches of an image, 20 to 200 of them in the paper.
      invariance_weight: >= 0. The paper writes lambda.
      distortion: > 0, of the rates. The paper writes epsilon^2.

    Source: Tong et al., "EMP-SSL: Towards Self-Supervised Learning in One Training
      Epoch", 2023, https://arxiv.org/abs/2304.03977, as in the authors' code.
    """
    checks.non_negative("emp_ssl", invariance_weight=invariance_weight)
    views, where = _checked("emp_ssl", views, where)
    split = dict(where=where, axis_name=axis_name)
    views = l2_normalize(views)
    rates = [coding_rate(x, distortion=distortion, **split) for x in views]
    near = cosine.of_rows(views, l2_normalize(jnp.mean(views, axis=0))[None])
    invariance = masked_mean(jnp.mean(near, axis=0), **split)
    return -sum(rates) / len(views) - invariance_weight * invariance


def frossl(
    views: Array,
    *,
    invariance_weight: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Moments of each view have a high entropy, views of an example agree.

    sum_v [ log |Z_v^T Z_v / t_v|_F^2 + invariance_weight V / n sum_i |z_vi - mean_u
    z_ui|^2 ], the columns of Z_v of unit length, t_v the trace of Z_v^T Z_v, without
    gradient, V the number of views and n that of rows. The first term is minus the
    entropy of order 2 of the eigenvalues: 0 if all features are one.

    Args:
      views: any scale of features. They are not centered.
      invariance_weight: >= 0.

    Source: Skean et al., "FroSSL: Frobenius Norm Minimization for Self-Supervised
      Learning", 2024, https://arxiv.org/abs/2310.02903, as in the authors' code of
      several views. Their code of two centers features, and weighs the terms anew.
    """
    checks.non_negative("frossl", invariance_weight=invariance_weight)
    views, where = _checked("frossl", views, where)
    columns = jnp.stack([_unit_columns(x, axis_name) for x in views])
    negative_entropy = sum(_log_purity(x, axis_name) for x in columns)
    squares = jnp.sum((columns - jnp.mean(columns, axis=0)[None]) ** 2, axis=(0, 2))
    apart = masked_mean(squares, where=where, axis_name=axis_name)
    return negative_entropy + invariance_weight * len(views) * apart


def _checked(who, views, where):
    """[view, batch, dim] in float, zero where absent; where."""
    checks.same_shape(who, rank=3, views=views)
    checks.count(who, minimum=2, views=len(views))
    rows, where = checked_rows(who, where, rank=3, views=jnp.moveaxis(views, 1, 0))
    return jnp.moveaxis(rows, 1, 0), where


def _unit_columns(x, axis_name):
    """[batch, dim], each column over its length in the whole batch."""
    squares = jnp.sum(x**2, axis=0)
    squares = squares if axis_name is None else lax.psum(squares, axis_name)
    return x * lax.rsqrt(jnp.where(squares == 0, 1, squares))[None]


def _log_purity(x, axis_name):
    """[] log of the sum of squares of moments, of trace 1; 0 if all are 0."""
    moments = pairwise_dot(x.T, x.T)
    moments = moments if axis_name is None else lax.psum(moments, axis_name)
    trace = lax.stop_gradient(jnp.trace(moments))
    squares = jnp.sum((moments / jnp.where(trace == 0, 1, trace)) ** 2)
    return jnp.log(jnp.where(squares == 0, 1, squares))
