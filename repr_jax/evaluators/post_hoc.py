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

    def head(x, weights=weights):
        return pairwise_dot(x, weights) + bias[None]

    found = _of_logits(head, head(features))
    found |= _of_activations(head, features, weights)
    found |= _of_head(head, features, weights, bias, seed)
    found |= _of_features(features, labels, num_classes)
    return {name: jax.jit(score) for name, score in found.items()}


def _of_logits(head, logits):
    templates = metrics.kl_templates(logits)
    scores = {
        "largest softmax": uncertainty.max_softmax,
        "largest logit": uncertainty.max_logit,
        "energy": uncertainty.energy,
        "entropy": uncertainty.entropy,
        "GEN": uncertainty.generalized_entropy,
        "KL matching": partial(metrics.kl_matching, templates=templates),
    }
    return {name: _after(head, score) for name, score in scores.items()}


def _of_activations(head, features, weights):
    threshold = activations.react_threshold(features)
    sparse = activations.dice(weights, jnp.mean(features, axis=0))
    reshaped = {"ReAct": lambda x: head(activations.react(x, threshold))}
    if float(jnp.min(features)) >= 0:
        reshaped |= {
            "ASH-S": lambda x: head(activations.ash_s(x)),
            "ASH-B": lambda x: head(activations.ash_b(x)),
            "SCALE": lambda x: head(activations.scale(x)),
        }
    reshaped["DICE"] = lambda x: head(x, sparse)
    return {name: _after(f, uncertainty.energy) for name, f in reshaped.items()}


def _of_head(head, features, weights, bias, seed):
    mean = jnp.mean(features, axis=0)
    kept = min(len(features), max(BANK, len(features) // 100))
    rows = np.random.default_rng(seed).permutation(len(features))[:kept]
    bank, guides = features[rows], min(GUIDES, kept)
    found = {
        "GradNorm": lambda x: metrics.grad_norm(head(x), x),
        "NNGuide": lambda x: metrics.nn_guide(
            head(x), x, head(bank), bank, num_neighbors=guides
        ),
        "fDBD": lambda x: metrics.decision_boundary(head(x), x, weights, mean),
    }
    if features.shape[1] > 1:
        fitted = vim.fit(features, weights, bias)
        found["ViM"] = partial(vim.score, fitted)
        found["residual"] = partial(vim.residual_score, fitted)
    return found


def _of_features(features, labels, num_classes):
    gaussian = mahalanobis.fit(features, labels, num_classes=num_classes, ridge=RIDGE)
    stored = knn_distance.fit(l2_normalize(features))
    nearest = max(1, min(NEIGHBORS, len(features) // (2 * num_classes)))
    tails = ecod.fit(features)
    return {
        "Mahalanobis": partial(mahalanobis.score, gaussian),
        "relative Mahalanobis": partial(mahalanobis.relative_score, gaussian),
        "nearest neighbors": lambda x: knn_distance.score(
            stored, l2_normalize(x), num_neighbors=nearest
        ),
        "ECOD": partial(ecod.score, tails),
    }


def _after(head, score):
    return lambda x: score(head(x))
