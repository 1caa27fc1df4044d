"""Scores of candidates for a query, by a model of either given the other.

Log-likelihoods in, scores out, [query, candidate] float; higher is better.
"""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float


def prior_normalized(
    candidate: Array, prior: Array, *, strength: float | Array
) -> Array:
    """candidate - strength prior: what a candidate owes to the query.

    A candidate that is probable with any query outranks others by its prior alone.

    Args:
      candidate: [query, candidate] float, log p(candidate given query).
      prior: [candidate] or [query, candidate] float, log p(candidate) of the same model
        with the query masked. A constant changes no rank.
      strength: >= 0; 0 is the likelihood. The paper writes alpha, tuned on validation
        data: about 0.8 to 1 for texts of videos, 0 to 0.2 for videos of texts.

    Raises:
      ValueError: shapes do not fit. TypeError: integers.

    Source: Ko et al., "Bidirectional Likelihood Estimation with Multi-Modal Large
      Language Models for Text-Video Retrieval" (BLiM), 2025,
      https://arxiv.org/abs/2507.23284.
    """
    who = "prior_normalized"
    checks.same_shape(who, rank=2, candidate=candidate)
    checks.floating(who, candidate=candidate, prior=prior)
    checks.non_negative(who, strength=strength)
    shape = jnp.shape(candidate)
    checks.shape(who, shape if jnp.ndim(prior) == 2 else shape[1:], prior=prior)
    return to_float(candidate) - strength * jnp.broadcast_to(
        jnp.atleast_2d(to_float(prior)), shape
    )


def blend(scores: Array, others: Array, *, weight: float | Array) -> Array:
    """weight scores + (1 - weight) others, [query, candidate]; weight in [0, 1].

    Such as log p(query given candidate) and `prior_normalized`, then the result and a
    similarity of embeddings. Errors and source as `prior_normalized`.
    """
    checks.same_shape("blend", rank=2, scores=scores, others=others)
    checks.floating("blend", scores=scores, others=others)
    checks.fraction("blend", weight=weight)
    return weight * to_float(scores) + (1 - weight) * to_float(others)
