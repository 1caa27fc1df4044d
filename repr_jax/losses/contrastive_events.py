"""Contrastive loss of events: tuples of one entity of each of several types."""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean, present
from repr_jax.ops.numerics import to_float


def event_nce(
    scores: Array,
    negative_scores: Array,
    log_noise: Array,
    negative_log_noise: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Noise contrastive estimation of the log probability of events: APE.

    mean_i [ -log sigma(S_i - log k P_i) - sum_j log sigma(-(S_ij - log k P_ij)) ]: an
    event against k others in which one entity was replaced by a draw from P, of counts
    to the power 0.75, say. The event's own P is of the replaced type too.

    Args:
      scores: [batch] float, S, such as `ops.events.score`, high for likely events.
      negative_scores: [batch, k] float, of the events with a replaced entity.
      log_noise: [batch] float, log P of the entity that was replaced.
      negative_log_noise: [batch, k] float, of those in its place.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, >= 0; the scores at its minimum are log probabilities.

    Raises:
      ValueError: shapes that do not fit. TypeError: integers.

    Source: Chen et al., "Entity Embedding-based Anomaly Detection for Heterogeneous
      Categorical Events", 2016, https://arxiv.org/abs/1608.07502. A public
      implementation writes 10 for k, whatever k is.
    """
    who = "event_nce"
    scores, log_noise, where = checked_rows(
        who, where, rank=1, scores=scores, log_noise=log_noise
    )
    negatives = dict(
        negative_scores=negative_scores, negative_log_noise=negative_log_noise
    )
    checks.same_shape(who, rank=2, **negatives)
    checks.rows(who, len(scores), negative_scores=negative_scores)
    checks.floating(who, **negatives)
    negative, noise = (present(to_float(x), where) for x in negatives.values())
    log_k = jnp.log(jnp.asarray(negative.shape[1], negative.dtype))
    right = -jax.nn.log_sigmoid(scores - log_noise - log_k)
    wrong = -jnp.sum(jax.nn.log_sigmoid(noise + log_k - negative), axis=1)
    return masked_mean(right + wrong, where=where, axis_name=axis_name)
