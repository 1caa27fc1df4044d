"""Losses of experts that stand alone or in a product, and are kept together.

Arguments in common are those of `losses.multimodal`. Of these `masked_elbo` alone can
bound the log-likelihood.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.losses.multimodal_views import (
    Decode,
    Likelihood,
    checked,
    log_likelihood_of,
    mean_observed,
    own_likelihoods,
)
from repr_jax.ops import checks, gaussian, likelihood
from repr_jax.ops.batch import log_mean_exp, masked_mean, present, row_keys
from repr_jax.ops.subsets import choose, independent, non_empty, valid
from repr_jax.ops.subsets import posterior as product


def crmvae(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 2.5,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """A product of experts and its experts, each of which decodes its own modality.

    mean_i 1 / (M + 1) [ beta * (KL(q || N(0, I)) + sum_m KL(q || q_m))
    - 1/2 sum_m weight_m (log p(x_m | z) + log p(x_m | z_m)) ], z ~ q, z_m ~ q_m, q the
    product of the M experts of a row without the prior.

    Args:
      beta: >= 0, weight of the divergences.

    Source: Suzuki and Matsuo, "Mitigating the Limitations of Multimodal VAEs with
      Coordination-Based Approach", 2022, https://openreview.net/forum?id=Rn8u4MYgeNJ.
      Here M is the number of modalities that a row has, and not of all.
    """
    checks.non_negative("crmvae", beta=beta)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where)
    views = checked("crmvae", *arrays)
    mean, log_var, where, rows = views.mean, views.log_var, views.where, views.rows
    posterior = gaussian.product_of_experts(mean, log_var, where=where)
    every = [jnp.concatenate([a[None], b]) for a, b in zip(posterior, (mean, log_var))]
    joint, *own = gaussian.sample(row_keys(key, rows, axis_name), *every)
    log_p = log_likelihood_of(views, decode, joint, where)
    for m, z in enumerate(own):
        log_p = log_p + log_likelihood_of(views, decode, z, where, modalities=(m,))
    wide = (jnp.broadcast_to(x, mean.shape) for x in posterior)
    to_experts = present(gaussian.kl(*wide, mean, log_var), where)
    kl = gaussian.kl(*posterior) + jnp.sum(to_experts, axis=0)
    total = (beta * kl - 0.5 * log_p) / (1 + jnp.sum(where, axis=0))
    return masked_mean(total, where=rows, axis_name=axis_name)


def mmvm(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    standard_weight: float | Array = 0.0,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Unimodal bounds, whose priors are the experts of all modalities of the row.

    mean_i sum_m [ beta * ((1 - a) mean_k KL(q_m || q_k) + a KL(q_m || N(0, I)))
    - weight_m log p(x_m | z_m) ], z_m ~ q_m, a = standard_weight. There is no joint
    latent. The mean of KLs bounds the KL from the mixture, `mmvm_mixture`, from above.

    Args:
      standard_weight: in [0, 1]; 1 are VAEs that know nothing of each other. The code
        writes alpha.
      beta: >= 0, weight of the divergences.

    Source: Sutter et al., "Unity by Diversity: Improved Representation Learning in
      Multimodal VAEs", 2024, https://arxiv.org/abs/2403.05300, with the authors' code.
    """
    checks.non_negative("mmvm", beta=beta, standard_weight=standard_weight)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where)
    views = checked("mmvm", *arrays)
    mean, log_var, where = views.mean, views.log_var, views.where
    _, log_p = own_likelihoods(key, views, decode, axis_name)
    priors = zip(mean, log_var)
    kls = [[gaussian.kl(*q, *p) for p in zip(mean, log_var)] for q in priors]
    kls = jnp.stack([mean_observed(jnp.stack(row), where) for row in kls])
    kl = (1 - standard_weight) * kls + standard_weight * gaussian.kl(mean, log_var)
    total = jnp.sum(present(beta * kl - log_p, where), axis=0)
    return masked_mean(total, where=views.rows, axis_name=axis_name)


def mmvm_mixture(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    standard_weight: float | Array = 0.0,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """As `mmvm`, with the KL from each expert to the mixture itself, from one sample.

    mean_i sum_m [ beta * (log q_m(z_m) - log h(z_m)) - weight_m log p(x_m | z_m) ],
    z_m ~ q_m, h = (1 - a) mean_k q_k + a N(0, I).

    Args:
      As `mmvm`, with standard_weight a number.

    Source: Sutter et al. 2024 (as `mmvm`), the prior as the text states it.
    """
    who = "mmvm_mixture"
    checks.non_negative(who, beta=beta, standard_weight=standard_weight)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where)
    views = checked(who, *arrays)
    z, log_p = own_likelihoods(key, views, decode, axis_name)
    experts = [gaussian.log_prob(z, *q) for q in zip(views.mean, views.log_var)]
    own = jnp.stack([log_q[m] for m, log_q in enumerate(experts)])
    prior = log_mean_exp(jnp.stack(experts), where=views.where[:, None])
    share = jnp.asarray(standard_weight, z.dtype)
    if not checks.known(share) or share > 0:
        prior = jnp.logaddexp(
            jnp.log1p(-share) + prior, jnp.log(share) + gaussian.log_prob(z)
        )
    total = beta * (own - prior) - log_p
    total = jnp.sum(present(total, views.where), axis=0)
    return masked_mean(total, where=views.rows, axis_name=axis_name)


def masked_elbo(
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
    """Minus a bound of some modalities, and one of the others given those.

    mean_i [ beta * KL(q_S || N(0, I)) - sum_{m in S} weight_m log p(x_m | z_S)
    + beta * KL(q || q_S) - sum_{m not in S} weight_m log p(x_m | z) ], z_S ~ q_S,
    z ~ q, the products of N(0, I) with the experts of S and of all modalities. S is
    drawn per row, uniformly from the subsets that lack some of its modalities, not all;
    of one modality this is its bound. With exact posteriors it is log p(x) for every S.

    Args:
      beta: >= 0, weight of the divergences.

    Source: Hirt et al., "Learning Multi-Modal Generative Models with
      Permutation-Invariant Encoders and Tighter Variational Objectives", 2023,
      https://arxiv.org/abs/2309.00380, with products of experts. There S takes each
      modality at a rate of its own, and may be empty or all.
    """
    checks.non_negative("masked_elbo", beta=beta)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where)
    views = checked("masked_elbo", *arrays)
    where, rows = views.where, views.rows
    subset_key, *noise_keys = jax.random.split(key, 3)
    members = non_empty(len(where))
    proper = members.sum(axis=1)[:, None] < jnp.sum(where, axis=0)[None]
    uniform = independent(subset_key, rows, axis_name)
    subset = choose(uniform, members, proper & valid(members, where))
    posteriors, total = [], 0.0
    for noise_key, given, target in zip(
        noise_keys, (subset, where), (subset, where & ~subset)
    ):
        posterior = product(views.mean, views.log_var, given, prior_expert="all")
        z = gaussian.sample(row_keys(noise_key, rows, axis_name), *posterior)
        total = total - log_likelihood_of(views, decode, z, target)
        posteriors.append(posterior)
    part, whole = posteriors
    total = total + beta * (gaussian.kl(*part) + gaussian.kl(*whole, *part))
    return masked_mean(total, where=rows, axis_name=axis_name)
