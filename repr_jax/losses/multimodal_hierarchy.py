"""Losses of latents above latents: the upper level of Nexus, and MHVAE.

Arguments in common are those of `losses.multimodal`.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.multimodal_views import (
    Decode,
    Likelihood,
    checked,
    log_likelihood_of,
)
from repr_jax.ops import checks, gaussian, likelihood
from repr_jax.ops.batch import masked_mean, present, row_keys
from repr_jax.ops.subsets import choose, independent, non_empty, valid
from repr_jax.ops.subsets import posterior as product

Pair = tuple[Array, Array]  # mean, log_var


def nexus_top(
    key: Array,
    latents: Sequence[Array],
    message: Callable[[tuple[Array, ...]], Array],
    encode: Callable[[Array], Pair],
    decode: Decode,
    *,
    drop_rate: float | Array = 0.2,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.gaussian,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the bound of a latent above the latents of all modalities.

    mean_i [ beta * KL(q || N(0, I)) - sum_m weight_m log p(z_m | z) ], z ~ q =
    encode(h), h the mean of the messages that a row keeps. The latents z_m are data
    here: they get no gradient. Their own bounds, below, are `unimodal_elbo`.

    Args:
      latents: one [batch, dim_m] float array z_m per modality, samples.
      message: latents -> [modality, batch, dim], one message each; modality by modality
        and row by row.
      encode: h [batch, dim] -> (mean, log_var) of q, each [batch, top_dim].
      decode: z [batch, top_dim] -> one array per modality, of the shape of its latent.
      drop_rate: in [0, 1], of rows that keep a part of their messages, of a size drawn
        uniformly from 1 to all but one; all latents are still decoded.
      beta: >= 0, weight of the divergence.

    Source: Vasco et al., "Leveraging Hierarchy in Multimodal Generative Models for
      Effective Cross-Modality Inference", 2022, with its code's forced perceptual
      dropout; the code's squared error has no factor 1/2.
    """
    checks.non_negative("nexus_top", beta=beta, drop_rate=drop_rate)
    latents = tuple(latents)
    rows = len(latents[0])
    no_expert = jnp.zeros((len(latents), rows, 1))
    arrays = (latents, no_expert, no_expert, log_likelihood, likelihood_weights, where)
    views = checked("nexus_top", *arrays)
    views = views._replace(inputs=lax.stop_gradient(views.inputs))
    keep_key, noise_key = jax.random.split(key)
    keys = row_keys(keep_key, views.rows, axis_name)
    kept = _thinned(keys, views.where, drop_rate)
    messages = present(message(views.inputs), kept)
    total = jnp.maximum(jnp.sum(kept, axis=0), 1)
    posterior = encode(jnp.sum(messages, axis=0) / total[:, None])
    z = gaussian.sample(row_keys(noise_key, views.rows, axis_name), *posterior)
    log_p = log_likelihood_of(views, decode, z, views.where)
    bounds = log_p - beta * gaussian.kl(*posterior)
    return masked_mean(-bounds, where=views.rows, axis_name=axis_name)


def mhvae(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Decode,
    *,
    conditionals: Sequence[Callable[[Array], tuple[Pair, Pair]]],
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the bound of a hierarchy of latents, from a subset of modalities a row.

    mean_i [ beta * sum_l KL(q_l || p_l) - sum_m weight_m log p(x_m | z_1) ], from the
    top level down: p_L = N(0, I), p_l = p(z_l | z_{l+1}), q_l the product of p_l with
    the experts of a subset, z_l ~ q_l. One subset per row, uniform over the non-empty
    ones of its modalities, for all levels; every present modality is decoded.

    Args:
      mean, log_var: [modality, batch, dim] float, the experts of the top level.
      conditionals: by level, the second from the top first: z of the level above
        [batch, dim] -> (mean, log_var) of p_l, [batch, dim_l] each, and (mean, log_var)
        of its experts, [modality, batch, dim_l] each. An expert must be finite, and
        without gradient, where its modality is absent: give zeros to its network.
      beta: >= 0, weight of the divergences.

    Source: Dorent et al., "Unified Brain MR-Ultrasound Synthesis using Multi-Modal
      Hierarchical Representations", 2023, https://arxiv.org/abs/2309.08747. The product
      adds precisions; the authors' code adds reciprocals of standard deviations.
    """
    checks.non_negative("mhvae", beta=beta)
    arrays = (inputs, mean, log_var, log_likelihood, likelihood_weights, where)
    views = checked("mhvae", *arrays)
    where, rows = views.where, views.rows
    subset_key, key = jax.random.split(key)
    members = non_empty(len(where))
    uniform = independent(subset_key, rows, axis_name)
    subset = choose(uniform, members, valid(members, where))
    posterior = product(views.mean, views.log_var, subset, prior_expert="all")
    kl = gaussian.kl(*posterior)
    z = gaussian.sample(row_keys(key, rows, axis_name), *posterior)
    for level, conditional in enumerate(conditionals):
        prior, experts = conditional(z)
        posterior = gaussian.product_of_experts(
            *(jnp.concatenate([p[None], x]) for p, x in zip(prior, experts)),
            where=jnp.concatenate([jnp.ones_like(rows)[None], subset]),
        )
        kl = kl + gaussian.kl(*posterior, *prior)
        keys = row_keys(jax.random.fold_in(key, 2**31 + level), rows, axis_name)
        z = gaussian.sample(keys, *posterior)
    log_p = log_likelihood_of(views, decode, z, where)
    return masked_mean(beta * kl - log_p, where=rows, axis_name=axis_name)


def _thinned(keys, where, drop_rate):
    """[modality, batch] `where`, of some rows a subset of a size drawn uniformly."""
    count = len(where)
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (count + 2,)))(keys).T
    order = jnp.where(where, uniform[2:], 2.0)
    rank = jnp.sum(order[None] < order[:, None], axis=1)  # among a row's own
    own = jnp.sum(where, axis=0)
    size = 1 + jnp.floor(uniform[0] * jnp.maximum(own - 1, 1))
    dropped = (uniform[1] < drop_rate) & (own > 1)
    return where & (~dropped[None] | (rank < size[None]))
