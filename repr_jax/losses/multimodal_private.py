"""Losses that need private latents: of each modality, besides those that all share.

Arguments in common are those of `losses.multimodal`; `private` must be given.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.multimodal_views import (
    PRIVATE,
    Decode,
    Likelihood,
    Private,
    checked,
    log_likelihood_of,
    mean_observed,
    mixture_of,
    private_kl,
    private_sample,
    without_gradient,
)
from repr_jax.ops import checks, gaussian, likelihood, mixture
from repr_jax.ops.batch import log_mean_exp, masked_mean, present, row_keys
from repr_jax.ops.numerics import to_float


def mmvae_plus(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    private: Private,
    auxiliary: Sequence[Array],
    num_samples: int = 1,
    distribution: ModuleType = gaussian,
    prior: mixture.Mixture | None = None,
    prior_log_var: float | Array = 0.0,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus weighted bounds of experts that see no private latent of other modalities.

    mean_i mean_m [ -log mean_k exp( log p(x_m | z, w_m)
    + sum_{n != m} log p(x_n | z, v_n)
    + beta * (log p(z) + log p(w_m) - log q(z) - log q_m(w_m)) ) ], with z ~ q_m,
    w_m ~ q_m(w_m), v_n ~ r_n, q = mean_m q_m. Other modalities are decoded from a draw
    v_n of the auxiliary prior r_n, so that what is shared must pass through z.

    Args:
      auxiliary: a [dim_m] float array per modality, the log-variance of r_m, whose mean
        is 0: learned.
      num_samples: >= 1, samples per expert and row. The paper writes K; 1 on PolyMNIST.
      distribution: `ops.gaussian` or `ops.laplace`, of all posteriors and priors.
      prior: p(z) as a mixture of components of `distribution`, learned or not; None for
        one of mean 0. With it this is CMVAE.
      prior_log_var: number, of p(z) without `prior` and of p(w_m), whose means are 0.
      beta: >= 0, weight of the divergences.

    Source: Palumbo, Daunhawer and Vogt, "MMVAE+: Enhancing the Generative Quality of
      Multimodal VAEs without Compromises", 2023,
      https://openreview.net/forum?id=sdQGxouELX; the mixture as prior, Palumbo et al.,
      "Deep Generative Clustering with Multimodal Diffusion Variational Autoencoders",
      2024: its expectation over q(c | z) = p(c | z) is the log density of the mixture.
    """
    checks.non_negative("mmvae_plus", beta=beta)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where, private)
    views = _with_private("mmvae_plus", *arrays)
    priors = _Priors(distribution, prior, prior_log_var)
    draws = _draws("mmvae_plus", key, views, auxiliary, num_samples, priors, axis_name)
    bounds = log_mean_exp(_log_weights(views, draws, decode, priors, beta))
    bounds = mean_observed(bounds, views.where)
    return masked_mean(-bounds, where=views.rows, axis_name=axis_name)


def mmvae_plus_dreg(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    private: Private,
    auxiliary: Sequence[Array],
    num_samples: int = 1,
    distribution: ModuleType = gaussian,
    prior: mixture.Mixture | None = None,
    prior_log_var: float | Array = 0.0,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """The value of `mmvae_plus` with the doubly reparameterized gradient of posteriors.

    Experts and private posteriors get sum_k s_k * d log_weight_k / d (z_k, w_k), s_k =
    (1 - beta) * c_k + beta * c_k^2, c the softmax over k of the log weights: for beta 1
    that of `dreg`. The published code means this, but keeps the score that it is there
    to remove. `decode` runs twice.

    Args:
      As `mmvae_plus`.

    Source: Palumbo, Daunhawer and Vogt 2023 (as `mmvae_plus`); Tucker et al. 2019 (as
      `variational.dreg`). As in `mmvae`, the score of one expert is taken for that of
      their mixture: exact for num_samples 1.
    """
    checks.non_negative("mmvae_plus_dreg", beta=beta)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where, private)
    views = _with_private("mmvae_plus_dreg", *arrays)
    priors = _Priors(distribution, prior, prior_log_var)
    draws = _draws(
        "mmvae_plus_dreg", key, views, auxiliary, num_samples, priors, axis_name
    )
    fixed = without_gradient(views)
    log_weights = _log_weights(fixed, lax.stop_gradient(draws), decode, priors, beta)
    weights = lax.stop_gradient(jax.nn.softmax(log_weights, axis=0))[..., None]
    weights = (1 - beta) * weights + beta * weights**2  # [sample, modality, batch, 1]

    def scaled(samples, weights):
        constant = lax.stop_gradient(samples)
        return constant + weights * (samples - constant)

    own = tuple(scaled(w, weights[:, m]) for m, w in enumerate(draws.own))
    draws = draws._replace(z=scaled(draws.z, weights), own=own)
    bounds = log_mean_exp(_log_weights(fixed, draws, decode, priors, beta))
    bounds = mean_observed(bounds, views.where)
    return masked_mean(-bounds, where=views.rows, axis_name=axis_name)


def mmvae_plus_tight(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    private: Private,
    auxiliary: Sequence[Array],
    num_samples: int = 1,
    distribution: ModuleType = gaussian,
    prior: mixture.Mixture | None = None,
    prior_log_var: float | Array = 0.0,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """As `mmvae_plus`, with the average over experts inside the logarithm.

    mean_i [ -log mean_mk exp( ... ) ], the exponents of `mmvae_plus`.

    Args:
      As `mmvae_plus`.

    Source: Palumbo, Daunhawer and Vogt 2023 (as `mmvae_plus`), and `mmvae_tight`.
    """
    checks.non_negative("mmvae_plus_tight", beta=beta)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where, private)
    views = _with_private("mmvae_plus_tight", *arrays)
    priors = _Priors(distribution, prior, prior_log_var)
    draws = _draws(
        "mmvae_plus_tight", key, views, auxiliary, num_samples, priors, axis_name
    )
    log_weights = _log_weights(views, draws, decode, priors, beta)
    bounds = log_mean_exp(log_mean_exp(log_weights), where=views.where)
    return masked_mean(-bounds, where=views.rows, axis_name=axis_name)


def dmvae(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    private: Private,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    private_beta: float | Sequence[float] | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the bounds of the joint posterior and of every expert, added up.

    mean_i sum_q [ beta * KL(q || N(0, I)) + sum_m private_beta_m KL(q(w_m) || N(0, I))
    - sum_m weight_m log p(x_m | z, w_m) ], z ~ q, where q is N(0, I) times all experts
    of a row, then each expert alone, without the prior. All decode every modality.

    Args:
      beta: >= 0, weight of the shared divergences.
      private_beta: >= 0, that of the private ones: a number, or one per modality.

    Source: Lee and Pavlovic, "Private-Shared Disentangled Multimodal VAE for Learning
      of Latent Representations", 2021, https://arxiv.org/abs/2012.13024. The authors'
      code drops the joint term's likelihood; here it counts. Every term draws private
      latents anew from each modality's own posterior.
    """
    checks.non_negative("dmvae", beta=beta, private_beta=private_beta)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where, private)
    views = _with_private("dmvae", *arrays)
    joint = gaussian.product_of_experts(
        views.mean, views.log_var, where=views.where, prior=True
    )
    experts = (views.mean, views.log_var)
    posterior = [jnp.concatenate([a[None], b]) for a, b in zip(joint, experts)]
    z = gaussian.sample(row_keys(key, views.rows, axis_name), *posterior)
    w = private_sample(key, views, axis_name, len(z))
    log_p = log_likelihood_of(views, decode, z, views.where, w)  # [1 + modality, batch]
    own = private_kl(views, views.where, private_beta)
    terms = beta * gaussian.kl(*posterior) + own[None] - log_p
    counted = jnp.concatenate([views.rows[None], views.where])
    total = jnp.sum(present(terms, counted), axis=0)
    return masked_mean(total, where=views.rows, axis_name=axis_name)


class _Priors(NamedTuple):
    """The three arguments of MMVAE+ that say what z and w are like."""

    distribution: ModuleType
    shared: mixture.Mixture | None
    log_var: float | Array

    def log_prob(self, z):
        """[..., dim] -> [...] of the shared prior."""
        if self.shared is None:
            return self.distribution.log_prob(z, 0.0, self.log_var)
        return mixture.log_prob(self.shared, z, self.distribution)


class _Draws(NamedTuple):
    """Samples of MMVAE+, axis 0 of each."""

    z: Array  # [sample, modality, batch, dim], of each modality's own expert
    own: tuple[Array, ...]  # [sample, batch, dim_m], of private posteriors
    others: tuple[Array, ...]  # [sample, modality, batch, dim_n], of auxiliary priors


def _with_private(who, *arrays):
    if arrays[-1] is None:
        raise ValueError(f"{who}: expected private (means, log_vars); got None.")
    return checked(who, *arrays)


def _draws(who, key, views, auxiliary, num_samples, priors, axis_name):
    checks.count(who, num_samples=num_samples)
    checks.length(who, len(views.mean), auxiliary=auxiliary)
    distribution, lead = priors.distribution, (num_samples, len(views.mean))
    keys = row_keys(key, views.rows, axis_name)
    z = distribution.sample(keys, views.mean, views.log_var, num_samples)
    own = private_sample(key, views, axis_name, num_samples, distribution=distribution)
    others, auxiliary_key = [], jax.random.fold_in(key, PRIVATE - 1)
    for n, (log_var, w) in enumerate(zip(auxiliary, own)):
        name = f"auxiliary[{n}]"
        checks.floating(who, **{name: log_var})
        checks.shape(who, w.shape[-1:], **{name: log_var})
        keys = row_keys(jax.random.fold_in(auxiliary_key, n), views.rows, axis_name)
        log_var = jnp.broadcast_to(to_float(log_var), (*lead, *w.shape[1:]))
        others.append(distribution.sample(keys, jnp.zeros_like(log_var), log_var))
    return _Draws(z, own, tuple(others))


def _log_weights(views, draws, decode, priors, beta):
    """[sample, modality, batch] exponents of the weighted bound of each expert."""
    z, own, others = draws
    w = tuple(v.at[:, n].set(own[n]) for n, v in enumerate(others))
    log_p = log_likelihood_of(views, decode, z, views.where, w)
    density, log_var = priors.distribution.log_prob, priors.log_var
    ratios = [
        density(w, 0.0, log_var) - density(w, *posterior)
        for w, posterior in zip(own, views.private)
    ]
    log_q = mixture.log_prob(mixture_of(views), z, priors.distribution)
    ratio = priors.log_prob(z) - log_q
    return log_p + beta * (ratio + jnp.stack(ratios, axis=1))
