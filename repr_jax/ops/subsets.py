"""Subsets of modalities, and the product-of-experts posterior of each.

`prior_expert` says where the prior N(0, I) is one of the experts: "full", in the subset
of all modalities and in no other; "all", in every subset; "none".
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks, gaussian
from repr_jax.ops.batch import gather_rows, num_present, row_keys
from repr_jax.ops.numerics import bounded_exp, pairwise_dot

PRIOR_EXPERTS = ("full", "all", "none")
BELOW_1 = 1 - 2**-23  # times a count it is still below that count in float32
BLOCK = 128  # subsets at most whose posteriors are held at once,
ELEMENTS = 2**19  # and their entries, unless four have more: they stay in the cache


def non_empty(num_modalities: int) -> np.ndarray:
    """[2^M - 1, M] bool, members of each subset: singles first, the full one last."""
    checks.count("subsets.non_empty", num_modalities=num_modalities)
    subsets = itertools.product((True, False), repeat=num_modalities)
    return np.array(sorted(subsets, key=sum)[1:])


def singles(num_modalities: int) -> np.ndarray:
    """[M, M] bool, each modality alone."""
    return non_empty(num_modalities)[:num_modalities]


def checked(who: str, subsets: Any, num_modalities: int) -> np.ndarray:
    """[subset, modality] bool of what a loss takes as `subsets`.

    subsets: their members, or what gives them from the number of modalities.
    """
    members = subsets(num_modalities) if callable(subsets) else np.asarray(subsets)
    checks.boolean(who, subsets=members)
    if members.ndim != 2 or members.shape[1] != num_modalities:
        raise ValueError(
            f"{who}: expected subsets [subset, {num_modalities}]; got {members.shape}."
        )
    if not len(members) or not members.any(axis=1).all():
        raise ValueError(
            f"{who}: expected subsets of a modality or more; got {members.tolist()}."
        )
    return members


def valid(members: np.ndarray, where: Array) -> Array:
    """[subset, modality], [modality, batch] -> [subset, batch]: all there?"""
    absent = pairwise_dot(members.astype(np.float32), (~where.T).astype(np.float32))
    return absent == 0


def independent(key: Array, rows: Array, axis_name: str | None = None) -> Array:
    """[batch] numbers in [0, 1) by which rows draw their subsets, each by itself.

    rows: [batch] bool, those that have any modality; see `batch.row_keys`.
    """
    return jax.vmap(jax.random.uniform)(row_keys(key, rows, axis_name))


def stratified(key: Array, rows: Array, axis_name: str | None = None) -> Array:
    """As `independent`, each uniform by itself, but all at distances of 1 / batch.

    The present rows stand in a random order, from a random start, so that rows that
    have the same modalities draw each of K subsets batch / K times, rounded up or down.
    """
    order_key, key = jax.random.split(key)
    random = (independent(order_key, rows, axis_name), ~rows)
    order = jnp.lexsort(gather_rows(random, axis_name))  # absent rows last
    rank = jnp.zeros_like(order).at[order].set(jnp.arange(len(order)))
    if axis_name is not None:
        start = jax.lax.axis_index(axis_name) * len(rows)
        rank = jax.lax.dynamic_slice_in_dim(rank, start, len(rows))
    place = rank + jax.random.uniform(key)
    place = place / jnp.maximum(num_present(rows, axis_name), 1)
    return jnp.minimum(place, BELOW_1)


def choose(uniform: Array, members: np.ndarray, allowed: Array) -> Array:
    """One subset per row, uniform over those that `allowed`, [subset, batch], marks.

    uniform: [batch] in [0, 1), of `independent` or `stratified`; members: [subset,
    modality]. Returns [modality, batch] bool, the members of each row's subset, none if
    no subset is allowed.
    """
    rank = jnp.cumsum(allowed, axis=0)
    wanted = 1 + jnp.floor(uniform * rank[-1]).astype(rank.dtype)  # [batch]
    chosen = allowed & (rank == wanted[None])
    counts = pairwise_dot(members.T.astype(np.float32), chosen.T.astype(np.float32))
    return counts > 0


def thin(keys: Array, where: Array, *, drop_rate: float | Array) -> Array:
    """[modality, batch] `where` with each modality dropped at a rate, never all.

    keys: [batch]. drop_rate: in [0, 1]. A row that would lose all that it has keeps
    one of them, drawn uniformly.
    """
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (len(where) + 1,)))(keys).T
    kept = where & (uniform[1:] >= drop_rate)
    one = choose(uniform[0], np.eye(len(where), dtype=bool), where)
    return jnp.where(jnp.any(kept, axis=0), kept, one)


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
    mean: Array,
    log_var: Array,
    where: Array,
    *,
    prior_expert: str = "full",
    members: np.ndarray,
) -> Array:
    """[batch] KL to N(0, I) of the subset posteriors, averaged over a row's subsets.

    mean, log_var: [modality, batch, dim] floats; where: [modality, batch] bool;
    members: [subset, modality] bool. A row's subsets are those whose
    members it has; without any the mean is 0. The posteriors are one product of
    `members` with the experts, of a block of subsets at a time.
    """
    checks.one_of("subsets.mean_kl", PRIOR_EXPERTS, prior_expert=prior_expert)
    allowed = valid(members, where)  # [subset, batch]
    shares = allowed / jnp.maximum(jnp.sum(allowed, axis=0, keepdims=True), 1)
    full = members.all(axis=1)
    of_prior = {"full": full, "all": full | True, "none": full & False}[prior_expert]
    size = min(BLOCK, len(members), max(4, ELEMENTS // max(mean[0].size, 1)))
    pad = -len(members) % size  # with priors of no share
    members = np.pad(members, [(0, pad), (0, 0)]).reshape(-1, size, len(mean))
    of_prior = np.pad(of_prior, (0, pad), constant_values=True).reshape(-1, size, 1, 1)
    shares = jnp.pad(shares, [(0, pad), (0, 0)]).reshape(-1, size, where.shape[1])
    parts = [jnp.asarray(x, mean.dtype) for x in (members, of_prior, shares)]
    precision = bounded_exp(-log_var)
    sums = jnp.stack([precision, precision * mean], axis=1)
    sums = sums.reshape(len(mean), -1)  # [modality, 2 * batch * dim]

    def block(members, of_prior, shares):
        both = jnp.matmul(members, sums, precision=jax.lax.Precision.HIGHEST)
        both = both.reshape(-1, 2, *mean.shape[1:])  # [subset, 2, batch, dim]
        kl = _kl_of_sums(both[:, 0] + of_prior, both[:, 1])
        return jnp.sum(shares * jnp.sum(kl, axis=-1), axis=0)

    if len(parts[0]) == 1:
        return block(*(x[0] for x in parts))
    return jnp.sum(jax.lax.map(lambda x: jax.checkpoint(block)(*x), parts), axis=0)


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
