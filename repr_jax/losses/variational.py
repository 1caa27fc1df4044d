"""Evidence bounds of one input, as losses: minus the bound, in nats.

All take what an encoder returned, `mean` and `log_var` [batch, dim], and `decode`, a
function of a latent [batch, dim] that returns the location of the likelihood, or its
logits. It must act on each row by itself, since a loss may hand it several samples of
the batch at once. The prior is N(0, I). Noise is drawn row by row, from the row's rank
among the present rows of the whole batch.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import batch, checks, gaussian, likelihood
from repr_jax.ops.batch import (
    checked_where,
    log_mean_exp,
    masked_mean,
    num_present,
    present,
    row_keys,
)
from repr_jax.ops.numerics import to_float


def elbo(
    key: Array,
    x: Array,
    mean: Array,
    log_var: Array,
    decode: Callable[[Array], Array],
    *,
    log_likelihood: Callable[[Array, Array], Array] = likelihood.laplace,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the evidence lower bound, from one sample of the posterior per row.

    mean_i [ beta * KL(q || N(0, I)) - log p(x | z) ], z ~ q = N(mean, exp log_var).

    Args:
      key: PRNG key.
      x: [batch, ...] float.
      mean, log_var: [batch, dim] float, the Gaussian posterior.
      decode: [batch, dim] -> [batch, ...], of the shape of x.
      log_likelihood: (x, decoded) -> [batch], such as those in `ops.likelihood`.
      beta: >= 0, weight of the divergence; 1 is the bound.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats.

    Raises:
      ValueError: shapes that do not fit together; a negative beta.
      TypeError: integer inputs; a `where` that is not bool.

    Source: Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, eq. 7,
      https://arxiv.org/abs/1312.6114; beta by Higgins et al., "beta-VAE", 2017.
    """
    checks.non_negative("elbo", beta=beta)
    x, mean, log_var, where = _rows("elbo", x, mean, log_var, where)
    z = gaussian.sample(row_keys(key, where, axis_name), mean, log_var)
    log_p = likelihood.by_row(log_likelihood, x, decode(z), where)
    kl = gaussian.kl(mean, log_var)
    return masked_mean(beta * kl - log_p, where=where, axis_name=axis_name)


def free_nats(
    mean: Array,
    log_var: Array,
    *,
    nats: float | Array = 0.25,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """What the divergences of single latents lack of `nats`: free bits of a bound.

    sum_d max(0, nats - mean_i KL(q_id || N(0, 1))). Added to minus a bound, with the
    weight of its divergence, it makes that sum_d max(nats, mean_i KL_id): a latent that
    has no more than `nats` on average pays nothing for them.

    Args:
      mean, log_var: [batch, dim] float, the Gaussian posterior.
      nats: >= 0, of each latent. The paper writes lambda.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats.

    Raises:
      ValueError: arrays of other shapes; negative nats.
      TypeError: integer inputs; a `where` that is not bool.

    Source: Kingma et al., "Improving Variational Inference with Inverse Autoregressive
      Flow", 2016, eq. 15, https://arxiv.org/abs/1606.04934, its groups single latents.
    """
    checks.non_negative("free_nats", nats=nats)
    mean, log_var, where = batch.checked_rows(
        "free_nats", where, mean=mean, log_var=log_var
    )
    kl = gaussian.kl(mean[..., None], log_var[..., None])  # [batch, dim]
    lacking = nats - masked_mean(kl, where=where, axis_name=axis_name)
    some = num_present(where, axis_name) > 0
    return jnp.where(some, jnp.sum(jnp.maximum(lacking, 0)), 0)


def iwae(
    key: Array,
    x: Array,
    mean: Array,
    log_var: Array,
    decode: Callable[[Array], Array],
    *,
    num_samples: int = 5,
    log_likelihood: Callable[[Array, Array], Array] = likelihood.laplace,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the importance-weighted bound of num_samples samples per row.

    mean_i [ -log mean_k p(x, z_k) / q(z_k | x) ], z_k ~ q = N(mean, exp log_var): the
    bound of `elbo` in expectation for one sample, and tighter for each one more.

    Args:
      key: PRNG key.
      x: [batch, ...] float.
      mean, log_var: [batch, dim] float, the Gaussian posterior.
      decode: [rows, dim] -> [rows, ...], each row of the shape of a row of x.
      num_samples: >= 1, samples per row. The paper writes k.
      log_likelihood: (x, decoded) -> [batch], such as those in `ops.likelihood`.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats.

    Raises:
      ValueError: shapes that do not fit together; num_samples below 1.
      TypeError: integer inputs; a `where` that is not bool.

    Source: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", 2016,
      eq. 8, https://arxiv.org/abs/1509.00519.
    """
    checks.count("iwae", num_samples=num_samples)
    x, mean, log_var, where = _rows("iwae", x, mean, log_var, where)
    z = gaussian.sample(row_keys(key, where, axis_name), mean, log_var, num_samples)
    joint = _log_joint(x, z, decode, log_likelihood, where)
    bound = log_mean_exp(joint - gaussian.log_prob(z, mean, log_var))
    return masked_mean(-bound, where=where, axis_name=axis_name)


def dreg(
    key: Array,
    x: Array,
    mean: Array,
    log_var: Array,
    decode: Callable[[Array], Array],
    *,
    num_samples: int = 5,
    log_likelihood: Callable[[Array, Array], Array] = likelihood.laplace,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """The value of `iwae` with the doubly reparameterized gradient of its posterior.

    The gradient belongs to another estimator of the same expectation: mean and log_var
    get sum_k w_k^2 * d log_weight_k / d z_k * d z_k, where w is the softmax of the
    log_weights, and what `decode` closes over gets that of `iwae`. It does not drown
    in noise as num_samples grows, and vanishes at the exact posterior. `decode` runs
    twice.

    Args:
      As `iwae`.

    Returns:
      float32 scalar in nats.

    Raises:
      As `iwae`.

    Source: Tucker et al., "Doubly Reparameterized Gradient Estimators for Monte Carlo
      Objectives", 2019, eq. 8, https://arxiv.org/abs/1810.04152.
    """
    checks.count("dreg", num_samples=num_samples)
    x, mean, log_var, where = _rows("dreg", x, mean, log_var, where)
    z = gaussian.sample(row_keys(key, where, axis_name), mean, log_var, num_samples)
    fixed = lax.stop_gradient((mean, log_var))

    def log_weights(z):
        joint = _log_joint(x, z, decode, log_likelihood, where)
        return joint - gaussian.log_prob(z, *fixed)

    bound = log_mean_exp(log_weights(scale_gradient(z, log_weights)))
    return masked_mean(-bound, where=where, axis_name=axis_name)


def scale_gradient(z: Any, log_weights: Callable[[Any], Array]) -> Any:
    """z, with the gradient of each sample times its normalized weight.

    z: [sample, ..., dim], or a tree of such; log_weights: z -> [sample, ...]. In a
    bound whose weights do not differentiate the density of the posterior this makes the
    gradient of `dreg`.
    """
    fixed = lax.stop_gradient(z)
    weights = lax.stop_gradient(jax.nn.softmax(log_weights(fixed), axis=0))[..., None]
    return jax.tree.map(lambda old, new: old + weights * (new - old), fixed, z)


def _log_joint(x, z, decode, log_likelihood, where):
    """[sample, batch] log p(x | z) + log p(z)."""
    log_p = likelihood.by_row(log_likelihood, x, batch.by_row(decode, z), where)
    return log_p + gaussian.log_prob(z)


def _rows(who, x, mean, log_var, where):
    """Arguments checked, in float, with zeros in absent rows."""
    checks.same_shape(who, rank=2, mean=mean, log_var=log_var)
    checks.rows(who, mean.shape[0], x=x)
    checks.floating(who, x=x, mean=mean, log_var=log_var)
    where = checked_where(who, where, mean.shape[:1])
    return *(present(to_float(a), where) for a in (x, mean, log_var)), where
