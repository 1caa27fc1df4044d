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
from repr_jax.ops.numerics import bounded_exp

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


def posterior(
    mean: Array, log_var: Array, members: Array, *, prior_expert: str = "full"
) -> tuple[Array, Array]:
    """Posterior of one subset a row: the product of its members' experts.

    mean, log_var: [modality, ..., dim]; members: [modality, ...] bool. Returns (mean,
    log_var), each [..., dim]; N(0, I) for the empty subset.
    """
    checks.one_of("subsets.posterior", PRIOR_EXPERTS, prior_expert=prior_expert)
    complete = jnp.all(members, axis=0)
    prior = complete if prior_expert == "full" else prior_expert == "all"
    return gaussian.product_of_experts(mean, log_var, where=members, prior=prior)


def mean_kl(
    mean: Array, log_var: Array, where: Array, *, prior_expert: str = "full"
) -> Array:
    """[batch] KL to N(0, I) of the subset posteriors, averaged over a row's subsets.

    mean, log_var: [modality, batch, dim] floats; where: [modality, batch] bool. A row's
    subsets are those whose members it has; without any the mean is 0. The sum over
    subsets is unrolled, and compiles to loops that hold no array of them all.
    """
    checks.one_of("subsets.mean_kl", PRIOR_EXPERTS, prior_expert=prior_expert)
    members = non_empty(mean.shape[0])
    allowed = valid(members, where)  # [subset, batch]
    shares = allowed / jnp.maximum(jnp.sum(allowed, axis=0, keepdims=True), 1)
    precisions = [bounded_exp(-expert) for expert in log_var]
    weighted = [p * expert for p, expert in zip(precisions, mean)]
    total = jnp.zeros_like(mean[0])  # [batch, dim]
    for subset, share in zip(members, shares.astype(mean.dtype)):
        of_prior = {"full": subset.all(), "all": True, "none": False}[prior_expert]
        own = np.flatnonzero(subset)
        precision = sum(precisions[m] for m in own) + float(of_prior)
        kl = _kl_of_sums(precision, sum(weighted[m] for m in own))
        total = total + share[:, None] * kl
    return jnp.sum(total, axis=-1)


@jax.custom_jvp
def _kl_of_sums(precision, weighted):
    """KL(N(weighted / precision, 1 / precision) || N(0, 1)), elementwise."""
    variance = 1 / precision
    return 0.5 * (variance - 1 + jnp.log(precision) + (weighted * variance) ** 2)


@_kl_of_sums.defjvp
def _kl_of_sums_jvp(primals, tangents):
    """Spelled out, since it halves the time that XLA's CPU code takes."""
    precision, weighted = primals
    variance = 1 / precision
    mean = weighted * variance
    slope = 0.5 * (variance - variance**2) - mean**2 * variance
    tangent = slope * tangents[0] + mean * variance * tangents[1]
    return _kl_of_sums(precision, weighted), tangent
