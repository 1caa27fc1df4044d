"""Softmax losses of cosines to classes that have several centers each.

Arguments and errors are those of `classification_margins`, but for
  centers: [num_classes, centers, dim] float, any scale, learned.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.losses.classification import cross_entropy
from repr_jax.losses.classification_margins import checked_cosines
from repr_jax.ops import checks, margins
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.numerics import l2_normalize, length


def sub_center_arcface(
    x: Array,
    labels: Array,
    centers: Array,
    *,
    margin: float | Array = 0.5,
    scale: float | Array = 64.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`arcface` of the cosine to the nearest center of each class.

    Wrong labels of a class gather around a center of their own. With one center a class
    it is `arcface`.

    Args:
      margin: in [0, pi], radians. scale: > 0.

    Source: Deng et al., "Sub-center ArcFace: Boosting Face Recognition by Large-scale
      Noisy Web Faces", 2020, https://www.ecva.net/papers/eccv_2020/papers_ECCV/
      papers/123560715.pdf.
    """
    who = "sub_center_arcface"
    checks.non_negative(who, margin=margin)
    checks.positive(who, scale=scale)
    cosines, where = _cosines(who, x, labels, centers, where)
    nearest = jnp.max(cosines, axis=2)
    logits = margins.arcface(nearest, labels, margin=margin, scale=scale)
    return cross_entropy(logits, labels, where=where, axis_name=axis_name)


def soft_triple(
    x: Array,
    labels: Array,
    centers: Array,
    *,
    margin: float | Array = 0.01,
    scale: float | Array = 20.0,
    temperature: float | Array = 0.1,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`cosface` of a softmax mean of the cosines to the centers of each class.

    The cosine of x_i and class k is sum_c softmax_c(s_ikc / temperature) s_ikc, s_ikc
    that of its center c. With one center a class it is `cosface`.

    Args:
      margin: >= 0. The paper writes delta. scale: > 0. The paper writes lambda.
      temperature: > 0. The paper writes gamma.

    Source: Qian et al., "SoftTriple Loss: Deep Metric Learning Without Triplet
      Sampling", 2019, https://arxiv.org/abs/1909.05235; the regularizer that merges
      centers is `sparse_centers`.
    """
    who = "soft_triple"
    checks.non_negative(who, margin=margin)
    checks.positive(who, scale=scale, temperature=temperature)
    cosines, where = _cosines(who, x, labels, centers, where)
    shares = jax.nn.softmax(cosines / temperature, axis=2)
    relaxed = jnp.sum(shares * cosines, axis=2)
    logits = margins.cosface(relaxed, labels, margin=margin, scale=scale)
    return cross_entropy(logits, labels, where=where, axis_name=axis_name)


def _cosines(who, x, labels, centers, where):
    """[batch, num_classes, centers] of the checked arguments; `where`."""
    checks.same_shape(who, rank=3, centers=centers)
    num_classes, num_centers, dim = jnp.shape(centers)
    checks.count(who, centers=num_centers)
    flat = jnp.reshape(centers, (-1, dim))
    cosines, where = checked_cosines(who, x, labels, flat, where)
    return cosines.reshape(-1, num_classes, num_centers), where


def sparse_centers(
    centers: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Half the mean distance of the centers of a class: those that are not needed meet.

    mean_k mean_{a < b} |c_ka - c_kb| / 2, c of unit length. In [0, 1]; 0 of one center.

    Args:
      centers: [classes, centers, dim] float, any scale, those of `soft_triple`.
      where: [classes] bool, False for absent ones; None if all are present.
      axis_name: the mapped axis classes are split over; None if they are whole.

    Returns:
      float32 scalar, to be added to `soft_triple`, times 0.2 in the authors' code.

    Source: Qian et al. 2019 (as `soft_triple`).
    """
    centers, where = checked_rows("sparse_centers", where, rank=3, centers=centers)
    unit = l2_normalize(centers)
    a, b = np.triu_indices(unit.shape[1], 1)
    apart = length(unit[:, a] - unit[:, b])  # [classes, pairs]
    terms = jnp.sum(apart, axis=1) / (2 * max(len(a), 1))
    return masked_mean(terms, where=where, axis_name=axis_name)
