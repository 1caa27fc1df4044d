"""A Gaussian a class, of labels of which some are wrong and some rare.

For a classifier that is trained on as many draws of each class. On the host, since
classes have neighborhoods of different sizes; draws compile.

Source: Zhang et al., "When Noisy Labels Meet Long Tail Dilemmas: A Representation
  Calibration Method", 2023, https://arxiv.org/abs/2211.10955. The weights of the head
  classes and the numbers are our choice.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.estimators import local_outlier
from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where, finite_rows
from repr_jax.ops.class_statistics import class_covariances, class_means


class CalibratedGaussians(NamedTuple):
    """One Gaussian for each class."""

    counts: Array  # [num_classes], rows that were kept
    means: Array  # [num_classes, dim]
    covariances: Array  # [num_classes, dim, dim]
    head_weights: Array  # [num_classes, num_classes], of head classes in tail ones


def typical_rows(
    x: Array,
    labels: Array,
    *,
    num_classes: int,
    cut: float = 1.5,
    head_size: int = 10,
    num_neighbors: int | None = None,
    where: Array | None = None,
) -> np.ndarray:
    """[batch] bool, present rows but the local outliers of their classes.

    Mislabeled rows are outliers only where a neighborhood holds more than they are,
    so by default it is half of the class.

    Args:
      x, labels, num_classes, head_size, where: as of `fit`.
      cut: > 0, rows whose `local_outlier` score is above it are left out.
      num_neighbors: below head_size; None for half of the class.

    Raises:
      ValueError, TypeError: as `fit`.
    """
    who = "calibrated_gaussians.typical_rows"
    checks.positive(who, cut=cut)
    x, labels, where = _checked(who, x, labels, num_classes, head_size, where)
    for c in range(num_classes):
        rows = np.flatnonzero(where & (labels == c))
        if len(rows) >= head_size:
            size = len(rows) // 2 if num_neighbors is None else num_neighbors
            found = local_outlier.fit(x[rows], num_neighbors=size)
            where[rows] = np.asarray(found.scores) <= cut
    return where


def fit(
    x: Array,
    labels: Array,
    *,
    num_classes: int,
    cut: float = 1.5,
    head_size: int = 10,
    num_neighbors: int | None = None,
    own_weight: float = 0.9,
    num_heads: int = 2,
    where: Array | None = None,
) -> CalibratedGaussians:
    """Mean and covariance of the typical rows of each class, blended for tail classes.

    Of a class with fewer than head_size rows, mean' = own_weight mean + (1 -
    own_weight) sum_g w_g mean_g over the num_heads head classes g with the nearest
    means, w_g in proportion to count_g / |mean - mean_g|; covariances alike.

    Args:
      x: [batch, dim] float, features that labels had no part in, such as contrastive.
      labels: [batch] int in [0, num_classes), each class occurring.
      cut, num_neighbors: as of `typical_rows`, which looks at head classes alone.
      head_size: > 1, rows of a class that make it a head class.
      own_weight: in [0, 1]; 1 blends nothing. The paper writes gamma.
      num_heads: > 0, fewer if there are fewer head classes.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes do not fit; x not finite, a label or number out of range, a
        class without rows. TypeError: integers in x, others in labels; traced arrays.
    """
    who = "calibrated_gaussians.fit"
    checks.fraction(who, own_weight=own_weight)
    checks.count(who, num_heads=num_heads)
    x, labels, where = _checked(who, x, labels, num_classes, head_size, where)
    sizes = np.bincount(labels[where], minlength=num_classes)
    if not sizes.all():
        raise ValueError(
            f"{who}: expected rows of every class; got none of {np.argmin(sizes)}."
        )
    kept = typical_rows(
        x,
        labels,
        num_classes=num_classes,
        cut=cut,
        head_size=head_size,
        num_neighbors=num_neighbors,
        where=where,
    )
    options = dict(num_classes=num_classes, where=kept)
    counts, means = (np.asarray(a) for a in class_means(x, labels, **options))
    covariances = np.asarray(class_covariances(x, labels, **options))
    weights = _head_weights(counts, means, sizes >= head_size, num_heads)
    own = np.where(weights.any(axis=1), own_weight, 1)
    blended = (_blend(own, weights, a) for a in (means, covariances))
    return CalibratedGaussians(*map(jnp.asarray, (counts, *blended, weights)))


def sample(
    key: Array, fitted: CalibratedGaussians, *, num: int, ridge: float = 1e-4
) -> Array:
    """[num_classes, num, dim] draws of each class, of covariance plus ridge I."""
    checks.count("calibrated_gaussians.sample", num=num)
    checks.positive("calibrated_gaussians.sample", ridge=ridge)
    eye = jnp.eye(fitted.means.shape[1], dtype=fitted.means.dtype)
    factors = jnp.linalg.cholesky(fitted.covariances + ridge * eye[None])
    shape = (len(fitted.means), num, len(eye))
    noise = jax.random.normal(key, shape, fitted.means.dtype)
    turned = jnp.einsum("cnd,ced->cne", noise, factors, precision="highest")
    return fitted.means[:, None] + turned


def _checked(who, x, labels, num_classes, head_size, where):
    """NumPy arrays."""
    if not all(checks.known(a) for a in (x, labels, where)):
        raise TypeError(f"{who}: expected arrays on this host; got traced ones.")
    checks.count(who, num_classes=num_classes)
    checks.count(who, minimum=2, head_size=head_size)
    x, where = finite_rows(who, where, x=x)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.within(who, num_classes, where=where, labels=labels)
    where = checked_where(who, where, x.shape[:1])
    labels = np.where(where, labels, 0)
    return np.asarray(x), labels, np.array(where)


def _head_weights(counts, means, heads, num_heads):
    """[num_classes, num_classes], rows of tail classes sum to 1, of heads to 0."""
    weights = np.zeros((len(means), len(means)), means.dtype)
    for c in np.flatnonzero(~heads):
        away = np.where(heads, np.linalg.norm(means - means[c], axis=1), np.inf)
        for g in np.argsort(away, kind="stable")[:num_heads]:
            weights[c, g] = counts[g] / max(away[g], 1e-12) if heads[g] else 0
    total = weights.sum(axis=1, keepdims=True)
    return weights / np.where(total > 0, total, 1)


def _blend(own, weights, values):
    """own of a class's values, [num_classes, ...], and the rest of those of heads."""
    own = own.reshape(-1, *(1,) * (values.ndim - 1))
    heads = np.tensordot(weights, values, axes=1)
    return (own * values + (1 - own) * heads).astype(values.dtype)
