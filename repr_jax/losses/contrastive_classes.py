"""Contrastive losses of the theory of latent classes: scores are plain products.

Common to both:
  anchors: [batch, dim] float; nothing is normalized.
  link: a function of `ops.links`, hinge or logistic. Both are 1 if all rows are equal,
    so that the logistic one is in bits, not nats.
  where, axis_name, errors: as in `contrastive`.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks, links
from repr_jax.ops.batch import checked_rows, masked_mean, present
from repr_jax.ops.numerics import to_float


def block_contrastive(
    anchors: Array,
    positives: Array,
    negatives: Array,
    *,
    link: Callable[[Array], Array] = links.logistic,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Anchors are closer to the mean of similar rows than to the mean of others.

    mean_i link(x_i . (mean_b positives_ib - mean_b negatives_ib)). By convexity at most
    the mean over b of the loss of single rows.

    Args:
      positives: [batch, block, dim] float, rows of the latent class of the anchor.
      negatives: [batch, other block, dim] float, rows of one class drawn at random.

    Source: Arora et al., "A Theoretical Analysis of Contrastive Unsupervised
      Representation Learning", 2019, "CURL", of blocks,
      https://arxiv.org/abs/1902.09229.
    """
    who = "block_contrastive"
    anchors, where = checked_rows(who, where, anchors=anchors)
    positives, negatives = (
        jnp.mean(_block(who, anchors, where, **{name: x}), axis=1)
        for name, x in (("positives", positives), ("negatives", negatives))
    )
    v = jnp.sum(anchors * (positives - negatives), axis=-1)
    return masked_mean(link(v[:, None]), where=where, axis_name=axis_name)


def many_negatives(
    anchors: Array,
    positives: Array,
    negatives: Array,
    *,
    link: Callable[[Array], Array] = links.logistic,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Anchors are closer to a similar row than to each of k others.

    mean_i link((x_i . (positives_i - negatives_ij))_j). With the logistic link it is
    cross-entropy among k + 1 candidates of plain products, in bits.

    Args:
      positives: [batch, dim] float, a row of the latent class of the anchor.
      negatives: [batch, k, dim] float, each of a class drawn at random.

    Source: Arora et al. 2019 (as `block_contrastive`), definition 2.3 for k = 1.
    """
    who = "many_negatives"
    anchors, positives, where = checked_rows(
        who, where, anchors=anchors, positives=positives
    )
    negatives = _block(who, anchors, where, negatives=negatives)
    v = jnp.sum(anchors[:, None] * (positives[:, None] - negatives), axis=-1)
    return masked_mean(link(v), where=where, axis_name=axis_name)


def _block(who, anchors, where, **block):
    """[batch, block, dim] float, 0 where absent."""
    ((name, x),) = block.items()
    checks.floating(who, **block)
    batch, dim = anchors.shape
    checks.shape(who, (batch, *jnp.shape(x)[1:2], dim), **block)
    checks.count(who, **{f"rows of {name}": jnp.shape(x)[1]})
    return present(to_float(x), where)
