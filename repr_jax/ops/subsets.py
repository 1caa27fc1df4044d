"""Subsets of modalities, and the product-of-experts posterior of each.

`prior_expert` says where the prior N(0, I) is one of the experts: "full", in the subset
of all modalities and in no other; "all", in every subset; "none".
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks, gaussian

PRIOR_EXPERTS = ("full", "all", "none")


def non_empty(num_modalities: int) -> np.ndarray:
    """[2^M - 1, M] bool, members of each subset: singles first, the full one last."""
    checks.count("subsets.non_empty", num_modalities=num_modalities)
    subsets = itertools.product((True, False), repeat=num_modalities)
    return np.array(sorted(subsets, key=sum)[1:])


def valid(members: np.ndarray, where: Array) -> Array:
    """[subset, modality], [modality, batch] -> [subset, batch]: all there?"""
    return jnp.all(~members[:, :, None] | where[None], axis=1)


def draw(keys: Array, members: np.ndarray, where: Array) -> Array:
    """One subset per row, uniform over those whose members are all present.

    keys: [batch]; members: [subset, modality]; where: [modality, batch]. Returns the
    members of each row's subset, [modality, batch] bool, none if no subset is valid.
    """
    return choose(keys, members, valid(members, where))


def choose(keys: Array, members: np.ndarray, allowed: Array) -> Array:
    """As `draw`, uniform over the subsets that `allowed`, [subset, batch], marks."""
    uniform = jax.vmap(jax.random.uniform)(keys)  # [batch], in [0, 1)
    rank = jnp.cumsum(allowed, axis=0)
    wanted = 1 + jnp.floor(uniform * rank[-1]).astype(rank.dtype)  # [batch]
    chosen = allowed & (rank == wanted[None])
    return jnp.any(members[:, :, None] & chosen[:, None], axis=0)


def posterior(mean, log_var, members, *, prior_expert="full"):
    """Posterior of one subset a row: the product of its members' experts.

    mean, log_var: [modality, ..., dim]; members: [modality, ...] bool. Returns (mean,
    log_var), each [..., dim]; N(0, I) for the empty subset.
    """
    checks.one_of("subsets.posterior", PRIOR_EXPERTS, prior_expert=prior_expert)
    everyone = jnp.all(members, axis=0)
    prior = everyone if prior_expert == "full" else prior_expert == "all"
    return gaussian.product_of_experts(mean, log_var, where=members, prior=prior)


def posterior_kls(mean, log_var, *, prior_expert="full") -> Array:
    """KL from every subset's posterior to N(0, I): [2^M - 1, batch], as `non_empty`.

    mean, log_var: [modality, batch, dim] floats. All subsets at once, as sums of
    precisions: two matrix products, arrays of [2^M - 1, batch, dim], no loop.
    """
    checks.one_of("subsets.posterior_kls", PRIOR_EXPERTS, prior_expert=prior_expert)
    num_modalities, batch, dim = mean.shape
    members = non_empty(num_modalities)
    with_prior = {"full": members.all(axis=1), "all": True, "none": False}[prior_expert]
    experts = np.insert(members, num_modalities, with_prior, axis=1)  # the prior's last
    precision = gaussian.precision(log_var)  # [modality, batch, dim]
    weighted = (precision * mean).reshape(num_modalities, -1)
    precision = jnp.concatenate([precision, jnp.ones_like(precision[:1])])
    total = _sums(experts, precision.reshape(num_modalities + 1, -1))
    variance = 1 / total  # [subset, batch * dim]
    fused_mean = _sums(members, weighted) * variance
    terms = variance - 1 + jnp.log(total) + fused_mean**2
    return 0.5 * jnp.sum(terms.reshape(-1, batch, dim), axis=-1)


def _sums(members, values):
    """[subset, expert] bool, [expert, n] -> [subset, n] sums over the members."""
    members = jnp.asarray(members, values.dtype)
    return jnp.matmul(members, values, precision=jax.lax.Precision.HIGHEST)
