"""Features reshaped before a linear head, so that its energy tells outliers better.

features: [..., dim] float >= 0, as after a ReLU, of which the head takes logits: then
`ops.uncertainty.energy` of these is the score. A feature of NaN stays NaN.
"""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows
from repr_jax.ops.numerics import to_float


def react_threshold(
    bank: Array, *, quantile: float = 0.9, where: Array | None = None
) -> Array:
    """[] the quantile of all entries of training features, [batch, dim], for `react`.

    where: [batch] bool, False for absent rows. Interpolates linearly.
    """
    who = "react_threshold"
    checks.fraction(who, quantile=quantile)
    bank, where = checked_rows(who, where, bank=bank)
    checks.finite(who, bank=bank)
    entries = jnp.where(where[:, None], bank, jnp.nan)
    return jnp.nanquantile(entries, quantile)


def react(features: Array, threshold: float | Array) -> Array:
    """min(features, threshold): no feature is larger than most are in training.

    Source: Sun, Guo and Li, "ReAct: Out-of-distribution Detection With Rectified
      Activations", 2021, https://arxiv.org/abs/2111.12797.
    """
    checks.floating("react", features=features)
    return jnp.minimum(to_float(features), threshold)


def ash_s(features: Array, *, share: float = 0.65) -> Array:
    """The largest features alone, times exp(S / S_kept), S sums over a row.

    share: of the dim features, in [0, 1), those that become 0. Public codes have 0.65
    and 0.9.

    Source: Djurisic et al., "Extremely Simple Activation Shaping for
      Out-of-Distribution Detection", 2023, https://arxiv.org/abs/2209.09858.
    """
    features, kept = _pruned("ash_s", features, share)
    return jnp.where(kept, features, 0) * _boost(features, kept)


def ash_b(features: Array, *, share: float = 0.65) -> Array:
    """As `ash_s`, but the features that are kept share the row's sum equally.

    Source: as `ash_s`.
    """
    features, kept = _pruned("ash_b", features, share)
    total = jnp.sum(features, axis=-1, keepdims=True)
    return jnp.where(kept, total / jnp.sum(kept, axis=-1, keepdims=True), 0)


def scale(features: Array, *, share: float = 0.85) -> Array:
    """All features times the factor of `ash_s`; none becomes 0.

    Source: Xu et al., "Scaling for Training Time and Post-hoc Out-of-distribution
      Detection Enhancement", 2024, https://arxiv.org/abs/2310.00227.
    """
    features, kept = _pruned("scale", features, share)
    return features * _boost(features, kept)


def dice(weights: Array, mean: Array, *, share: float = 0.9) -> Array:
    """Weights of the head, without those that contribute little in training.

    W_cd stays where mean_d W_cd is above the `share` quantile of all such products.

    Args:
      weights: [num_classes, dim] float.
      mean: [dim] float, mean of the training features.
      share: in [0, 1], about the share of weights that become 0.

    Source: Sun and Li, "DICE: Leveraging Sparsification for Out-of-Distribution
      Detection", 2022, https://arxiv.org/abs/2111.09805.
    """
    checks.same_shape("dice", rank=2, weights=weights)
    checks.floating("dice", weights=weights, mean=mean)
    checks.shape("dice", jnp.shape(weights)[1:], mean=mean)
    checks.fraction("dice", share=share)
    weights = to_float(weights)
    parts = to_float(mean)[None] * weights
    return jnp.where(parts > jnp.quantile(parts, share), weights, 0)


def _pruned(who, features, share):
    """The features; which are among the largest, the first of equals."""
    checks.floating(who, features=features)
    checks.non_negative(who, share=share)
    features = to_float(features)
    dim = features.shape[-1]
    num_kept = dim - round(share * dim)
    checks.positive(who, **{"(1 - share) dim, rounded,": num_kept})
    rank = jnp.argsort(jnp.argsort(-features, axis=-1), axis=-1)
    return features, rank < num_kept


def _boost(features, kept):
    """exp(S / S_kept); e in a row of zeros."""
    total = jnp.sum(features, axis=-1, keepdims=True)
    some = jnp.sum(jnp.where(kept, features, 0), axis=-1, keepdims=True)
    return jnp.exp(jnp.where(some == 0, 1, total / jnp.where(some == 0, 1, some)))
