"""Gradients of losses in the weights of a linear head, one a row, in closed form."""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import argmax, one_hot, to_float


def of_cross_entropy(logits: Array, features: Array, labels: Array) -> Array:
    """(p_i - onehot(labels_i)) times features_i, p = softmax(logits).

    Args:
      logits: [batch, num_classes] float, of features W^T + b.
      features: [batch, dim] float.
      labels: [batch] int; one outside of [0, num_classes) is of no class.

    Returns:
      [batch, num_classes * dim], by class and then by feature: of the weights alone.

    Raises:
      ValueError: shapes do not fit together. TypeError: integers in place of floats.
    """
    who = "of_cross_entropy"
    checks.same_shape(who, rank=2, logits=logits)
    checks.same_shape(who, rank=2, features=features)
    checks.floating(who, logits=logits, features=features)
    checks.rows(who, len(logits), features=features)
    checks.shape(who, (len(logits),), labels=labels)
    checks.integers(who, labels=labels)
    logits, features = to_float(logits), to_float(features)
    wanted = one_hot(labels, logits.shape[1], dtype=logits.dtype)
    away = jax.nn.softmax(logits, axis=1) - wanted
    return (away[:, :, None] * features[:, None]).reshape(len(logits), -1)


def of_predicted_class(logits: Array, features: Array) -> Array:
    """`of_cross_entropy` with the predicted label, the first of equals."""
    checks.same_shape("of_predicted_class", rank=2, logits=logits)
    return of_cross_entropy(logits, features, argmax(jnp.asarray(logits)))
