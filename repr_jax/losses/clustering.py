"""Losses that assign examples to clusters, of logits that heads on features return.

Heads, or spaces of features, are on the first axis of every array of logits and rows on
the second. Rows of `where` are rows of all heads.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where, log_mean_exp, masked_mean, present
from repr_jax.ops.numerics import to_float


def temi(
    online_a: Array,
    online_b: Array,
    target_a: Array,
    target_b: Array,
    target_marginal: Array,
    *,
    power: float | Array = 0.6,
    temperature: float | Array = 0.1,
    target_temperature: float | Array = 0.1,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Pointwise mutual information of neighbors' clusters, negated and weighted.

    mean_hi weight_i [l_h(online_a_i, target_b_i) + l_h(online_b_i, target_a_i)] / 2,
      l_h(x, y) = -log sum_k (p_hk(x) q_hk(y))^power / target_marginal_hk,
      weight_i = mean_h sum_k q_hk(target_a_i) q_hk(target_b_i),

    over heads h and pairs i, where p = softmax(online / temperature) and q =
    softmax(target / target_temperature). All heads share the weight, how surely they
    find both in one cluster. Targets, weights and marginal get no gradient.

    Args:
      online_a, online_b: [head, batch, class] float, logits of pairs of neighbors.
      target_a, target_b: the same of the target network, such as a moving average.
      target_marginal: [head, class] float, > 0, mean probabilities of the target over
        many batches, such as a moving average; rows sum to 1.
      power: > 0; 1 is mutual information itself. The paper writes beta.
      temperature, target_temperature: > 0.
      where: [batch] bool, False for absent pairs; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats; -log(class) if all are sure, agree, and the marginal is
      uniform.

    Raises:
      ValueError: shapes that do not fit together; numbers not above 0.
      TypeError: integers; a `where` that is not bool.

    Source: Adaloglou et al., "Exploring the Limits of Deep Image Clustering using
      Pretrained Models", 2023, https://arxiv.org/abs/2303.17896, as in their code.
    """
    losses = temi_of_heads(
        online_a,
        online_b,
        target_a,
        target_b,
        target_marginal,
        power=power,
        temperature=temperature,
        target_temperature=target_temperature,
        where=where,
        axis_name=axis_name,
    )
    return jnp.mean(losses)


def temi_of_heads(
    online_a: Array,
    online_b: Array,
    target_a: Array,
    target_b: Array,
    target_marginal: Array,
    *,
    power: float | Array = 0.6,
    temperature: float | Array = 0.1,
    target_temperature: float | Array = 0.1,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[head], whose mean is `temi`: the share of each head, to choose one by."""
    logits = dict(
        online_a=online_a, online_b=online_b, target_a=target_a, target_b=target_b
    )
    where = _where("temi", where, **logits)
    shape = (len(online_a), online_a.shape[2])
    checks.shape("temi", shape, target_marginal=target_marginal)
    checks.floating("temi", target_marginal=target_marginal)
    temperatures = dict(temperature=temperature, target_temperature=target_temperature)
    checks.positive("temi", power=power, **temperatures)
    online = (_log_softmax(x, where, temperature) for x in (online_a, online_b))
    target = [_log_softmax(x, where, target_temperature) for x in (target_a, target_b)]
    target, marginal = lax.stop_gradient((target, to_float(target_marginal)))
    log_marginal = jnp.log(jnp.maximum(marginal, jnp.finfo(marginal.dtype).tiny))
    weight = jnp.mean(jnp.sum(jnp.exp(target[0] + target[1]), axis=-1), axis=1)

    def pointwise(log_p, log_q):
        scores = power * (log_p + log_q) - log_marginal[None]
        return -jax.nn.logsumexp(scores, axis=-1)  # [batch, head]

    a, b = online
    losses = (pointwise(a, target[1]) + pointwise(b, target[0])) / 2
    return masked_mean(weight[:, None] * losses, where=where, axis_name=axis_name)


def turtle(
    task_logits: Array,
    inner_logits: Array,
    *,
    entropy_weight: float | Array = 10.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """How badly linear classifiers learn a labeling, less the entropy of its classes.

    sum_r [ mean_i CE(inner_logits_ri, t_i) - entropy_weight H(mean_i t_ri) ],
      t_ri = softmax(task_logits_ri), t_i = mean_r t_ri,

    over spaces r of features. The classifiers, fitted to t, get no gradient: that of
    the labeling through their fit is left out, as by the authors.

    Args:
      task_logits: [space, batch, class] float, the labeling by each space.
      inner_logits: [space, batch, class] float, of classifiers fitted to t.
      entropy_weight: the paper writes gamma.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole. The
        entropy is that of the mean over the whole batch.

    Returns:
      float32 scalar in nats; (1 - entropy_weight) log(class) for each space if all
      logits are equal.

    Raises:
      ValueError: shapes differ or are not of rank 3; a negative weight.
      TypeError: integers; a `where` that is not bool.

    Source: Gadetsky, Jiang and Brbic, "Let Go of Your Labels with Unsupervised
      Transfer", 2024, eq. 12, https://openreview.net/pdf?id=RZHRnnGcEx, as in their
      code.
    """
    checks.non_negative("turtle", entropy_weight=entropy_weight)
    where = _where("turtle", where, task_logits=task_logits, inner_logits=inner_logits)
    log_task = _log_softmax(task_logits, where)  # [batch, space, class]
    log_inner = lax.stop_gradient(_log_softmax(inner_logits, where))
    labels = jnp.mean(jnp.exp(log_task), axis=1, keepdims=True)
    errors = -jnp.sum(labels * log_inner, axis=(1, 2))
    error = masked_mean(errors, where=where, axis_name=axis_name)
    log_marginal = log_mean_exp(
        log_task, where=where, axis_name=axis_name
    )  # [space, class]
    entropy = -jnp.sum(jnp.exp(log_marginal) * log_marginal)
    return error - entropy_weight * entropy


def _where(who, where, **logits):
    """Which rows are present; logits of one shape [head, batch, class] are checked."""
    checks.same_shape(who, rank=3, **logits)
    checks.floating(who, **logits)
    first = next(iter(logits.values()))
    return checked_where(who, where, first.shape[1:2])


def _log_softmax(logits, where, temperature=1.0):
    """[head, batch, class] -> [batch, head, class], uniform for absent rows."""
    logits = present(to_float(jnp.moveaxis(logits, 1, 0)), where)
    return jax.nn.log_softmax(logits / temperature, axis=-1)
