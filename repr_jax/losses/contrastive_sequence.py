"""Contrastive losses of sequences; arguments and errors are those of `contrastive`."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.losses.contrastive import check_options, info_nce
from repr_jax.ops import checks
from repr_jax.ops import similarity as similarities
from repr_jax.ops.batch import checked_rows, checked_where, masked_mean, present
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


def masked_contrastive(
    context: Array,
    targets: Array,
    mask: Array,
    *,
    temperature: float | Array = 0.1,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of finding what a masked step hides among all hidden of a sequence.

    mean over masked steps t of log sum_{u masked} exp(s(c_t, target_u) / temperature) -
    s(c_t, target_t) / temperature, s the cosine. log(n) if all n targets of the
    sequence are equal. Pairs stay within a sequence, so that there is no chunk_size.

    Args:
      context: [batch, time, dim], what the network makes of the masked sequence.
      targets: [batch, time, dim], such as quantized latents; with gradient.
      mask: [batch, time] bool, True for the steps that are hidden.
      where: [batch] bool, False for absent sequences.

    Source: Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of
      Speech Representations", 2020, eq. 3, https://arxiv.org/abs/2006.11477. There 100
      of the other masked steps are drawn; here all are candidates. Its other term is
      `codebook_diversity`, weighted by 0.1.
    """
    who = "masked_contrastive"
    checks.positive(who, temperature=temperature)
    context, targets, where = checked_rows(
        who, where, rank=3, context=context, targets=targets
    )
    checks.shape(who, context.shape[:2], mask=mask)
    checks.boolean(who, mask=mask)
    mask = jnp.asarray(mask) & where[:, None]
    context, targets = (
        similarities.cosine.prepare(present(x, mask)) for x in (context, targets)
    )
    cosines = jnp.einsum("btd,bud->btu", context, targets, precision="highest")
    candidates = mask[:, None] | ~mask[:, :, None]  # of steps that count, those masked
    own = similarities.cosine.of_rows(context, targets)
    logits = (cosines - own[..., None]) / temperature
    terms = jax.nn.logsumexp(jnp.where(candidates, logits, -jnp.inf), axis=2)
    return masked_mean(terms, where=mask, axis_name=axis_name)
