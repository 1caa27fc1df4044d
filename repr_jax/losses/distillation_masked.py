"""Views with masked patches take the prototypes of a target network on a whole view."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.numerics import pairwise_dot, to_float
from repr_jax.ops.similarity import cosine
from repr_jax.ops.sinkhorn import balanced_assignment


def msn(
    anchors: Array,
    targets: Array,
    prototypes: Array,
    *,
    temperature: float | Array = 0.1,
    target_temperature: float | Array = 0.025,
    entropy_weight: float | Array = 1.0,
    prior: Array | None = None,
    num_steps: int = 3,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of the prototypes of masked views, which are to be used alike.

    -mean_vb sum_k q_bk log p_vbk + entropy_weight sum_k m_k log(m_k / prior_k), p =
    softmax(s / temperature) of the anchors, m its mean over views and rows, s cosines;
    q = `ops.sinkhorn.balanced_assignment` of softmax(s / target_temperature) of the
    targets, without gradient.

    Args:
      anchors: [view, batch, dim] float, any scale, of views with masked patches.
      targets: [batch, dim] float, any scale, of the target network on another view.
      prototypes: [prototype, dim] float, any scale, learned by the anchors.
      temperature: > 0. The paper writes tau.
      target_temperature: > 0; below `temperature` it sharpens. 0.25 times that, here.
      entropy_weight: >= 0. The paper writes lambda.
      prior: [prototype] float, > 0, of sum 1: the shares that prototypes are to have;
        None for equal ones. PMSN takes powers, arange(1, K + 1) ** -0.25 over its sum.
      num_steps: >= 1, of Sinkhorn's algorithm.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats; log(prototypes) if all prototypes are equal.

    Raises:
      ValueError: shapes that do not fit together. TypeError: integers.

    Source: Assran et al., "Masked Siamese Networks for Label-Efficient Learning", 2022,
      https://arxiv.org/abs/2204.07141; the prior, Assran et al., "The Hidden Uniform
      Cluster Prior in Self-Supervised Learning", 2022,
      https://arxiv.org/abs/2210.07277. That it is the second argument of the
      divergence, as equal shares are, is our reading.
    """
    checks.non_negative("msn", entropy_weight=entropy_weight)
    checks.positive(
        "msn", temperature=temperature, target_temperature=target_temperature
    )
    checks.same_shape("msn", rank=3, anchors=anchors)
    num_views, batch, dim = jnp.shape(anchors)
    anchors, where = checked_rows(
        "msn", where, rank=3, anchors=jnp.moveaxis(anchors, 1, 0)
    )
    checks.shape("msn", (batch, dim), targets=targets)
    targets, where = checked_rows("msn", where, targets=targets)
    checks.floating("msn", prototypes=prototypes)
    checks.shape("msn", (*jnp.shape(prototypes)[:1], dim), prototypes=prototypes)
    unit = cosine.prepare(prototypes)
    if prior is None:
        prior = jnp.full((len(unit),), 1 / len(unit), unit.dtype)
    checks.shape("msn", (len(unit),), prior=prior)
    checks.floating("msn", prior=prior)
    scores = pairwise_dot(cosine.prepare(targets), unit)
    log_q = jax.nn.log_softmax(lax.stop_gradient(scores) / target_temperature)
    split = dict(where=where, axis_name=axis_name)
    codes = balanced_assignment(log_q, epsilon=1.0, num_steps=num_steps, **split)
    flat = cosine.prepare(anchors).reshape(-1, dim)
    log_p = jax.nn.log_softmax(pairwise_dot(flat, unit) / temperature)
    log_p = log_p.reshape(batch, num_views, len(unit))
    terms = -jnp.sum(codes * jnp.mean(log_p, axis=1), axis=1)
    mean = masked_mean(jnp.mean(jnp.exp(log_p), axis=1), **split)
    log_mean = jnp.log(jnp.where(mean > 0, mean, 1))
    spread = jnp.sum(mean * (log_mean - jnp.log(to_float(prior))))
    return masked_mean(terms, **split) + entropy_weight * spread
