"""Losses of a joint encoder, which sees all modalities at once, beside the experts.

Arguments in common are those of `losses.multimodal`, and
  joint: (mean, log_var), each [batch, dim] float, the posterior q_J of that encoder. It
    must not depend on what absent modalities hold: give it zeros and `where`.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.multimodal_views import (
    Decode,
    Likelihood,
    checked,
    log_likelihood_of,
    own_likelihoods,
)
from repr_jax.ops import checks, gaussian, likelihood
from repr_jax.ops.batch import (
    checked_rows,
    checked_where,
    masked_mean,
    present,
    row_keys,
)
from repr_jax.ops.numerics import to_float

Pair = tuple[Array, Array]  # mean, log_var


def jmvae(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    joint: Pair,
    unimodal_weight: float | Array = 0.1,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the bound of a joint posterior, which experts are drawn to.

    mean_i [ beta * KL(q_J || N(0, I)) + unimodal_weight * sum_m KL(q_J || q_m)
    - sum_m weight_m log p(x_m | z) ], z ~ q_J. The sum of KLs is 0 only if all experts
    equal q_J, and moves q_J as well.

    Args:
      unimodal_weight: >= 0, of the sum over experts. The paper writes alpha. 0 is the
        bound of the joint posterior alone: the first stage of TELBO and JNF.
      beta: >= 0, weight of the divergence from the prior.

    Source: Suzuki, Nakayama and Matsuo, "Joint Multimodal Learning with Deep Generative
      Models", 2016, eq. 4, https://arxiv.org/abs/1611.01891. There both modalities are
      present; here sums are over those that a row has.
    """
    checks.non_negative("jmvae", beta=beta, unimodal_weight=unimodal_weight)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where)
    views = checked("jmvae", *arrays)
    joint = _joint("jmvae", joint, views.mean.shape[1:], views.rows)
    z = gaussian.sample(row_keys(key, views.rows, axis_name), *joint)
    log_p = log_likelihood_of(views, decode, z, views.where)
    wide = (jnp.broadcast_to(x, views.mean.shape) for x in joint)
    to_experts = present(gaussian.kl(*wide, views.mean, views.log_var), views.where)
    total = beta * gaussian.kl(*joint) - log_p
    total = total + unimodal_weight * jnp.sum(to_experts, axis=0)
    return masked_mean(total, where=views.rows, axis_name=axis_name)


def unimodal_elbo(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the sum of the bounds of modalities, each from its own expert.

    mean_i sum_m [ beta * KL(q_m || N(0, I)) - weight_m log p(x_m | z_m) ], z_m ~ q_m.
    The second stage of TELBO, with decoders that stand still; the first of Nexus.

    Args:
      beta: >= 0, weight of the divergence.

    Source: Vedantam et al., "Generative Models of Visually Grounded Imagination", 2018,
      https://arxiv.org/abs/1705.10762.
    """
    checks.non_negative("unimodal_elbo", beta=beta)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where)
    views = checked("unimodal_elbo", *arrays)
    _, log_p = own_likelihoods(key, views, decode, axis_name)
    terms = beta * gaussian.kl(views.mean, views.log_var) - log_p
    total = jnp.sum(present(terms, views.where), axis=0)
    return masked_mean(total, where=views.rows, axis_name=axis_name)


def cvae(
    key: Array,
    x: Array,
    mean: Array,
    log_var: Array,
    decode: Callable[[Array], Array],
    *,
    prior: Pair | None = None,
    log_likelihood: Likelihood = likelihood.laplace,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the bound of one modality given others.

    mean_i [ beta * KL(q(z | x, c) || p(z | c)) - log p(x | z, c) ], z ~ q(z | x, c).
    What is given, c, reaches `decode` and the networks alone.

    Args:
      x: [batch, ...] float, the modality to be generated.
      mean, log_var: [batch, dim] float, the posterior q(z | x, c).
      decode: [batch, dim] -> [batch, ...], of the shape of x; knows its rows' c.
      prior: (mean, log_var) of p(z | c), [batch, dim] each; None for N(0, I).
      beta: >= 0, weight of the divergence.
      where: [batch] bool, False for absent rows; None if all are present.

    Source: Sohn, Lee and Yan, "Learning Structured Output Representation using Deep
      Conditional Generative Models", 2015, eq. 4.
    """
    checks.non_negative("cvae", beta=beta)
    mean, log_var, where = checked_rows("cvae", where, mean=mean, log_var=log_var)
    checks.rows("cvae", len(mean), x=x)
    checks.floating("cvae", x=x)
    zero = jnp.zeros_like(mean)
    prior = (zero, zero) if prior is None else _joint("cvae", prior, mean.shape, where)
    z = gaussian.sample(row_keys(key, where, axis_name), mean, log_var)
    x = present(to_float(x), where)
    log_p = likelihood.by_row(log_likelihood, x, decode(z), where)
    total = beta * gaussian.kl(mean, log_var, *prior) - log_p
    return masked_mean(total, where=where, axis_name=axis_name)


def joint_to_unimodal(
    key: Array,
    mean: Array,
    log_var: Array,
    *,
    joint: Pair,
    flows: Sequence[Callable[[Array], Pair]] | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the log densities of experts at samples of a joint posterior.

    mean_i sum_m [ -log N(f_m(z); mean_m, exp log_var_m) - log|det df_m / dz| ],
    z ~ q_J: sum_m KL(q_J || q_m) up to a constant. q_J gets no gradient.

    Args:
      mean, log_var: [modality, batch, dim] float, of the experts' base Gaussians.
      flows: a function z [batch, dim] -> (f_m(z) [batch, dim], log|det| [batch]) per
        modality; None for experts that are Gaussian.

    Source: Senellart, Chadebec and Allassonniere, "Improving Multimodal Joint
      Variational Autoencoders through Normalizing Flows and Correlation Analysis",
      2023, the second stage of JNF, https://arxiv.org/abs/2305.11832.
    """
    who = "joint_to_unimodal"
    checks.same_shape(who, rank=3, mean=mean, log_var=log_var)
    checks.floating(who, mean=mean, log_var=log_var)
    where = checked_where(who, where, mean.shape[:2])
    mean, log_var = (present(to_float(x), where) for x in (mean, log_var))
    rows = jnp.any(where, axis=0)
    joint = lax.stop_gradient(_joint(who, joint, mean.shape[1:], rows))
    z = gaussian.sample(row_keys(key, rows, axis_name), *joint)
    flows = (_identity,) * len(mean) if flows is None else tuple(flows)
    checks.length(who, len(mean), flows=flows)
    total = 0.0
    for m, flow in enumerate(flows):
        u, log_det = flow(z)
        log_q = gaussian.log_prob(u, mean[m], log_var[m]) + log_det
        total = total - present(log_q, where[m])
    return masked_mean(total, where=rows, axis_name=axis_name)


def _identity(z):
    return z, jnp.zeros_like(z[:, 0])


def _joint(who, joint, shape, rows):
    """(mean, log_var), checked, the prior in absent rows."""
    names = ("joint_mean", "joint_log_var")
    named = dict(zip(names, joint, strict=True))
    checks.shape(who, shape, **named)
    checks.floating(who, **named)
    return tuple(present(to_float(x), rows) for x in joint)
