"""Evidence bounds that fuse several modalities, as losses: minus the bound, in nats.

Common to these and to all other multimodal losses:
  key: PRNG key. Noise is drawn row by row, from the row's rank among the rows of the
    whole batch that have some modality.
  inputs: one [batch, ...] float array x_m per modality.
  mean, log_var: [modality, batch, dim] float, the posterior q_m of each encoder.
  decode: z [batch, dim] -> one array per modality of the shape of its input, the
    location of its likelihood or its logits. It must act on each row by itself, since
    a loss may hand it several samples of the batch at once.
  private: (means, log_vars), each a [batch, dim_m] float array per modality: posteriors
    q(w_m | x_m) of latents that explain their own modality alone; None for none. With
    them `decode` takes (z, w), w a tuple of arrays [batch, dim_m] of z's rows.
  private_beta: >= 0, weight of the KLs from private posteriors to N(0, I), a number or
    one per modality.
  log_likelihood: (x, decoded) -> [batch], such as those in `ops.likelihood`: one for
    all modalities, or one for each.
  likelihood_weights: [modality] >= 0, None for 1; the papers write lambda. Other
    weights than 1 make the value no bound of log p(x). See `likelihood.by_size`.
  where: [modality, batch] bool, False where absent; None if all are observed. Contents
    of absent entries are irrelevant, even if NaN; their encoders, and their decoders as
    targets, get exactly no gradient. A row without any modality is as good as deleted.
  axis_name: the mapped axis the batch is split over; None if it is whole.
Each returns a float32 scalar in nats, and raises ValueError for shapes that do not fit
together or a negative weight, TypeError for integer inputs or a `where` not bool.
"""

from collections.abc import Callable, Sequence
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.losses.multimodal_views import (
    Decode,
    Likelihood,
    Private,
    checked,
    log_likelihood_of,
    mean_observed,
    private_kl,
    private_sample,
)
from repr_jax.ops import checks, gaussian, likelihood
from repr_jax.ops.batch import masked_mean, row_keys
from repr_jax.ops.subsets import checked as checked_members
from repr_jax.ops.subsets import choose, independent, mean_kl, non_empty, valid
from repr_jax.ops.subsets import posterior as product


def mvae(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    private: Private | None = None,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    private_beta: float | Array = 1.0,
    num_subsets: int = 0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus a sum of bounds of products of experts: joint, every single, some subsets.

    mean_i sum_A [ beta * KL(q_A || N(0, I)) - sum_{m in A} weight_m log p(x_m | z_A) ],
    where A is the set of observed modalities, then each of them alone, then
    num_subsets drawn in between, and q_A is N(0, I) times the experts of A. A subset
    that has all of a row's modalities, or one, counts once. Each term has the private
    latents of its own modalities, drawn anew, and their divergences.

    Args:
      beta: >= 0, weight of the divergence.
      num_subsets: >= 0, drawn per row, uniformly over those of at least two and not
        all of its modalities; a row of fewer than three has none. The paper writes k.

    Source: Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised
      Learning", 2018, eq. 4 and 5, https://arxiv.org/abs/1802.05335. There all rows
      share the subsets of a step; here each row draws its own: the same expectation.
    """
    checks.count("mvae", minimum=0, num_subsets=num_subsets)
    checks.non_negative("mvae", beta=beta, private_beta=private_beta)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where, private)
    views = checked("mvae", *arrays)
    subset_key, noise_key = jax.random.split(key)
    terms = _mvae_terms(subset_key, views, num_subsets, axis_name)
    total = 0.0
    for n, (chosen, scored) in enumerate(terms):
        term_key = jax.random.fold_in(noise_key, n)
        keys = row_keys(term_key, views.rows, axis_name)
        posterior = product(views.mean, views.log_var, chosen, prior_expert="all")
        z = gaussian.sample(keys, *posterior)
        w = private_sample(term_key, views, axis_name)
        log_p = log_likelihood_of(views, decode, z, chosen, w, scored)
        total = total + beta * gaussian.kl(*posterior) - log_p
        total = total + private_kl(views, chosen, private_beta)
    return masked_mean(total, where=views.rows, axis_name=axis_name)


def _mvae_terms(key, views, num_subsets, axis_name):
    """Pairs of the members of a term, [modality, batch], and what it may decode."""
    every = range(len(views.inputs))
    observed = jnp.sum(views.where, axis=0)  # [batch]
    singles = np.eye(len(views.inputs), dtype=bool)[:, :, None]
    terms = [(views.where & (observed > 1)[None], every)]
    terms += [(views.where & singles[m], (m,)) for m in every]
    if num_subsets:
        members = non_empty(len(views.inputs))
        size = members.sum(axis=1)[:, None]
        between = (size > 1) & (size < observed[None])
        between &= valid(members, views.where)
    for n in range(num_subsets):
        own_key = jax.random.fold_in(key, n)
        uniform = independent(own_key, views.rows, axis_name)
        terms.append((choose(uniform, members, between), every))
    return terms


def moe_elbo(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    private: Private | None = None,
    distribution: ModuleType = gaussian,
    prior_log_var: float | Array = 0.0,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    private_beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the average bound of the experts, each of which decodes every modality.

    mean_i mean_m [ beta * KL(q_m || p) - sum_n weight_n log p(x_n | z_m) ], z_m ~ q_m.
    Later papers report it, with Gaussian posteriors, as MMVAE; it is looser than that.
    Each expert draws private latents of all modalities anew.

    Args:
      distribution: `ops.gaussian` or `ops.laplace`, of all posteriors and priors.
      prior_log_var: number or [dim], of p, whose mean is 0.
      beta: >= 0, weight of the divergence.

    Source: Shi et al., "Variational Mixture-of-Experts Autoencoders for Multi-Modal
      Deep Generative Models", 2019, https://arxiv.org/abs/1911.03393.
    """
    checks.non_negative("moe_elbo", beta=beta, private_beta=private_beta)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where, private)
    views = checked("moe_elbo", *arrays)
    keys = row_keys(key, views.rows, axis_name)
    z = distribution.sample(keys, views.mean, views.log_var)  # [modality, batch, dim]
    w = private_sample(key, views, axis_name, len(z), distribution=distribution)
    log_p = log_likelihood_of(views, decode, z, views.where, w)  # [modality, batch]
    kl = distribution.kl(views.mean, views.log_var, 0.0, prior_log_var)
    bounds = mean_observed(log_p - beta * kl, views.where)
    own = private_kl(views, views.where, private_beta, distribution)
    return masked_mean(own - bounds, where=views.rows, axis_name=axis_name)


def mopoe(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    private: Private | None = None,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    private_beta: float | Array = 1.0,
    prior_expert: str = "full",
    subsets: np.ndarray | Callable = non_empty,
    draw: Callable = independent,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the bound of a mixture of products of experts, over all subsets.

    mean_i [ beta * mean_A KL(q_A || N(0, I)) - sum_m weight_m log p(x_m | z) ], where
    A runs over the non-empty subsets of the observed modalities, q_A is the product of
    its experts, and z is drawn from q_A for one A per row, drawn uniformly.

    Args:
      beta: >= 0, weight of the divergence.
      prior_expert: is N(0, I) one more expert? In the subset of all modalities alone
        ("full"), which a row with one missing does not have, in "all", or in "none".
      subsets: which: [subset, modality] bool, their members, or what gives them from M:
        `ops.subsets.non_empty`, all 2^M - 1; `singles`, which makes the bound that of
        `moe_elbo` from one expert per row. The z of a row that has none of them is of
        N(0, I), and it has no divergence.
      draw: how rows draw their subsets: `ops.subsets.independent`, or `stratified` so
        that the subsets of a batch have the same number of rows, up to one.

    Source: Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021,
      https://arxiv.org/abs/2105.02470, with the authors' code: no empty subset, and
      the prior expert in the full one. They give each subset a run of consecutive
      rows; here each row draws its own, which is unbiased at any batch size.
    """
    checks.non_negative("mopoe", beta=beta, private_beta=private_beta)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where, private)
    views = checked("mopoe", *arrays)
    members = checked_members("mopoe", subsets, len(views.inputs))
    mean, log_var, where, rows = views.mean, views.log_var, views.where, views.rows
    subset_key, noise_key = jax.random.split(key)
    uniform = draw(subset_key, rows, axis_name)
    drawn = choose(uniform, members, valid(members, where))
    posterior = product(mean, log_var, drawn, prior_expert=prior_expert)
    z = gaussian.sample(row_keys(noise_key, rows, axis_name), *posterior)
    w = private_sample(noise_key, views, axis_name)
    log_p = log_likelihood_of(views, decode, z, where, w)
    kl = mean_kl(mean, log_var, where, prior_expert=prior_expert, members=members)
    total = beta * kl + private_kl(views, where, private_beta) - log_p
    return masked_mean(total, where=rows, axis_name=axis_name)
