"""Scores of rows by a trained linear head and features of training rows.

Common to all: features [batch, dim] and their logits [batch, num_classes], features
W^T + b, are float; a score is [batch], higher for what is more anomalous. `bank` and
`bank_logits` are those of training rows. Scores of logits alone are in
`ops.uncertainty`, features reshaped for them in `ops.activations`; those that need a
fit are estimators: `mahalanobis`, `knn_distance`, `vim`, `ecod`.

ValueError for shapes that do not fit together, TypeError for integers.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows
from repr_jax.ops.class_statistics import class_means
from repr_jax.ops.neighbors import between
from repr_jax.ops.numerics import argmax, l2_normalize, pairwise_dot, to_float
from repr_jax.ops.similarity import dot
from repr_jax.ops.uncertainty import energy, max_softmax

LEAST = 1e-12  # probability of a class in a template


def grad_norm(logits: Array, features: Array) -> Array:
    """-sum_c |C p_c - 1| sum_d |features_d|, p = softmax(logits), C classes.

    The 1-norm of the gradient, in the head's weights, of the cross-entropy to a target
    of ones, in closed form.

    Source: Huang, Geng and Li, "On the Importance of Gradients for Detecting
      Distributional Shifts in the Wild", 2021,
      https://arxiv.org/abs/2110.00218.
    """
    logits, features = _checked("grad_norm", logits, features)
    away = logits.shape[1] * jax.nn.softmax(logits, axis=1) - 1
    return -jnp.sum(jnp.abs(away), axis=1) * jnp.sum(jnp.abs(features), axis=1)


def nn_guide(
    logits: Array,
    features: Array,
    bank_logits: Array,
    bank: Array,
    *,
    num_neighbors: int = 100,
) -> Array:
    """energy(logits) times the mean of the largest cos(features, bank_i) (-energy_i).

    num_neighbors: at most the rows of the bank; the paper's has 1 % of the training
    rows, and 10 to 100 neighbors.

    Source: Park, Jung and Teoh, "Nearest Neighbor Guidance for Out-of-Distribution
      Detection", 2023, https://arxiv.org/abs/2309.14888.
    """
    logits, features = _checked("nn_guide", logits, features)
    bank_logits, bank = _checked("nn_guide", bank_logits, bank)
    guides = l2_normalize(bank) * -energy(bank_logits)[:, None]
    values, _ = between(
        l2_normalize(features), guides, num_neighbors=num_neighbors, similarity=dot
    )
    return energy(logits) * jnp.mean(values, axis=1)


def decision_boundary(
    logits: Array, features: Array, weights: Array, mean: Array
) -> Array:
    """-sum_c |z_max - z_c| / |w_max - w_c| / |features - mean|, z the logits.

    How far the features are from the boundaries of the predicted class, relative to
    how far they are from the mean of the training features; summed over other classes,
    so that figures of codes that take the mean are this over num_classes - 1.

    Args:
      weights: [num_classes, dim] of the head.
      mean: [dim] of the training features.

    Source: Liu and Qin, "Fast Decision Boundary based Out-of-Distribution Detector",
      2024, https://arxiv.org/abs/2312.11536.
    """
    who = "decision_boundary"
    logits, features = _checked(who, logits, features)
    checks.floating(who, weights=weights, mean=mean)
    checks.shape(who, (logits.shape[1], features.shape[1]), weights=weights)
    checks.shape(who, features.shape[1:], mean=mean)
    weights = to_float(weights)
    apart = lax.map(lambda w: jnp.linalg.norm(weights - w[None], axis=1), weights)
    apart = apart[argmax(logits)]  # [batch, num_classes], 0 of the class itself
    away = jnp.max(logits, axis=1, keepdims=True) - logits
    margins = jnp.where(apart > 0, away / jnp.where(apart > 0, apart, 1), 0)
    margins = jnp.where(jnp.isnan(away), jnp.nan, margins)
    radius = jnp.linalg.norm(features - to_float(mean)[None], axis=1)
    return -jnp.sum(margins, axis=1) / radius


def kl_templates(
    logits: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """[num_classes, num_classes]: row k is the mean softmax of the rows predicted k.

    For `kl_matching`; of training rows, the absent ones marked by a False in `where`.
    The one-hot code for a class that is predicted for none.
    """
    logits, where = checked_rows("kl_templates", where, logits=logits)
    options = dict(num_classes=logits.shape[1], where=where, axis_name=axis_name)
    p = jax.nn.softmax(logits, axis=1)
    counts, means = class_means(p, argmax(logits), **options)
    return jnp.where(counts[:, None] > 0, means, jnp.eye(len(means), dtype=p.dtype))


def kl_matching(logits: Array, templates: Array) -> Array:
    """min_k KL(softmax(logits) || templates_k) in nats.

    templates: [num_classes, num_classes], from `kl_templates`; no entry counts as
    smaller than 1e-12.

    Source: Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World
      Settings", 2022, https://arxiv.org/abs/1911.11132.
    """
    who = "kl_matching"
    checks.same_shape(who, rank=2, logits=logits)
    checks.floating(who, logits=logits, templates=templates)
    num_classes = jnp.shape(logits)[1]
    checks.shape(who, (num_classes, num_classes), templates=templates)
    log_p = jax.nn.log_softmax(to_float(logits), axis=1)
    p = jnp.exp(log_p)
    own = jnp.sum(jnp.where(p == 0, 0, p * log_p), axis=1)
    log_templates = jnp.log(jnp.maximum(to_float(templates), LEAST))
    return own - jnp.max(pairwise_dot(p, log_templates), axis=1)


def odin(
    logits: Callable[[Array], Array],
    x: Array,
    *,
    temperature: float = 1000.0,
    epsilon: float = 0.0014,
) -> Array:
    """`max_softmax` at a high temperature of inputs moved towards their prediction.

    x - epsilon sign(gradient of the cross-entropy of the predicted class), the logits
    over the temperature in both places.

    Args:
      logits: [batch, ...] -> [batch, num_classes], differentiable, row by row.
      x: [batch, ...] float inputs.
      temperature: > 0.
      epsilon: >= 0, in units of x; the paper's pixels are standardized.

    Source: Liang, Li and Srikant, "Enhancing The Reliability of Out-of-distribution
      Image Detection in Neural Networks", 2018, eqs. 1 and 2,
      https://arxiv.org/abs/1706.02690.
    """
    checks.floating("odin", x=x)
    checks.positive("odin", temperature=temperature)
    checks.non_negative("odin", epsilon=epsilon)
    x = to_float(x)

    def sureness(x):
        return jnp.sum(jnp.max(jax.nn.log_softmax(logits(x) / temperature), axis=-1))

    moved = x + epsilon * jnp.sign(jax.grad(sureness)(x))
    return max_softmax(logits(moved) / temperature)


def _checked(who, logits, features):
    """Both in float."""
    checks.same_shape(who, rank=2, logits=logits)
    checks.same_shape(who, rank=2, features=features)
    checks.floating(who, logits=logits, features=features)
    checks.rows(who, len(logits), features=features)
    return to_float(logits), to_float(features)
