"""Losses whose labels are predictions: of another view, network or modality.

Logits are [batch, num_classes] float. Predictions that serve as labels get no gradient.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.classification import soft_cross_entropy
from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.numerics import one_hot


def fixmatch(
    weak: Array,
    strong: Array,
    *,
    threshold: float | Array = 0.95,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of a strong view with the class that a weak view is sure of.

    -mean_i [ max_c p_ic >= threshold ] log softmax(strong_i)_y, p = softmax(weak), y
    its largest entry. The mean is over all rows, also those below the threshold.

    Args:
      weak, strong: [batch, num_classes] float logits of two views of each example.
      threshold: in [0, 1]. The paper writes tau.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, >= 0; 0 if no row reaches the threshold.

    Raises:
      ValueError: the two are not of one shape [batch, num_classes].
      TypeError: integers.

    Source: Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with
      Consistency and Confidence", 2020, eq. 4, https://arxiv.org/abs/2001.07685. The
      cross-entropy of labeled rows is added outside, and this times their lambda_u.
    """
    checks.fraction("fixmatch", threshold=threshold)
    weak, strong, where = checked_rows("fixmatch", where, weak=weak, strong=strong)
    targets = _sure(jax.nn.softmax(lax.stop_gradient(weak)), threshold)
    return soft_cross_entropy(strong, targets, where=where, axis_name=axis_name)


def selective_pseudo_label(
    local_weak: Array,
    global_weak: Array,
    strong: Array,
    *,
    threshold: float | Array = 0.95,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`fixmatch` with the label of the surer of two networks.

    -mean_i [ max_c p_ic >= threshold ] log softmax(strong_i)_y, p of local_weak or, if
    its largest entry is larger, of global_weak. The consistency of the two is
    `agreeing_kl`.

    Args:
      local_weak, global_weak: [batch, num_classes] float logits of a client's network
        and of the global one on a weak view of each example.
      strong: [batch, num_classes] float logits of the client's on a strong view.
      threshold: in [0, 1].
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, >= 0.

    Raises:
      ValueError: the three are not of one shape [batch, num_classes].
      TypeError: integers.

    Source: Cho, Joshi and Dimitriadis, "Local or Global: Selective Knowledge
      Assimilation for Federated Learning with Limited Labels", 2023,
      https://arxiv.org/abs/2307.08809. That the larger probability tells the expert,
      and the threshold, are our choice.
    """
    who = "selective_pseudo_label"
    checks.fraction(who, threshold=threshold)
    local_weak, global_weak, strong, where = checked_rows(
        who, where, local_weak=local_weak, global_weak=global_weak, strong=strong
    )
    own, other = (
        jax.nn.softmax(lax.stop_gradient(x)) for x in (local_weak, global_weak)
    )
    surest = [jnp.max(p, axis=1, keepdims=True) for p in (own, other)]
    p = jnp.where(surest[1] > surest[0], other, own)
    targets = _sure(p, threshold) + 0 * other  # NaN stays NaN
    return soft_cross_entropy(strong, targets, where=where, axis_name=axis_name)


def agreeing_kl(
    local_logits: Array,
    global_logits: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """KL of a local from a global prediction, where both say the same class.

    mean_i [ argmax q_i = argmax p_i ] kl(q_i, p_i), q = softmax(global_logits) without
    gradient, p = softmax(local_logits). The mean is over all rows.

    Args:
      local_logits, global_logits: [batch, num_classes] float.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, >= 0; 0 if the two are equal, or nowhere agree.

    Raises:
      ValueError: the two are not of one shape [batch, num_classes].
      TypeError: integers.

    Source: as `selective_pseudo_label`.
    """
    local_logits, global_logits, where = checked_rows(
        "agreeing_kl", where, local_logits=local_logits, global_logits=global_logits
    )
    log_q = jax.nn.log_softmax(lax.stop_gradient(global_logits))
    log_p = jax.nn.log_softmax(local_logits)
    terms = jnp.sum(jnp.exp(log_q) * (log_q - log_p), axis=1)
    differ = jnp.argmax(log_q, axis=1) != jnp.argmax(log_p, axis=1)
    terms = jnp.where(differ & ~jnp.isnan(terms), 0, terms)
    return masked_mean(terms, where=where, axis_name=axis_name)


def pseudo_class(
    images: Array,
    captions: Array,
    *,
    entropy_weight: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of images with the classes of their captions, less their entropy.

    -mean_i [ log p_i,y(i) + entropy_weight H(p_i) ], p = softmax(images), y(i) the
    largest entry of captions_i, H the entropy of a row. The classes have no labels: a
    head that both modalities share finds them.

    Args:
      images, captions: [batch, num_classes] float logits.
      entropy_weight: >= 0. The paper writes lambda_en.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats; (1 - entropy_weight) log(num_classes) of equal logits.

    Raises:
      ValueError: the two are not of one shape [batch, num_classes].
      TypeError: integers.

    Source: Duan et al., "PC2: Pseudo-Classification Based Pseudo-Captioning for Noisy
      Correspondence Learning in Cross-Modal Retrieval", 2024,
      https://arxiv.org/abs/2408.01349, as in the authors' code: in one direction only.
    """
    who = "pseudo_class"
    checks.non_negative(who, entropy_weight=entropy_weight)
    images, captions, where = checked_rows(who, where, images=images, captions=captions)
    targets = _sure(jax.nn.softmax(lax.stop_gradient(captions)), 0.0)
    surprise = soft_cross_entropy(images, targets, where=where, axis_name=axis_name)
    log_p = jax.nn.log_softmax(images)
    entropy = -jnp.sum(jnp.exp(log_p) * log_p, axis=1)
    entropy = masked_mean(entropy, where=where, axis_name=axis_name)
    return surprise - entropy_weight * entropy


def _sure(p, threshold):
    """The one-hot code of the largest entry, 0 if it is below the threshold."""
    largest = jnp.max(p, axis=1, keepdims=True)
    code = one_hot(jnp.argmax(p, axis=1), p.shape[1], dtype=p.dtype)
    return jnp.where(largest < threshold, 0, code) + 0 * largest  # NaN stays NaN
