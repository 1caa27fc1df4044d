"""What the theory of latent classes says of classifiers, by their class means."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks, links
from repr_jax.ops.batch import checked_where, finite_rows, present
from repr_jax.ops.class_statistics import class_means
from repr_jax.ops.numerics import one_hot, pairwise_dot, to_float


def mean_classifier_loss(
    x: Array,
    labels: Array,
    priors: Array,
    *,
    link: Callable[[Array], Array] = links.logistic,
    where: Array | None = None,
) -> Array:
    """Loss of telling two classes apart by the means of their rows, over random pairs.

    sum_{c != d} w_cd mean_{i of c} link(x_i . (m_c - m_d)), w_cd proportional to
    priors_c priors_d and summing to 1, m the means of classes. Nothing is normalized.

    Args:
      x: [batch, dim] float, representations.
      labels: [batch] int in [0, num_classes); others are of no class.
      priors: [num_classes] float, at least 0; of a class without rows taken as 0.
      link: a function of `ops.links`.
      where: [batch] bool, False for absent rows; None if all are present.

    Returns:
      float32 scalar, 0 or more; 1 for equal rows. 0 if fewer than two classes have
      rows and a prior.

    Raises:
      ValueError: shapes do not fit; not finite.
      TypeError: integers in place of floats; labels that are none.

    Source: Arora et al., "A Theoretical Analysis of Contrastive Unsupervised
      Representation Learning", 2019, section 2, of two classes,
      https://arxiv.org/abs/1902.09229.
    """
    who = "mean_classifier_loss"
    where = checked_where(who, where, jnp.shape(x)[:1])
    x, where = finite_rows(who, where, x=x)
    checks.same_shape(who, rank=1, priors=priors)
    checks.floating(who, priors=priors)
    counts, means = class_means(x, labels, num_classes=len(priors), where=where)
    priors = jnp.where(counts > 0, to_float(priors), 0)
    own = present(one_hot(labels, len(priors), dtype=x.dtype), where)  # [batch, C]
    of_row = pairwise_dot(own, (priors / jnp.maximum(counts, 1))[None])  # [batch, 1]
    scores = pairwise_dot(x, means)
    gaps = jnp.sum(own * scores, axis=1, keepdims=True) - scores
    weights = of_row * priors[None] * (1 - own)
    total = jnp.sum(jnp.where(weights > 0, weights * link(gaps[..., None]), 0))
    chance = jnp.sum(priors) ** 2 - jnp.sum(priors**2)
    return total / jnp.where(chance > 0, chance, 1)


def mean_classifier_bound(unsupervised: Array, collision: Array) -> Array:
    """(unsupervised - collision) / (1 - collision), above `mean_classifier_loss`.

    Args:
      unsupervised: [...] float, `losses.many_negatives` of one negative of unlabeled
        data, in expectation; the mean over all tuples of rows bounds that of the rows.
      collision: [...] float in [0, 1), the sum of squared priors: how likely a negative
        is of the anchor's class. The paper writes tau.

    Source: Arora et al. 2019 (as `mean_classifier_loss`), lemma 4.3.
    """
    return (unsupervised - collision) / (1 - collision)
