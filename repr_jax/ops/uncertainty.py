"""How unsure logits are: one number a row, higher for what is more anomalous.

Logits are [..., num_classes] float and their scores [...]. A class of logit -inf has
probability 0 and adds 0; a row with a NaN has the score NaN. What lies beside the
largest probability is summed, not subtracted from 1, so that sure rows keep an order.
"""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import l2_normalize, pairwise_dot, to_float


def max_softmax(logits: Array) -> Array:
    """1 - max_c p_c, p = softmax(logits), in [0, 1).

    Source: Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and
      Out-of-Distribution Examples in Neural Networks", 2017,
      https://arxiv.org/abs/1610.02136.
    """
    return jnp.exp(_log_softmax("max_softmax", logits)[1])


def max_logit(logits: Array) -> Array:
    """-max_c logits_c, which a constant added to all logits lowers by as much.

    Source: Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World
      Settings", 2022, https://arxiv.org/abs/1911.11132.
    """
    checks.floating("max_logit", logits=logits)
    return -jnp.max(to_float(logits), axis=-1)


def energy(logits: Array, *, temperature: float | Array = 1.0) -> Array:
    """-temperature logsumexp(logits / temperature).

    The free energy of a classifier's logits, low where one of them is large. Adding a
    constant to all logits lowers it by as much; the softmax does not see that.

    Source: Liu et al., "Energy-based Out-of-distribution Detection", 2020, eq. 4,
      https://arxiv.org/abs/2010.03759.
    """
    checks.floating("energy", logits=logits)
    checks.positive("energy", temperature=temperature)
    logits = to_float(logits)
    return -temperature * jax.nn.logsumexp(logits / temperature, axis=-1)


def entropy(logits: Array) -> Array:
    """-sum_c p_c log p_c in nats, p = softmax(logits); log(num_classes) at most."""
    return _entropy(_log_softmax("entropy", logits)[0])


def generalized_entropy(logits: Array, *, gamma: float = 0.1, top: int = 100) -> Array:
    """sum_c p_c^gamma (1 - p_c)^gamma over the largest probabilities.

    Small probabilities count for much, so that only `top` classes do.

    Args:
      gamma: > 0; the entropy's part of Shannon's form goes to 0 faster.
      top: >= 1, or all classes where they are fewer. The paper writes M.

    Source: Liu, Lochman and Zach, "GEN: Pushing the Limits of Softmax-Based
      Out-of-Distribution Detection", 2023.
    """
    who = "generalized_entropy"
    checks.positive(who, gamma=gamma)
    checks.count(who, top=top)
    log_p, log_rest = _log_softmax(who, logits)
    log_p = -jnp.sort(-log_p, axis=-1)[..., :top]
    others = jnp.log1p(-jnp.minimum(jnp.exp(log_p[..., 1:]), 0.5))
    log_rest = jnp.concatenate([log_rest[..., None], others], axis=-1)
    return jnp.sum(jnp.exp(gamma * (log_p + log_rest)), axis=-1)


def mutual_information(logits: Array) -> Array:
    """H(mean_m p_m) - mean_m H(p_m): [members, ..., num_classes] -> [...] nats, >= 0.

    How much the members of an ensemble disagree, which more data would settle.

    Source: Houlsby et al., "Bayesian Active Learning for Classification and Preference
      Learning", 2011, eq. 2, https://arxiv.org/abs/1112.5745.
    """
    log_p, _ = _log_softmax("mutual_information", logits)
    mixed = jax.nn.logsumexp(log_p, axis=0) - jnp.log(len(log_p))
    return jnp.maximum(_entropy(mixed) - jnp.mean(_entropy(log_p), axis=0), 0.0)


def vacuity(evidence: Array) -> Array:
    """C / sum_c (evidence_c + 1), in (0, 1]: 1 without any evidence.

    evidence: [..., C] float >= 0, such as softplus of logits: a Dirichlet's
    concentrations less 1.

    Source: Sensoy, Kaplan and Kandemir, "Evidential Deep Learning to Quantify
      Classification Uncertainty", 2018, https://arxiv.org/abs/1806.01768.
    """
    checks.floating("vacuity", evidence=evidence)
    return 1 / (1 + jnp.mean(to_float(evidence), axis=-1))


def log_shares(
    who: str,
    x: Array,
    *,
    class_texts: Array,
    outlier_texts: Array,
    temperature: float | Array,
) -> tuple[Array, Array]:
    """Of softmax(cosines / temperature) with two sets of rows, the share of each.

    x [batch, dim], class_texts and outlier_texts [any number, dim] -> [batch]
    logarithms, twice. `losses.textual_outliers` says more.
    """
    checks.floating(who, class_texts=class_texts, outlier_texts=outlier_texts)
    checks.same_shape(who, rank=2, class_texts=class_texts)
    checks.same_shape(who, rank=2, outlier_texts=outlier_texts)
    dim = jnp.shape(x)[1]
    checks.shape(who, (len(class_texts), dim), class_texts=class_texts)
    checks.shape(who, (len(outlier_texts), dim), outlier_texts=outlier_texts)
    x = l2_normalize(x)
    of_classes, of_outliers = (
        jax.nn.logsumexp(pairwise_dot(x, l2_normalize(t)) / temperature, axis=1)
        for t in (class_texts, outlier_texts)
    )
    away = of_outliers - of_classes
    return jax.nn.log_sigmoid(-away), jax.nn.log_sigmoid(away)


def _entropy(log_p):
    """[..., C] -> [...]; a probability of 0 adds 0."""
    there = log_p > -jnp.inf
    terms = jnp.exp(log_p) * jnp.where(there, log_p, 0)
    return -jnp.sum(jnp.where(there | jnp.isnan(log_p), terms, 0), axis=-1)


def _log_softmax(who, logits):
    """log p; [...] log(1 - max p), both to the last digits where max p is near 1."""
    checks.floating(who, logits=logits)
    logits = to_float(logits)
    away = logits - jnp.max(logits, axis=-1, keepdims=True)
    first = jax.nn.one_hot(jnp.argmax(logits, axis=-1), logits.shape[-1], dtype=bool)
    rest = jax.nn.logsumexp(jnp.where(first, -jnp.inf, away), axis=-1)
    log_z = jnp.log1p(jnp.exp(rest))
    return away - log_z[..., None], rest - log_z
