"""Losses that draw the posteriors of modalities together, each with one Gaussian.

Arguments in common are those of `losses.multimodal`. Their values bound no likelihood
unless they say so.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.losses.multimodal_views import (
    Decode,
    Likelihood,
    Private,
    checked,
    log_likelihood_of,
    private_kl,
    private_sample,
)
from repr_jax.ops import checks, gaussian, likelihood
from repr_jax.ops.batch import masked_mean, present, row_keys
from repr_jax.ops.subsets import independent


def mvtcae(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    correlation: float | Array = 5 / 6,
    private: Private | None = None,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    private_beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus a bound of the total correlation that a product of experts explains.

    mean_i [ -(1 - a / M) sum_m weight_m log p(x_m | z) + beta * ((1 - a) * KL(q || p)
    + a / M * sum_m KL(q || q_m)) ], z ~ q, the product of the M experts of a row
    without the prior p = N(0, I), and a = correlation.

    Args:
      correlation: in [0, 1]; 0 is the bound of log p(x) with posterior q, 1 regularizes
        towards the experts alone. The paper writes alpha; 5/6 is that of its PolyMNIST.
      beta: >= 0, weight of the divergences; 2.5 on PolyMNIST.

    Source: Hwang et al., "Multi-View Representation Learning via Total Correlation
      Objective", 2021, https://proceedings.neurips.cc/paper/2021/hash/
      65a99bb7a3115fdede20da98b08a370f-Abstract.html, with M the number of modalities
      that a row has. Private latents are ours.
    """
    checks.non_negative(
        "mvtcae", beta=beta, private_beta=private_beta, correlation=correlation
    )
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where, private)
    views = checked("mvtcae", *arrays)
    mean, log_var, where, rows = views.mean, views.log_var, views.where, views.rows
    posterior = gaussian.product_of_experts(mean, log_var, where=where)
    z = gaussian.sample(row_keys(key, rows, axis_name), *posterior)
    w = private_sample(key, views, axis_name)
    share = correlation / jnp.maximum(jnp.sum(where, axis=0), 1)  # [batch]
    log_p = log_likelihood_of(views, decode, z, where, w)
    joint = (jnp.broadcast_to(x, mean.shape) for x in posterior)
    to_experts = gaussian.kl(*joint, mean, log_var)
    to_experts = jnp.sum(present(to_experts, where), axis=0)
    kl = (1 - correlation) * gaussian.kl(*posterior) + share * to_experts
    own = private_kl(views, where, private_beta)
    total = beta * kl + own - (1 - share) * log_p
    return masked_mean(total, where=rows, axis_name=axis_name)


def mmjsd(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    private: Private | None = None,
    expert_weights: Sequence[float] | Array | None = None,
    prior_weight: float | Array = 1.0,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    private_beta: float | Array = 1.0,
    draw: Callable = independent,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Log-likelihood under a mixture of experts, and their Jensen-Shannon divergence.

    mean_i [ beta * sum_n share_n KL(q_n || g) - sum_m weight_m log p(x_m | z) ], where
    n runs over the experts of a row and the prior q_0 = N(0, I), g is their normalized
    product, each to the power of its share, and z ~ q_m, m drawn by the shares of the
    experts alone. The divergence is 0 if the prior and all experts are equal.

    Args:
      expert_weights: [modality] >= 0, None for 1; shares are weights over their sum.
      prior_weight: >= 0, that of the prior.
      beta: >= 0, weight of the divergence.
      draw: how rows draw their experts, as in `mopoe`.

    Source: Sutter, Daunhawer and Vogt, "Multimodal Generative Learning Utilizing
      Jensen-Shannon-Divergence", 2020, https://arxiv.org/abs/2006.08242, with the
      "dynamic prior" g as geometric mean. As there, and unlike the authors' later code,
      the prior is not one of the components that reconstruct.
    """
    who, options = "mmjsd", dict(beta=beta, private_beta=private_beta)
    checks.non_negative(who, **options, prior_weight=prior_weight)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where, private)
    views = checked(who, *arrays)
    weights = _expert_weights(who, expert_weights, len(views.mean))
    mean, log_var, where = views.mean, views.log_var, views.where
    dynamic_prior = gaussian.geometric_mean(
        mean, log_var, weights=weights, prior_weight=prior_weight, where=where
    )
    share, prior_share = _shares(weights, prior_weight, where)
    kls = gaussian.kl(mean, log_var, *(x[None] for x in dynamic_prior))
    of_prior = gaussian.kl(*(jnp.zeros_like(x) for x in dynamic_prior), *dynamic_prior)
    divergence = jnp.sum(share * kls, axis=0) + prior_share * of_prior
    choice_key, noise_key = jax.random.split(key)
    chosen = _choose(draw(choice_key, views.rows, axis_name), weights, where)
    expert = (jnp.sum(present(x, chosen), axis=0) for x in (mean, log_var))
    z = gaussian.sample(row_keys(noise_key, views.rows, axis_name), *expert)
    w = private_sample(noise_key, views, axis_name)
    log_p = log_likelihood_of(views, decode, z, where, w)
    total = beta * divergence + private_kl(views, where, private_beta) - log_p
    return masked_mean(total, where=views.rows, axis_name=axis_name)


def mmjsd_arithmetic(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    private: Private | None = None,
    expert_weights: Sequence[float] | Array | None = None,
    prior_weight: float | Array = 1.0,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    private_beta: float | Array = 1.0,
    draw: Callable = independent,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """As `mmjsd`, with the mixture of experts and prior as the dynamic prior.

    g = sum_n share_n q_n: the Jensen-Shannon divergence itself, between 0 and the
    entropy of the shares. It has no closed form and is estimated from one sample of
    each expert and of the prior.

    Args:
      As `mmjsd`.

    Source: Sutter, Daunhawer and Vogt, 2020 (as `mmjsd`), the arithmetic mean.
    """
    who, options = "mmjsd_arithmetic", dict(beta=beta, private_beta=private_beta)
    checks.non_negative(who, **options, prior_weight=prior_weight)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where, private)
    views = checked(who, *arrays)
    weights = _expert_weights(who, expert_weights, len(views.mean))
    share, prior_share = _shares(weights, prior_weight, views.where)
    mean, log_var = (  # [modality + 1, batch, dim], the prior last
        jnp.concatenate([x, jnp.zeros_like(x[:1])]) for x in (views.mean, views.log_var)
    )
    share = jnp.concatenate([share, prior_share[None]])
    choice_key, noise_key = jax.random.split(key)
    keys = row_keys(noise_key, views.rows, axis_name)
    z = gaussian.sample(keys, mean, log_var)
    log_q = jnp.stack([gaussian.log_prob(z, *one) for one in zip(mean, log_var)])
    log_share = jnp.log(jnp.where(share > 0, share, 1))[:, None]
    mixture = jax.nn.logsumexp(log_share + log_q, axis=0, where=share[:, None] > 0)
    own = jnp.stack([log_q[n, n] for n in range(len(share))])
    divergence = jnp.sum(share * (own - mixture), axis=0)
    uniform = draw(choice_key, views.rows, axis_name)
    chosen = _choose(uniform, weights, views.where)
    z = jnp.sum(present(z[:-1], chosen), axis=0)
    w = private_sample(noise_key, views, axis_name)
    log_p = log_likelihood_of(views, decode, z, views.where, w)
    total = beta * divergence - log_p
    total = total + private_kl(views, views.where, private_beta)
    return masked_mean(total, where=views.rows, axis_name=axis_name)


def _expert_weights(who, weights, count):
    """[modality] float array."""
    weights = (1.0,) * count if weights is None else tuple(weights)
    checks.length(who, count, expert_weights=weights)
    checks.non_negative(
        who, **{f"expert_weights[{m}]": weight for m, weight in enumerate(weights)}
    )
    return jnp.stack([jnp.asarray(weight, float) for weight in weights])


def _shares(weights, prior_weight, where):
    """[modality, batch] and [batch], which sum to 1; without any weight 0."""
    weights = present(jnp.broadcast_to(weights[:, None], where.shape), where)
    total = jnp.sum(weights, axis=0) + prior_weight
    total = jnp.where(total > 0, total, 1)
    return weights / total[None], prior_weight / total


def _choose(uniform, weights, where):
    """[modality, batch] bool: one of a row's experts, with the odds of their weights.

    uniform: [batch], in [0, 1).
    """
    ends = jnp.cumsum(jnp.where(where, weights[:, None], 0), axis=0)
    above = (uniform * ends[-1])[None] < ends
    return above & ~jnp.concatenate([jnp.zeros_like(above[:1]), above[:-1]])
