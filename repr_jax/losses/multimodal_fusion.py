"""Mixtures over subsets whose experts are fused in a way of choice.

Arguments in common are those of `losses.multimodal`. `fuse` is (mean, log_var, members)
-> (mean, log_var), as `ops.subsets.posterior` and the functions of `ops.fusion`.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.losses.multimodal_views import (
    Decode,
    Likelihood,
    checked,
    log_likelihood_of,
)
from repr_jax.ops import checks, fusion, gaussian, likelihood
from repr_jax.ops.batch import masked_mean, present, row_keys
from repr_jax.ops.numerics import to_float
from repr_jax.ops.subsets import checked as checked_members
from repr_jax.ops.subsets import choose, independent, non_empty, valid


def fused_elbo(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    fuse: Callable = fusion.barycenter,
    subsets: np.ndarray | Callable = non_empty,
    draw: Callable = independent,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the bound of `mopoe`, with another fusion of the experts of a subset.

    mean_i [ beta * mean_A KL(q_A || N(0, I)) - sum_m weight_m log p(x_m | z) ], A the
    subsets of a row's modalities, q_A what `fuse` makes of their experts, z ~ q_A of
    one A per row.

    Args:
      fuse: `ops.fusion.barycenter` for MWB-VAE, `fusion.hellinger` for HELVAE, ...
      subsets, draw: as in `mopoe`.
      beta: >= 0, weight of the divergence.

    Source: Qiu et al., "Multimodal Variational Autoencoder: a Barycentric View", 2024,
      https://arxiv.org/abs/2412.20487, read in part: that its objective is MoPoE's, is
      an assumption.
    """
    checks.non_negative("fused_elbo", beta=beta)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where)
    views = checked("fused_elbo", *arrays)
    members = checked_members("fused_elbo", subsets, len(views.inputs))
    where, rows = views.where, views.rows
    allowed = valid(members, where)
    subset_key, noise_key = jax.random.split(key)
    drawn = choose(draw(subset_key, rows, axis_name), members, allowed)
    z = gaussian.sample(
        row_keys(noise_key, rows, axis_name), *fuse(views.mean, views.log_var, drawn)
    )
    log_p = log_likelihood_of(views, decode, z, where)
    kls = gaussian.kl(*_of_subsets(views, fuse, members))
    count = jnp.maximum(jnp.sum(allowed, axis=0), 1)
    kl = jnp.sum(present(kls, allowed), axis=0) / count
    return masked_mean(beta * kl - log_p, where=rows, axis_name=axis_name)


def consensus_elbo(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    logits: Array,
    fuse: Callable = fusion.consensus,
    entropy_weight: float | Array = 1.0,
    subsets: np.ndarray | Callable = non_empty,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus a weighted mean of the bounds of subsets, with weights that are learned.

    mean_i [ sum_A p_A (beta * KL(q_A || N(0, I)) - sum_m weight_m log p(x_m | z_A))
    - entropy_weight * H(p) ], z_A ~ q_A, with p the softmax of the logits of a row's
    subsets and q_A the consensus of their experts. All subsets are decoded.

    Args:
      logits: [subset] float, learned; in the order of `subsets`.
      fuse: `ops.fusion.consensus`, with its correlation.
      entropy_weight: >= 0; large values keep p uniform, as the authors' 1000 does.
      subsets: as in `mopoe`.
      beta: >= 0, weight of the divergence.

    Source: Mancisidor et al., "Aggregation of Dependent Expert Distributions in
      Multimodal Variational Autoencoders", 2025, https://arxiv.org/abs/2505.01134, with
      the authors' code.
    """
    who = "consensus_elbo"
    checks.non_negative(who, beta=beta, entropy_weight=entropy_weight)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where)
    views = checked(who, *arrays)
    members = checked_members(who, subsets, len(views.inputs))
    checks.shape(who, (len(members),), logits=logits)
    checks.floating(who, logits=logits)
    allowed = valid(members, views.where)  # [subset, batch]
    logits = jnp.where(allowed, to_float(logits)[:, None], -1e30)
    log_share = jax.nn.log_softmax(logits, axis=0)
    share = present(jnp.exp(log_share), allowed)
    posterior = _of_subsets(views, fuse, members)
    z = gaussian.sample(row_keys(key, views.rows, axis_name), *posterior)
    log_p = log_likelihood_of(views, decode, z, views.where)  # [subset, batch]
    terms = beta * gaussian.kl(*posterior) - log_p + entropy_weight * log_share
    total = jnp.sum(share * present(terms, allowed), axis=0)
    return masked_mean(total, where=views.rows, axis_name=axis_name)


def _of_subsets(views, fuse, members):
    """(mean, log_var), each [subset, batch, dim]; N(0, I) where members are absent."""
    shape = (*members.shape, views.where.shape[1])
    wide = (
        jnp.broadcast_to(members[:, :, None], shape)
        & valid(members, views.where)[:, None]
    )
    return jax.vmap(lambda one: fuse(views.mean, views.log_var, one))(wide)
