"""Losses of an updated model whose features must work with what the old one stored."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.classification import cross_entropy
from repr_jax.losses.distillation import byol
from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows
from repr_jax.ops.numerics import l2_normalize, pairwise_dot, to_float


def backward_compatible(
    features: Array,
    block: Array,
    labels: Array,
    classifier: Array,
    *,
    old_features: Array,
    old_classifier: Array,
    reference: Array,
    old_class_weight: float | Array = 10.0,
    old_weight: float | Array = 5.0,
    reference_weight: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """New features classify and stay what they would be; a block of them is the old.

    `cross_entropy`(classifier features) + old_class_weight `cross_entropy`(
    old_classifier block) + old_weight `byol`(block, old_features) / 2 +
    reference_weight `byol`(features, reference) / 2, features and block of unit length,
    byol / 2 being 1 - the cosine.

    Args:
      features: [batch, dim] float, any scale, of the updated model.
      block: [batch, old dim] float, any scale, the first entries of
        `ops.orthogonal.transformed_basis`, compared with old features.
      labels: [batch] int; those beyond the old classes add nothing to the second term.
      classifier: [classes, dim] float, learned; old_classifier: [old classes, old dim].
      old_features: [batch, old dim], reference: [batch, dim] float, of the old model
        and of one trained without regard to it. Without gradient, as old_classifier.
      old_class_weight, old_weight, reference_weight: >= 0.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, >= 0.

    Raises:
      ValueError: shapes that do not fit. TypeError: integers; labels that are none.

    Source: Zhou et al., "BT^2: Backward-compatible Training with Basis Transformation",
      2023, https://arxiv.org/abs/2211.03989, with the weights of the authors' configs.
      old_class_weight alone, of the features themselves, is Shen et al., "Towards
      Backward-Compatible Representation Learning", 2020.
    """
    who = "backward_compatible"
    features, reference, where = checked_rows(
        who, where, features=features, reference=reference
    )
    checks.rows(who, len(features), block=block)
    block, old_features, _ = checked_rows(
        who, where, block=block, old_features=old_features
    )
    weights = dict(old_class_weight=old_class_weight, old_weight=old_weight)
    checks.non_negative(who, **weights, reference_weight=reference_weight)

    def logits(x, name, classifier):
        checks.floating(who, **{name: classifier})
        fits = (*jnp.shape(classifier)[:1], x.shape[1])
        checks.shape(who, fits, **{name: classifier})
        return pairwise_dot(l2_normalize(x), to_float(classifier))

    new = logits(features, "classifier", classifier)
    old_classifier = lax.stop_gradient(old_classifier)
    old = logits(block, "old_classifier", old_classifier)
    options = dict(where=where, axis_name=axis_name)
    return (
        cross_entropy(new, labels, **options)
        + old_class_weight * cross_entropy(old, labels, **options)
        + old_weight * byol(block, old_features, **options) / 2
        + reference_weight * byol(features, reference, **options) / 2
    )
