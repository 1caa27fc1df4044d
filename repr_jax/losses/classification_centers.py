"""Softmax losses of cosines to classes that have several centers each.

Arguments and errors are those of `classification_margins`, but for
  centers: [num_classes, centers, dim] float, any scale, learned.
"""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.losses.classification import cross_entropy
from repr_jax.losses.classification_margins import checked_cosines
from repr_jax.ops import checks, margins


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
      Sampling", 2019, https://arxiv.org/abs/1909.05235, without the
      regularizer that merges centers.
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
