"""Contrastive losses of sequences; arguments and errors are those of `contrastive`."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.losses.contrastive import check_options, info_nce
from repr_jax.ops import checks
from repr_jax.ops import similarity as similarities
from repr_jax.ops.batch import checked_where
from repr_jax.ops.similarity import Similarity


def cpc(
    predictions: Array,
    latents: Array,
    *,
    similarity: Similarity = similarities.dot,
    temperature: float | Array = 1.0,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """info_nce of what was predicted at every time of every later time, averaged.

    mean_tk info_nce(predictions[:, t, k - 1], latents[:, t + k]) over the times t and
    the steps k >= 1 ahead that fall within the sequence: negatives are the latents of
    other examples at the time predicted.

    Args:
      predictions: [batch, time, horizon, dim], made at time t of 1, 2, ... steps ahead
        from an autoregressive context, W_k c_t in the paper.
      latents: [batch, time, dim], what the encoder made of each time. The paper writes
        z_t.
      chunk_size: of each of the many problems, which are solved side by side.
      where: [batch] bool, False for absent sequences.

    Raises:
      ValueError: also if horizon is 0 or reaches beyond the sequence.

    Source: van den Oord, Li and Vinyals, "Representation Learning with Contrastive
      Predictive Coding", 2018, eq. 3 and 4, https://arxiv.org/abs/1807.03748. With
      similarity=dot and temperature=1 it is their log-bilinear score; which negatives
      are drawn is left open there.
    """
    check_options("cpc", temperature, chunk_size, axis_name, ring)
    if jnp.ndim(predictions) != 4:
        raise ValueError(
            "cpc: expected predictions of shape [batch, time, horizon, dim]; got "
            f"{jnp.shape(predictions)}."
        )
    batch, time, horizon, dim = predictions.shape
    checks.shape("cpc", (batch, time, dim), latents=latents)
    checks.floating("cpc", predictions=predictions, latents=latents)
    checks.count("cpc", horizon=horizon, **{"time - horizon": time - horizon})
    where = checked_where("cpc", where, (batch,))
    queries = [predictions[:, : time - k, k - 1] for k in range(1, horizon + 1)]
    keys = [latents[:, k:] for k in range(1, horizon + 1)]
    loss = partial(
        info_nce,
        similarity=similarity,
        temperature=temperature,
        chunk_size=chunk_size,
        ring=ring,
        where=where,
        axis_name=axis_name,
    )
    problems = (jnp.concatenate(rows, axis=1) for rows in (queries, keys))
    return jnp.mean(jax.vmap(loss, in_axes=1)(*problems))
