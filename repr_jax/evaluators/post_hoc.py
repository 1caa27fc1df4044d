"""Every score of outliers that needs a linear head and features of training rows.

Features are of any framework; each score is fitted to the training rows and has the
name that tables show. Higher is more anomalous.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from repr_jax import metrics
from repr_jax.estimators import ecod, knn_distance, mahalanobis, vim
from repr_jax.ops import activations, checks, uncertainty
from repr_jax.ops.numerics import l2_normalize, pairwise_dot

NEIGHBORS = 50  # of deep k-nearest neighbors, or half of a class's rows on average
GUIDES = 100  # neighbors of NNGuide
BANK = 1000  # training rows of NNGuide at least, or one in a hundred
RIDGE = 1e-4  # of covariances, of their mean variance


def fit(
    features,
    labels,
    weights,
    bias,
    *,
    seed: int = 0,
) -> dict[str, Callable[[Array], Array]]:
    """{name: [batch, dim] features -> [batch] scores}, compiled.

    Args:
      features: [rows, dim] float, of training rows.
      labels: [rows] int in [0, num_classes).
      weights: [num_classes, dim], bias: [num_classes] of the head: logits are features
        W^T + b.
      seed: of the training rows that NNGuide keeps.

    Returns:
      The scores; without those of ASH and SCALE where a feature is below 0, for which
      they have no meaning, and without ViM where there is one feature.

    Raises:
      ValueError, TypeError: shapes do not fit together, not finite, or integers.
    """
    who = "post_hoc.fit"
    features, weights, bias = (jnp.asarray(x) for x in (features, weights, bias))
    checks.same_shape(who, rank=2, features=features)
    checks.same_shape(who, rank=2, weights=weights)
    checks.floating(who, features=features, weights=weights, bias=bias)
    num_classes, dim = len(weights), features.shape[1]
    checks.shape(who, (num_classes, dim), weights=weights)
    checks.shape(who, (num_classes,), bias=bias)
    checks.finite(who, features=features, weights=weights, bias=bias)

    head = Partial(_linear, weights, bias)
    logits = head(features)
    found = _of_logits(head, logits)
    found |= _of_activations(head, features)
    found |= _of_head(head, features, logits, seed)
    found |= _of_features(features, labels, num_classes)
    return {name: partial(_compiled, score) for name, score in found.items()}


@jax.jit
def _compiled(score, x):
    """score(x); what was fitted is an argument, as constants are slow to compile."""
    return score(x)


def _linear(weights, bias, x):
    return pairwise_dot(x, weights) + bias[None]


def _after(score, inner, x):
    return score(inner(x))


def _of_logits(head, logits):
    templates = metrics.kl_templates(logits)
    scores = {
        "largest softmax": Partial(uncertainty.max_softmax),
        "largest logit": Partial(uncertainty.max_logit),
        "energy": Partial(uncertainty.energy),
        "entropy": Partial(uncertainty.entropy),
        "GEN": Partial(uncertainty.generalized_entropy),
        "KL matching": Partial(metrics.kl_matching, templates=templates),
    }
    return {name: Partial(_after, score, head) for name, score in scores.items()}


def _of_activations(head, features):
    weights, bias = head.args
    threshold = activations.react_threshold(features)
    sparse = activations.dice(weights, jnp.mean(features, axis=0))
    shapes = {"ReAct": Partial(activations.react, threshold=threshold)}
    if float(jnp.min(features)) >= 0:
        shapes |= {
            "ASH-S": Partial(activations.ash_s),
            "ASH-B": Partial(activations.ash_b),
            "SCALE": Partial(activations.scale),
        }
    logits = {name: Partial(_after, head, shape) for name, shape in shapes.items()}
    logits["DICE"] = Partial(_linear, sparse, bias)
    energy = Partial(uncertainty.energy)
    return {name: Partial(_after, energy, f) for name, f in logits.items()}


def _of_head(head, features, logits, seed):
    weights, bias = head.args
    kept = min(len(features), max(BANK, len(features) // 100))
    rows = np.random.default_rng(seed).permutation(len(features))[:kept]
    bank = dict(bank_logits=logits[rows], bank=features[rows])
    guided = partial(metrics.nn_guide, num_neighbors=min(GUIDES, kept))
    boundary = dict(weights=weights, mean=jnp.mean(features, axis=0))
    found = {
        "GradNorm": Partial(_of_both, Partial(metrics.grad_norm), head),
        "NNGuide": Partial(_of_both, Partial(guided, **bank), head),
        "fDBD": Partial(_of_both, Partial(metrics.decision_boundary, **boundary), head),
    }
    if features.shape[1] > 1:
        fitted = vim.fit(features, weights, bias)
        found["ViM"] = Partial(vim.score, fitted)
        found["residual"] = Partial(vim.residual_score, fitted)
    return found


def _of_both(score, head, x):
    return score(head(x), x)


def _of_features(features, labels, num_classes):
    gaussian = mahalanobis.fit(features, labels, num_classes=num_classes, ridge=RIDGE)
    nearest = max(1, min(NEIGHBORS, len(features) // (2 * num_classes)))
    near = partial(knn_distance.score, num_neighbors=nearest)
    stored = Partial(near, knn_distance.fit(l2_normalize(features)))
    return {
        "Mahalanobis": Partial(mahalanobis.score, gaussian),
        "relative Mahalanobis": Partial(mahalanobis.relative_score, gaussian),
        "nearest neighbors": Partial(_after, stored, Partial(l2_normalize)),
        "ECOD": Partial(ecod.score, ecod.fit(features)),
    }
