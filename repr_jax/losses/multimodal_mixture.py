"""Mixtures of experts by importance-weighted bounds: MMVAE in its three forms.

Arguments in common are those of `losses.multimodal`. Private latents, if there are any,
are drawn anew by every expert and for every sample, and weigh by p(w) / q(w).
"""

from collections.abc import Sequence
from types import ModuleType

import jax.numpy as jnp
from jax import Array

from repr_jax.losses.multimodal_views import (
    Decode,
    Likelihood,
    Private,
    checked,
    log_likelihood_of,
    mean_observed,
    mixture_of,
    private_sample,
    without_gradient,
)
from repr_jax.losses.variational import scale_gradient
from repr_jax.ops import checks, gaussian, likelihood, mixture
from repr_jax.ops.batch import log_mean_exp, masked_mean, row_keys


def mmvae(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    private: Private | None = None,
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
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where, private)
    views = checked("mmvae", *arrays)
    fixed = without_gradient(views)

    def log_weights(samples):
        return _log_weights(fixed, samples, decode, distribution, prior_log_var)

    samples = _samples("mmvae", key, views, num_samples, distribution, axis_name)
    bounds = log_mean_exp(log_weights(scale_gradient(samples, log_weights)))
    bounds = mean_observed(bounds, views.where)
    return masked_mean(-bounds, where=views.rows, axis_name=axis_name)


def mmvae_iwae(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    private: Private | None = None,
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
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where, private)
    views = checked("mmvae_iwae", *arrays)
    samples = _samples("mmvae_iwae", key, views, num_samples, distribution, axis_name)
    log_weights = _log_weights(views, samples, decode, distribution, prior_log_var)
    bounds = mean_observed(log_mean_exp(log_weights), views.where)
    return masked_mean(-bounds, where=views.rows, axis_name=axis_name)


def mmvae_tight(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    private: Private | None = None,
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
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where, private)
    views = checked("mmvae_tight", *arrays)
    samples = _samples("mmvae_tight", key, views, num_samples, distribution, axis_name)
    log_weights = _log_weights(views, samples, decode, distribution, prior_log_var)
    bounds = log_mean_exp(log_mean_exp(log_weights), where=views.where)
    return masked_mean(-bounds, where=views.rows, axis_name=axis_name)


def _samples(who, key, views, num_samples, distribution, axis_name):
    """Of each modality's own posterior: z [sample, modality, batch, dim], private w."""
    checks.count(who, num_samples=num_samples)
    keys = row_keys(key, views.rows, axis_name)
    z = distribution.sample(keys, views.mean, views.log_var, num_samples)
    lead = (num_samples, len(views.mean))
    return z, private_sample(key, views, axis_name, *lead, distribution=distribution)


def _log_weights(views, samples, decode, distribution, prior_log_var):
    """[sample, modality, batch] log p(x, z) - log q(z), q the mixture of experts."""
    z, w = samples
    log_p = log_likelihood_of(views, decode, z, views.where, w)
    log_p = log_p + distribution.log_prob(z, 0.0, prior_log_var)
    for n, (own, posterior) in enumerate(zip(w, views.private)):
        ratio = distribution.log_prob(own) - distribution.log_prob(own, *posterior)
        log_p = log_p + jnp.where(views.where[n], ratio, 0.0)
    return log_p - mixture.log_prob(mixture_of(views), z, distribution)
