"""Two views of an example are to be alike to all other examples."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.contrastive import check_options
from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean
from repr_jax.ops.similarity import cosine


def co2(
    queries: Array,
    keys: Array,
    queue: Array,
    *,
    temperature: float | Array = 0.05,
    queue_where: Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Queries and keys divide their similarity to stored rows alike.

    mean_i [ KL(p_i, q_i) + KL(q_i, p_i) ] / 2, q_i = softmax_k(cos(queries_i, queue_k)
    / temperature), p_i that of the keys. Keys and queue get no gradient. Added to
    `moco`, by a weight; compares all pairs at once.

    Args:
      queries, keys: [batch, dim] float, any scale, of the online and of the target
        network, row i of both of example i.
      queue: [size, dim] float, such as `ops.queue.Queue.rows`, equal on all devices.
      temperature: > 0, not that of `moco`. The default is our choice.
      queue_where: [size] bool, False for empty places; None if all are filled.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, >= 0; 0 if queries equal keys.

    Raises:
      ValueError: shapes that do not fit. TypeError: integers.

    Source: Wei et al., "CO2: Consistent Contrast for Unsupervised Visual Representation
      Learning", 2021, https://arxiv.org/abs/2010.02217.
    """
    check_options("co2", temperature, None, axis_name)
    queries, keys, where = checked_rows("co2", where, queries=queries, keys=keys)
    queue, queue_where = checked_rows("co2", queue_where, queue=queue)
    checks.shape("co2", (len(queue), queries.shape[1]), queue=queue)
    keys, queue = lax.stop_gradient((keys, cosine.prepare(queue)))
    log_q, log_p = (
        _log_shares(x, queue, queue_where, temperature) for x in (queries, keys)
    )
    # (p - q) (log p - log q) is p log(p / q) + q log(q / p)
    terms = jnp.sum((jnp.exp(log_p) - jnp.exp(log_q)) * (log_p - log_q), axis=1) / 2
    return masked_mean(terms, where=where, axis_name=axis_name)


def _log_shares(x, queue, queue_where, temperature):
    """[batch, size] log softmax over the filled places; 0 at the others."""
    logits = cosine.of_pairs(cosine.prepare(x), queue) / temperature
    lowest = jnp.finfo(logits.dtype).min
    log_shares = jax.nn.log_softmax(jnp.where(queue_where[None], logits, lowest))
    return jnp.where(queue_where[None], log_shares, 0)
