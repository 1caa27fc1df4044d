"""Contrastive losses that weigh negatives anew: uncoupled, debiased, hard ones more.

All compare the 2 * batch views of `nt_xent` by cosine, the two views of an example
being each other's positive; arguments and errors are those of `contrastive`.
"""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.contrastive import (
    check_options,
    cross_entropy,
    negative_logits,
    two_views,
)
from repr_jax.ops import checks, pairs
from repr_jax.ops.batch import log_mean_exp, masked_mean, num_present
from repr_jax.ops.similarity import cosine


def dcl(
    view_a: Array,
    view_b: Array,
    *,
    temperature: float | Array = 0.1,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """NT-Xent without the positive in the denominator: decoupled contrastive loss.

    mean_i [ log sum_k exp(s_ik / temperature) - s_ip / temperature ] over the views i,
    p the other view of the same example and k the views of others. A lone example has
    no such k and does not count. May be negative.

    Source: Yeh et al., "Decoupled Contrastive Learning", 2022, the loss L_DC,
      https://arxiv.org/abs/2110.06848.
    """
    check_options("dcl", temperature, chunk_size, axis_name, ring)
    both, _ = two_views("dcl", view_a, view_b, where, axis_name, cosine)
    log_negatives = _log_negatives(both, temperature, chunk_size, axis_name, ring)
    terms = log_negatives - _positives(both, temperature)
    counted = both.where & (log_negatives != -jnp.inf)
    return masked_mean(terms, where=counted, axis_name=axis_name)


def dcl_weighted(
    view_a: Array,
    view_b: Array,
    *,
    temperature: float | Array = 0.1,
    sigma: float | Array = 0.5,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`dcl` whose positives weigh more the less alike they are.

    mean_i [ log sum_k exp(s_ik / temperature) - w_i s_ip / temperature ], w_i = 2 -
    exp(s_ip / sigma) / mean_j exp(s_jp / sigma), the mean over the examples that are
    present; without gradient.

    Args:
      sigma: > 0, of the weights.

    Source: Yeh et al. 2022 (as `dcl`), the loss L_DCW with the negative von
      Mises-Fisher weights.
    """
    who = "dcl_weighted"
    check_options(who, temperature, chunk_size, axis_name, ring)
    checks.positive(who, sigma=sigma)
    both, where = two_views(who, view_a, view_b, where, axis_name, cosine)
    log_negatives = _log_negatives(both, temperature, chunk_size, axis_name, ring)
    logits = lax.stop_gradient(_positives(both, sigma))
    mean = log_mean_exp(logits, where=both.where, axis_name=axis_name)
    weights = 2 - jnp.exp(logits - mean)
    terms = log_negatives - weights * _positives(both, temperature)
    counted = both.where & (log_negatives != -jnp.inf)
    return masked_mean(terms, where=counted, axis_name=axis_name)


def debiased(
    view_a: Array,
    view_b: Array,
    *,
    temperature: float | Array = 0.5,
    positive_rate: float = 0.1,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """NT-Xent less what negatives of the row's own class are expected to add.

    mean_i -log [ exp(p_i) / (exp(p_i) + N g_i) ], p_i = s_ip / temperature, and g_i is
    [ mean_k exp(s_ik / temperature) - positive_rate exp(p_i) ] / (1 - positive_rate),
    at least exp(-1 / temperature), k the N views of other examples.

    Args:
      positive_rate: in [0, 1), how likely a negative is of the row's own class; 0 gives
        `nt_xent`. The paper writes tau^+.

    Source: Chuang et al., "Debiased Contrastive Learning", 2020, their estimator g
      with M = 1, https://arxiv.org/abs/2007.00224.
    """
    check_options("debiased", temperature, chunk_size, axis_name, ring)
    _check_rate("debiased", positive_rate)
    both, where = two_views("debiased", view_a, view_b, where, axis_name, cosine)
    log_negatives = _log_negatives(both, temperature, chunk_size, axis_name, ring)
    count = _count(where, axis_name)
    positives = _positives(both, temperature)
    log_negatives = _debias(log_negatives, positives, count, positive_rate, temperature)
    terms = cross_entropy(positives, log_negatives)
    return masked_mean(terms, where=both.where, axis_name=axis_name)


def hard_negative(
    view_a: Array,
    view_b: Array,
    *,
    temperature: float | Array = 0.5,
    positive_rate: float = 0.1,
    beta: float | Array = 1.0,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`debiased` whose negatives weigh more the more similar they are.

    The mean over k in g_i is weighted by exp(beta * s_ik / temperature).

    Args:
      positive_rate: in [0, 1), how likely a negative is of the row's own class.
      beta: >= 0, concentration on hard negatives; 0 gives `debiased`.

    Source: Robinson et al., "Contrastive Learning with Hard Negative Samples", 2021,
      https://arxiv.org/abs/2010.04592. As in their code, weights have a gradient and
      beta multiplies the logits, temperature included.
    """
    check_options("hard_negative", temperature, chunk_size, axis_name, ring)
    checks.non_negative("hard_negative", beta=beta)
    _check_rate("hard_negative", positive_rate)
    both, where = two_views("hard_negative", view_a, view_b, where, axis_name, cosine)

    def scaled(rows, columns, scale):
        logits = cosine.of_pairs(rows.x, columns.x) * scale
        return jnp.where(pairs.others(rows, columns), logits, -jnp.inf)

    log_sums = [
        pairs.log_sum_exp(
            scaled,
            both,
            both,
            scale / temperature,
            chunk_size=chunk_size,
            axis_name=axis_name,
            ring=ring,
        )
        for scale in (1 + beta, beta)
    ]
    count = _count(where, axis_name)
    weighted, weights = log_sums
    some = weights != -jnp.inf
    log_mean = weighted - jnp.where(some, weights, 0)
    log_negatives = log_mean + jnp.log(jnp.maximum(count, 1))
    positives = _positives(both, temperature)
    log_negatives = _debias(log_negatives, positives, count, positive_rate, temperature)
    terms = cross_entropy(positives, log_negatives)
    return masked_mean(terms, where=both.where, axis_name=axis_name)


def macl(
    view_a: Array,
    view_b: Array,
    *,
    temperature: float | Array = 0.1,
    adaptation: float | Array = 0.5,
    initial_alignment: float | Array = 0.0,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """NT-Xent of a temperature that grows with alignment, hard views weighing more.

    mean_i -log(P_i) / (1 - P_i), P_i the softmax that view i finds its partner with as
    in `nt_xent`, of temperature (1 + adaptation (A - initial_alignment)), A = mean_i
    s_ip the mean cosine of partners. A and 1 / (1 - P_i) get no gradient.

    Args:
      temperature: > 0, at A = initial_alignment. The paper writes tau_0.
      adaptation: in [0, 1]. The paper writes alpha.
      initial_alignment: in [0, 1], of views at the start. The paper writes A_0.

    Source: Huang et al., "Model-Aware Contrastive Learning: Towards Escaping the
      Dilemmas", 2023, https://arxiv.org/abs/2207.07874.
    """
    check_options("macl", temperature, chunk_size, axis_name, ring)
    checks.fraction("macl", adaptation=adaptation, initial_alignment=initial_alignment)
    both, _ = two_views("macl", view_a, view_b, where, axis_name, cosine)
    cosines = _positives(both, 1.0)
    alignment = masked_mean(
        lax.stop_gradient(cosines), where=both.where, axis_name=axis_name
    )
    temperature *= 1 + adaptation * (alignment - initial_alignment)
    log_negatives = _log_negatives(both, temperature, chunk_size, axis_name, ring)
    terms = cross_entropy(cosines / temperature, log_negatives)
    missed = -jnp.expm1(-lax.stop_gradient(terms))  # 1 - P_i
    weights = 1 / (missed + 1e-8)
    return masked_mean(weights * terms, where=both.where, axis_name=axis_name)


def _log_negatives(both, temperature, chunk_size, axis_name, ring):
    """[2 * batch] log sum exp of the cosines of a view and those of other examples."""
    options = dict(chunk_size=chunk_size, axis_name=axis_name, ring=ring)
    return pairs.log_sum_exp(
        negative_logits(cosine), both, both, temperature, **options
    )


def _positives(both, temperature):
    """[2 * batch] cosine of each view and its partner, over temperature."""
    return jnp.tile(cosine.of_rows(*jnp.split(both.x, 2)) / temperature, 2)


def _count(where, axis_name):
    """The number of negatives of a present view, in the whole batch, as a float."""
    return jnp.maximum(2.0 * (num_present(where, axis_name) - 1), 0.0)


def _debias(log_negatives, positives, count, positive_rate, temperature):
    """log(N g) from the log of the (weighted) sum over negatives, by view."""
    log_expected = positives + jnp.log(positive_rate * jnp.maximum(count, 1))
    excess = log_negatives - log_expected
    more = excess > 0
    log_share = jnp.log(-jnp.expm1(-jnp.where(more, excess, 1)))  # 1 - exp(-excess)
    left = jnp.where(more, log_negatives + log_share, -jnp.inf)
    log_count = jnp.where(count > 0, jnp.log(jnp.maximum(count, 1)), -jnp.inf)
    return jnp.maximum(left - jnp.log1p(-positive_rate), log_count - 1 / temperature)


def _check_rate(who, positive_rate):
    checks.non_negative(who, positive_rate=positive_rate)
    checks.positive(who, **{"1 - positive_rate": 1 - positive_rate})
