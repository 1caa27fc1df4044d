"""Relevances of candidates for a query, denoised (DiffusionRet).

A training step, of queries and candidates without gradient, the positive at place 0:

    clean = jnp.where(jnp.arange(num) == 0, 1.0, -1.0)
    noisy = diffusion.add_noise(clean, noise, alpha_bar)  # of cosine_alpha_bars(T=50)
    logits = temperature * denoiser.apply(params, noisy, time, queries, candidates)
    loss = losses.cross_entropy(logits, zeros)  # temperature 100

In the authors' code candidates are the positive and the hardest negatives of the batch,
and encoders are trained beside it by `losses.info_nce` both ways. There a candidate is
a video, its frames averaged by their likeness to the query: left to the caller here.

Source: Jin et al., "DiffusionRet: Generative Text-Video Retrieval with Diffusion
  Model", 2023, https://arxiv.org/abs/2303.09867, as in its code.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.models.mlp import MLP
from repr_jax.models.unet import sinusoids
from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float


class Attended(NamedTuple):
    weights: Array  # [batch, num] float32, sum to 1
    pooled: Array  # [batch, dim] float32


def attend(relevance: Array, queries: Array, keys: Array, values: Array) -> Attended:
    """softmax(q . k + relevance) over the candidates, and the values it averages.

    relevance: [batch, num] float, of noise and signal; queries: [batch, dim]; keys,
    values: [batch, num, dim]. Products are not scaled.
    """
    who = "attend"
    checks.same_shape(who, rank=2, relevance=relevance)
    checks.floating(who, relevance=relevance, queries=queries, keys=keys, values=values)
    batch, num = relevance.shape
    checks.shape(who, (batch, *jnp.shape(keys)[2:]), queries=queries)
    checks.shape(who, (batch, num, *jnp.shape(queries)[1:]), keys=keys)
    checks.rows(who, batch, values=values)
    exact = jax.lax.Precision.HIGHEST
    relevance, queries, keys, values = map(to_float, (relevance, queries, keys, values))
    logits = jnp.einsum("bd,bnd->bn", queries, keys, precision=exact) + relevance
    weights = jax.nn.softmax(logits, axis=1)
    return Attended(weights, jnp.einsum("bn,bnd->bd", weights, values, precision=exact))


class RelevanceDenoiser(nn.Module):
    """Noisy relevances and features -> [batch, num] float32 logits of the clean ones.

    w, the weights of `attend` of linear maps of query and candidates, plus an MLP of
    each candidate beside a linear map of what they average. An embedding of the time of
    the noise is added before the first maps. Candidates in another order get their
    logits in that order.
    """

    @nn.compact
    def __call__(self, relevance, time, queries, candidates):
        """[batch, num], [batch] int, [batch, dim], [batch, num, dim]; dim even."""
        checks.same_shape("RelevanceDenoiser", rank=3, candidates=candidates)
        batch, num, dim = candidates.shape
        checks.shape("RelevanceDenoiser", (batch,), time=time)
        level = nn.silu(nn.Dense(dim, name="level_0")(sinusoids(time, dim)))
        level = nn.Dense(dim, name="level_1")(level)
        query, key, value = (
            nn.Dense(dim, use_bias=False, name=name)
            for name in ("query", "key", "value")
        )
        rows = candidates + level[:, None]
        weights, pooled = attend(
            relevance, query(queries + level), key(rows), value(rows)
        )
        pooled = nn.Dense(dim, name="pooled")(pooled)[:, None]
        pooled = jnp.broadcast_to(pooled, candidates.shape)
        both = jnp.concatenate([pooled, candidates], axis=-1).reshape(batch * num, -1)
        change = MLP((2 * dim, 1), name="change")(both, train=False)
        return change.reshape(batch, num) + weights
