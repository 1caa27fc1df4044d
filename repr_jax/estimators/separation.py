"""A linear boundary in features between clean rows and rows of large losses.

A network that learns has small losses on most clean rows, and on some wrong ones; where
features were learned without labels, a boundary between what is surely clean and surely
wrong tells the rest apart by place rather than by loss.

Source: Albert et al., "An Accurate Detection Is Not All You Need to Combat Label Noise
  in Web-Noisy Datasets", 2024, https://arxiv.org/abs/2407.05528, as in the authors'
  code, which takes turns by epoch between this mask and that of the losses.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from repr_jax.estimators import logistic, loss_mixture
from repr_jax.ops import checks
from repr_jax.ops.batch import checked_queries, finite_rows, masked_mean
from repr_jax.ops.numerics import pairwise_dot


class Separation(NamedTuple):
    """What was fitted."""

    losses: loss_mixture.LossMixture
    center: Array  # [dim], of the rows that the boundary is fitted to
    weights: Array  # [dim], of the log-odds of being noisy
    bias: Array  # [], the log-odds at the center


def fit(
    x: Array,
    losses: Array,
    *,
    trust: float = 0.95,
    num_steps: int = 10,
    penalty: float = 1.0,
    where: Array | None = None,
) -> Separation:
    """Logistic regression between rows that a mixture of the losses is sure of.

    Rows are noisy where `loss_mixture.clean_probability` is below 1 - trust, clean
    where it is above trust, and else have no part. Both kinds have the same total
    weight.

    Args:
      x: [batch, dim] float, features that labels had no part in, such as contrastive;
        each is scaled to its spread.
      losses: [batch] float, of the network on the labels.
      trust: in [0.5, 1).
      num_steps: of the mixture.
      penalty: > 0, as of `logistic`. The authors have none; it keeps the weights
        finite where the kinds are separable.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes do not fit; not finite (where traced, such a row is absent); a
        number out of range. TypeError: integers.
    """
    who = "separation.fit"
    checks.fraction(who, trust=trust)
    checks.non_negative(who, **{"trust - 1/2": trust - 0.5})
    x, where = finite_rows(who, where, x=x)
    checks.rows(who, len(x), losses=losses)
    losses, where = finite_rows(who, where, rank=1, losses=losses)
    mixture = loss_mixture.fit(losses, num_steps=num_steps, where=where)
    clean = loss_mixture.clean_probability(mixture, losses)
    noisy, sure = clean < 1 - trust, where & ((clean < 1 - trust) | (clean > trust))
    scale = jnp.sqrt(
        masked_mean((x - masked_mean(x, where=where)[None]) ** 2, where=where)
    )
    scale = jnp.where(scale > 0, scale, 1)
    share = masked_mean(noisy.astype(x.dtype), where=sure)
    weights = 0.5 / jnp.where(noisy, share, 1 - share)
    boundary = logistic.fit(
        x / scale[None],
        noisy.astype(jnp.int32),
        num_classes=2,
        penalty=penalty,
        weights=jnp.where(sure, weights, 0),
        where=sure,
    )
    center = boundary.center * scale
    weights = (boundary.weights[:, 1] - boundary.weights[:, 0]) / scale
    bias = boundary.center_logits[1] - boundary.center_logits[0]
    return Separation(mixture, center, weights, bias)


def score(fitted: Separation, x: Array) -> Array:
    """[batch, dim] -> [batch] log-odds of being noisy.

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite.
    """
    x = checked_queries("separation.score", fitted.weights.shape, x=x)
    away = pairwise_dot(x - fitted.center[None], fitted.weights[None])
    return away[:, 0] + fitted.bias


def noisy(fitted: Separation, x: Array) -> Array:
    """[batch, dim] -> [batch] bool, on the noisy side of the boundary; see `score`."""
    return score(fitted, x) > 0
