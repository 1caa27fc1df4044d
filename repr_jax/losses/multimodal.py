"""Evidence bounds that fuse several modalities, as losses: minus the bound, in nats.

Common to all:
  key: PRNG key. Noise is drawn row by row, from the row's rank among the rows of the
    whole batch that have some modality.
  inputs: one [batch, ...] float array x_m per modality.
  mean, log_var: [modality, batch, dim] float, the posterior q_m of each encoder.
  decode: z [batch, dim] -> one array per modality of the shape of its input, the
    location of its likelihood or its logits. It must act on each row by itself, since
    a loss may hand it several samples of the batch at once.
  log_likelihood: (x, decoded) -> [batch], such as those in `ops.likelihood`: one for
    all modalities, or one for each.
  likelihood_weights: [modality] >= 0, None for 1; the papers write lambda. Other
    weights than 1 make the value no bound of log p(x).
  where: [modality, batch] bool, False where absent; None if all are observed. Contents
    of absent entries are irrelevant, even if NaN; their encoders, and their decoders as
    targets, get exactly no gradient. A row without any modality is as good as deleted.
  axis_name: the mapped axis the batch is split over; None if it is whole.
Each returns a float32 scalar in nats, and raises ValueError for shapes that do not fit
together or a negative weight, TypeError for integer inputs or a `where` not bool.
"""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from repr_jax.losses.variational import scale_gradient
from repr_jax.ops import batch, checks, gaussian, likelihood, subsets
from repr_jax.ops.batch import (
    checked_where,
    log_mean_exp,
    masked_mean,
    present,
    row_keys,
)
from repr_jax.ops.numerics import to_float

Likelihood = Callable[[Array, Array], Array]  # x, decoded -> [batch] log density


def mvae(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Callable[[Array], Sequence[Array]],
    *,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    num_subsets: int = 0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus a sum of bounds of products of experts: joint, every single, some subsets.

    mean_i sum_A [ beta * KL(q_A || N(0, I)) - sum_{m in A} weight_m log p(x_m | z_A) ],
    where A is the set of observed modalities, then each of them alone, then
    num_subsets drawn in between, and q_A is N(0, I) times the experts of A. A subset
    that has all of a row's modalities, or one, counts once.

    Args:
      beta: >= 0, weight of the divergence.
      num_subsets: >= 0, drawn per row, uniformly over those of at least two and not
        all of its modalities; a row of fewer than three has none. The paper writes k.

    Source: Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised
      Learning", 2018, eq. 4 and 5, https://arxiv.org/abs/1802.05335. There all rows
      share the subsets of a step; here each row draws its own: the same expectation.
    """
    checks.count("mvae", minimum=0, num_subsets=num_subsets)
    checks.non_negative("mvae", beta=beta)
    views = _views(
        "mvae", inputs, mean, log_var, log_likelihood, likelihood_weights, where
    )
    every = range(len(views.inputs))
    observed = jnp.sum(views.where, axis=0)  # [batch]
    singles = np.eye(len(views.inputs), dtype=bool)[:, :, None]
    subset_key, noise_key = jax.random.split(key)
    terms = [(views.where & (observed > 1)[None], every)]  # (members, to be decoded)
    terms += [(views.where & singles[m], (m,)) for m in every]
    members = subsets.non_empty(len(views.inputs))
    size = members.sum(axis=1)[:, None]
    between = subsets.valid(members, views.where) & (size > 1) & (size < observed[None])
    for n in range(num_subsets):
        keys = row_keys(jax.random.fold_in(subset_key, n), views.rows, axis_name)
        terms.append((subsets.choose(keys, members, between), every))
    total = 0.0
    for n, (chosen, decoded) in enumerate(terms):
        keys = row_keys(jax.random.fold_in(noise_key, n), views.rows, axis_name)
        posterior = subsets.posterior(
            views.mean, views.log_var, chosen, prior_expert="all"
        )
        z = gaussian.sample(keys, *posterior)
        log_p = _log_likelihood(views, decode, z, chosen, decoded)
        total = total + beta * gaussian.kl(*posterior) - log_p
    return masked_mean(total, where=views.rows, axis_name=axis_name)


def moe_elbo(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Callable[[Array], Sequence[Array]],
    *,
    distribution: ModuleType = gaussian,
    prior_log_var: float | Array = 0.0,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the average bound of the experts, each of which decodes every modality.

    mean_i mean_m [ beta * KL(q_m || p) - sum_n weight_n log p(x_n | z_m) ], z_m ~ q_m.
    Later papers report it, with Gaussian posteriors, as MMVAE; it is looser than that.

    Args:
      distribution: `ops.gaussian` or `ops.laplace`, of the posteriors and the prior p.
      prior_log_var: number or [dim], of p, whose mean is 0.
      beta: >= 0, weight of the divergence.

    Source: Shi et al., "Variational Mixture-of-Experts Autoencoders for Multi-Modal
      Deep Generative Models", 2019, https://arxiv.org/abs/1911.03393.
    """
    checks.non_negative("moe_elbo", beta=beta)
    views = _views(
        "moe_elbo", inputs, mean, log_var, log_likelihood, likelihood_weights, where
    )
    keys = row_keys(key, views.rows, axis_name)
    z = distribution.sample(keys, views.mean, views.log_var)  # [modality, batch, dim]
    log_p = _log_likelihood(views, decode, z, views.where)  # [modality, batch]
    kl = distribution.kl(views.mean, views.log_var, 0.0, prior_log_var)
    bounds = _mean_observed(log_p - beta * kl, views.where)
    return masked_mean(-bounds, where=views.rows, axis_name=axis_name)


def mmvae(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Callable[[Array], Sequence[Array]],
    *,
    num_samples: int = 30,
    distribution: ModuleType = gaussian,
    prior_log_var: float | Array = 0.0,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the importance-weighted bounds of the experts of a mixture, averaged.

    The value is that of `mmvae_iwae`; the gradient of mean and log_var is the doubly
    reparameterized one of the same expectation, as in `variational.dreg`. This is the
    form of the published results, which take distribution=laplace, learn the prior's
    log-variance and amount to num_samples of 30 or 50. `decode` runs twice.

    Args:
      num_samples: >= 1, samples per expert and row. The paper writes K.
      distribution: `ops.gaussian` or `ops.laplace`, of the posteriors and the prior.
      prior_log_var: number or [dim], of the prior, whose mean is 0.

    Source: Shi et al. 2019 (as `moe_elbo`), and the authors' code, whose
      other forms are `mmvae_iwae`, `mmvae_tight`; the gradient by Tucker et al. 2019.
    """
    views = _views(
        "mmvae", inputs, mean, log_var, log_likelihood, likelihood_weights, where
    )
    fixed = views._replace(
        mean=lax.stop_gradient(views.mean), log_var=lax.stop_gradient(views.log_var)
    )

    def log_weights(z):
        return _log_weights(fixed, z, decode, distribution, prior_log_var)

    z = _samples("mmvae", key, views, num_samples, distribution, axis_name)
    bounds = log_mean_exp(log_weights(scale_gradient(z, log_weights)))
    bounds = _mean_observed(bounds, views.where)
    return masked_mean(-bounds, where=views.rows, axis_name=axis_name)


def mmvae_iwae(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Callable[[Array], Sequence[Array]],
    *,
    num_samples: int = 30,
    distribution: ModuleType = gaussian,
    prior_log_var: float | Array = 0.0,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the importance-weighted bounds of the experts of a mixture, averaged.

    mean_i mean_m [ -log mean_k p(x, z_mk) / q(z_mk) ], z_mk ~ q_m, q = mean_m q_m, and
    log p(x, z) = log p(z) + sum_n weight_n log p(x_n | z). All means over modalities
    are over those that the row has.

    Args:
      As `mmvae`.

    Source: Shi et al. 2019 (as `moe_elbo`); the code's "looser" form.
    """
    views = _views(
        "mmvae_iwae", inputs, mean, log_var, log_likelihood, likelihood_weights, where
    )
    z = _samples("mmvae_iwae", key, views, num_samples, distribution, axis_name)
    log_weights = _log_weights(views, z, decode, distribution, prior_log_var)
    bounds = _mean_observed(log_mean_exp(log_weights), views.where)
    return masked_mean(-bounds, where=views.rows, axis_name=axis_name)


def mmvae_tight(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Callable[[Array], Sequence[Array]],
    *,
    num_samples: int = 30,
    distribution: ModuleType = gaussian,
    prior_log_var: float | Array = 0.0,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus one importance-weighted bound of all samples of all experts.

    mean_i [ -log mean_mk p(x, z_mk) / q(z_mk) ], with the symbols of `mmvae_iwae`: the
    average over experts is inside the logarithm, so this tends to log p(x), while that
    does not.

    Args:
      As `mmvae`.

    Source: Shi et al. 2019 (as `moe_elbo`); "m_iwae" in the authors' code.
    """
    views = _views(
        "mmvae_tight", inputs, mean, log_var, log_likelihood, likelihood_weights, where
    )
    z = _samples("mmvae_tight", key, views, num_samples, distribution, axis_name)
    log_weights = _log_weights(views, z, decode, distribution, prior_log_var)
    bounds = log_mean_exp(log_mean_exp(log_weights), where=views.where)
    return masked_mean(-bounds, where=views.rows, axis_name=axis_name)


def mopoe(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Callable[[Array], Sequence[Array]],
    *,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    prior_expert: str = "full",
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

    Source: Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021,
      https://arxiv.org/abs/2105.02470, with the authors' code: no empty subset, and
      the prior expert in the full one. They give each subset a run of consecutive
      rows; here each row draws its own, which is unbiased at any batch size.
    """
    checks.non_negative("mopoe", beta=beta)
    views = _views(
        "mopoe", inputs, mean, log_var, log_likelihood, likelihood_weights, where
    )
    mean, log_var, where, rows = views.mean, views.log_var, views.where, views.rows
    members = subsets.non_empty(len(views.inputs))
    subset_key, noise_key = jax.random.split(key)
    drawn = subsets.draw(row_keys(subset_key, rows, axis_name), members, where)
    posterior = subsets.posterior(mean, log_var, drawn, prior_expert=prior_expert)
    z = gaussian.sample(row_keys(noise_key, rows, axis_name), *posterior)
    log_p = _log_likelihood(views, decode, z, where)
    kl = subsets.mean_kl(mean, log_var, where, prior_expert=prior_expert)
    return masked_mean(beta * kl - log_p, where=rows, axis_name=axis_name)


class _Views(NamedTuple):
    """The arguments, checked, in float, with zeros where a modality is absent."""

    inputs: tuple[Array, ...]  # [batch, ...] each
    mean: Array  # [modality, batch, dim]
    log_var: Array  # [modality, batch, dim]
    where: Array  # [modality, batch]
    rows: Array  # [batch], does the row have any modality?
    log_likelihoods: tuple[Likelihood, ...]
    weights: tuple


def _views(who, inputs, mean, log_var, log_likelihood, weights, where):
    checks.same_shape(who, rank=3, mean=mean, log_var=log_var)
    count, num_rows, _ = mean.shape
    inputs = tuple(inputs)
    functions = (log_likelihood,) * count
    functions = functions if callable(log_likelihood) else tuple(log_likelihood)
    weights = (1.0,) * count if weights is None else tuple(weights)
    checks.length(
        who, count, inputs=inputs, log_likelihood=functions, likelihood_weights=weights
    )
    checks.non_negative(
        who, **{f"likelihood_weights[{m}]": weight for m, weight in enumerate(weights)}
    )
    named = {f"inputs[{m}]": x for m, x in enumerate(inputs)}
    checks.rows(who, num_rows, **named)
    checks.floating(who, **named, mean=mean, log_var=log_var)
    where = checked_where(who, where, mean.shape[:2])
    inputs = tuple(present(to_float(x), where[m]) for m, x in enumerate(inputs))
    mean, log_var = (present(to_float(x), where) for x in (mean, log_var))
    rows = jnp.any(where, axis=0)
    return _Views(inputs, mean, log_var, where, rows, functions, weights)


def _log_likelihood(views, decode, z, where, modalities=None):
    """[..., batch] weighted sum of log p(x_m | z) over the targets that `where` marks.

    z: [..., batch, dim]; where: [modality, batch]. Under jit only the decoders of
    `modalities`, all if None, are computed.
    """
    decoded = batch.by_row(lambda rows: tuple(decode(rows)), z)
    checks.length("decode", len(views.inputs), outputs=decoded)
    total = jnp.zeros(z.shape[:-1], z.dtype)
    for m in range(len(decoded)) if modalities is None else modalities:
        log_p = likelihood.by_row(
            views.log_likelihoods[m], views.inputs[m], decoded[m], where[m]
        )
        total = total + views.weights[m] * log_p
    return total


def _samples(who, key, views, num_samples, distribution, axis_name):
    """[sample, modality, batch, dim] from each modality's own posterior."""
    checks.count(who, num_samples=num_samples)
    keys = row_keys(key, views.rows, axis_name)
    return distribution.sample(keys, views.mean, views.log_var, num_samples)


def _log_weights(views, z, decode, distribution, prior_log_var):
    """[sample, modality, batch] log p(x, z) - log q(z), q the mixture of experts."""
    log_p = _log_likelihood(views, decode, z, views.where)
    log_p = log_p + distribution.log_prob(z, 0.0, prior_log_var)
    experts = zip(views.mean, views.log_var)
    log_q = jnp.stack([distribution.log_prob(z, *expert) for expert in experts])
    return log_p - log_mean_exp(log_q, where=views.where[:, None, None])


def _mean_observed(values, where):
    """[n, batch] -> [batch] mean of the values that `where`, [n, batch], marks."""
    count = jnp.maximum(jnp.sum(where, axis=0), 1)
    return jnp.sum(present(values, where), axis=0) / count
