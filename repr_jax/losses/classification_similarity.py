"""Cross-entropy of a softmax that knows how near the training data are."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.numerics import one_hot
from repr_jax.ops.sdm import scales


def sdm(
    logits: Array,
    labels: Array,
    num_matches: Array,
    closeness: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Similarity-distance-magnitude: log loss in base 2 + q of a softmax in that base.

    -mean_i log_{2 + q_i} p_i,label, p_ic = (2 + q_i)^(d_i z_ic) / sum_k (2 + q_i)^(d_i
    z_ik), q how many of the nearest training rows agree and d how close they are. What
    is like nothing known, q = d = 0, has equal probabilities.

    Args:
      logits: [batch, num_classes] float, z.
      labels: [batch] int in [0, num_classes).
      num_matches: [batch] float or int >= 0, q of `estimators.sdm`; e - 2 in the first
        epoch, which with d = 1 is the usual cross-entropy. Without gradient.
      closeness: [batch] float in [0, 1], d. Without gradient.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar, >= 0.

    Raises:
      ValueError: shapes that do not fit. TypeError: integer logits, other labels.

    Source: Schmaltz, "Similarity-Distance-Magnitude Activations", 2025,
      https://arxiv.org/abs/2509.12760, as in the author's code.
    """
    who = "sdm"
    logits, where = checked_rows(who, where, logits=logits)
    rows = dict(labels=labels, num_matches=num_matches, closeness=closeness)
    checks.shape(who, where.shape, **rows)
    checks.integers(who, labels=labels)
    q = jnp.where(where, lax.stop_gradient(jnp.asarray(num_matches)), 0)
    d = jnp.where(where, lax.stop_gradient(jnp.asarray(closeness)), 0)
    q, d = q.astype(logits.dtype), d.astype(logits.dtype)
    log_p = jax.nn.log_softmax(scales(q, d)[:, None] * logits, axis=-1)
    target = one_hot(labels, logits.shape[1], dtype=log_p.dtype)
    terms = -jnp.sum(jnp.where(target > 0, log_p, 0), axis=-1) / jnp.log(2 + q)
    return masked_mean(terms, where=where, axis_name=axis_name)
