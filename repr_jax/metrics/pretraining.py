"""What pretraining gave: labels saved, and examples that an encoder memorized."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, checked_where
from repr_jax.ops.class_statistics import class_means
from repr_jax.ops.covariance import cross_covariance
from repr_jax.ops.numerics import l2_normalize, one_hot, pairwise_dot


def label_utility(
    counts: ArrayLike, scratch: ArrayLike, pretrained: ArrayLike
) -> np.ndarray:
    """How many more labels, as a share, training from scratch needs for the same score.

    U(n) = n' / n - 1, n' the number of labels at which scratch reaches pretrained(n):
    linear interpolation in n of the running maximum of scratch, its first crossing.

    Args:
      counts: [points] numbers of labels, above 0, ascending.
      scratch, pretrained: [points] scores, higher is better.

    Returns:
      float64 [points], above -1, 0 where pretraining saves nothing. NaN where it is
      below all of scratch (the authors' code says -1), inf where scratch never reaches
      it (their curve ends there).

    Raises:
      ValueError: shapes differ or are not [points]; counts as they should not be;
        scores that are not finite.

    Source: Newell and Deng, "How Useful is Self-Supervised Pretraining for Visual
      Tasks?", 2020, section 3.1, https://arxiv.org/abs/2003.14323.
    """
    who = "label_utility"
    counts, scratch, pretrained = (
        np.asarray(x, np.float64) for x in (counts, scratch, pretrained)
    )
    checks.same_shape(
        who, rank=1, counts=counts, scratch=scratch, pretrained=pretrained
    )
    checks.finite(who, counts=counts, scratch=scratch, pretrained=pretrained)
    if not (np.all(counts > 0) and np.all(np.diff(counts) > 0)):
        raise ValueError(f"{who}: expected counts above 0, ascending; got {counts}.")
    best = np.maximum.accumulate(scratch)
    place = np.searchsorted(best, pretrained, side="left")  # the first that reaches it
    inside = np.clip(place, 1, len(best) - 1)
    low, high = best[inside - 1], best[inside]
    step = (pretrained - low) / np.where(high > low, high - low, 1)
    needed = counts[inside - 1] + step * (counts[inside] - counts[inside - 1])
    needed = np.where(pretrained == best[0], counts[0], needed)
    needed = np.where(pretrained < best[0], np.nan, needed)
    return np.where(pretrained > best[-1], np.inf, needed) / counts - 1


def memorization(
    f: Array, f_views: Array, g: Array, g_views: Array, *, where: Array | None = None
) -> Array:
    """How much better an encoder aligns views of an example for having trained on it.

    m = a_g - a_f over max_i m_i - min_i m_i, a(x) the mean distance of unit outputs for
    x and for its views. Scaled so, m is within [-1, 1] only if signs mix.

    Args:
      f: [batch, dim] float, outputs of the encoder trained on the examples.
      f_views: [views, batch, dim], of augmentations of each example.
      g, g_views: the same of an encoder trained without them.
      where: [batch] bool, False for absent rows; None if all are present.

    Returns:
      [batch], higher is more memorized, 0 in absent rows; not scaled if all are equal
        up to rounding.

    Raises:
      ValueError: shapes that do not fit, values that are not finite.
      TypeError: integers.

    Source: Wang et al., "Memorization in Self-Supervised Learning Improves Downstream
      Generalization", 2024, https://arxiv.org/abs/2401.12233. The clean example against
      its views is the authors' code; their definition has pairs of views.
    """
    who = "memorization"
    checks.same_shape(who, rank=2, f=f)
    checks.same_shape(who, rank=2, g=g)
    checks.shape(who, (len(f_views), *jnp.shape(f)), f_views=f_views)
    checks.shape(who, (len(g_views), *jnp.shape(g)), g_views=g_views)
    checks.rows(who, len(f), g=g)
    checks.floating(who, f=f, f_views=f_views, g=g, g_views=g_views)
    where = checked_where(who, where, jnp.shape(f)[:1])
    f_rows, g_rows = (jnp.moveaxis(views, 1, 0) for views in (f_views, g_views))
    checks.finite(who, where=where, f=f, f_views=f_rows, g=g, g_views=g_rows)

    def misaligned(x, views):
        differences = l2_normalize(x)[None] - l2_normalize(views)
        return jnp.mean(jnp.sqrt(jnp.sum(differences**2, axis=-1)), axis=0)

    of_f, of_g = misaligned(f, f_views), misaligned(g, g_views)
    m = jnp.where(where, of_g - of_f, 0)
    highest = jnp.max(jnp.where(where, m, -jnp.inf))
    spread = highest - jnp.min(jnp.where(where, m, jnp.inf))
    rounding = 16 * jnp.finfo(m.dtype).eps * jnp.max(jnp.where(where, of_g + of_f, 0))
    return m / jnp.where(spread > rounding, spread, 1)


def conditional_cross_covariance(
    a: Array,
    b: Array,
    labels: Array,
    *,
    num_classes: int,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How two parts of an input covary within classes: [dim_a, dim_b].

    1/n sum_i (a_i - mean_{y_i} a) (b_i - mean_{y_i} b)^T over the n rows of a class. A
    pretext task that predicts b from a serves the labels best where this is 0, and its
    operator norm bounds the cost of what is left.

    Args:
      a: [batch, dim_a] float. b: [batch, dim_b] float.
      labels: [batch] int in [0, num_classes); rows of others are ignored.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Raises:
      ValueError: shapes do not fit. TypeError: integers in place of floats, other
        labels.

    Source: Teng, Huang and He, "Can Pretext-Based Self-Supervised Learning Be Boosted
      by Downstream Data? A Theoretical Analysis", 2022,
      https://arxiv.org/abs/2103.03568.
    """
    who = "conditional_cross_covariance"
    checks.same_shape(who, rank=2, b=b)
    checks.rows(who, jnp.shape(b)[0], a=a)
    a, where = checked_rows(who, where, a=a)
    b, where = checked_rows(who, where, b=b)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    code = one_hot(labels, num_classes, dtype=a.dtype)
    where &= jnp.sum(code, axis=1) > 0
    options = dict(num_classes=num_classes, where=where, axis_name=axis_name)

    def away(x):
        _, means = class_means(x, labels, **options)
        return x - pairwise_dot(code, means.T)  # of mean 0

    return cross_covariance(away(a), away(b), where=where, axis_name=axis_name)
