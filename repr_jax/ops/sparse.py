"""Weights of terms for an inverted index, from weights of tokens.

ids: [..., tokens] int in [0, num_terms); weights: [..., tokens] float >= 0, 0 for
tokens that do not count, such as padding and the first token of BERT. Others are
dropped. The score of a document is the product of its term weights with those of the
query.

Source: Lin and Ma, "A Few Brief Notes on DeepImpact, COIL, and a Conceptual Framework
  for Information Retrieval Techniques" (uniCOIL), 2021,
  https://arxiv.org/abs/2106.14807.
"""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float


def term_max(ids: Array, weights: Array, num_terms: int) -> Array:
    """[..., num_terms] the largest weight of each term, for documents; 0 if none."""
    return _scattered("term_max", ids, weights, num_terms, "max")


def term_sum(ids: Array, weights: Array, num_terms: int) -> Array:
    """[..., num_terms] the sum of the weights of each term, for queries."""
    return _scattered("term_sum", ids, weights, num_terms, "add")


def quantize(weights: Array, *, bits: int = 8, largest: float = 5.0) -> Array:
    """ceil(weights / largest * 2^bits) as int32: above 0 where the weight is.

    The score of integers is about that of floats times (2^bits / largest)^2. Range and
    bits are our choice.
    """
    checks.floating("quantize", weights=weights)
    checks.count("quantize", bits=bits)
    checks.positive("quantize", largest=largest)
    return jnp.ceil(to_float(weights) * (2**bits / largest)).astype(jnp.int32)


def _scattered(who, ids, weights, num_terms, operation):
    checks.integers(who, ids=ids)
    checks.floating(who, weights=weights)
    checks.shape(who, jnp.shape(weights), ids=ids)
    checks.count(who, num_terms=num_terms)
    ids, weights = jnp.asarray(ids), to_float(weights)
    lead = ids.shape[:-1]
    place = jnp.where((ids >= 0) & (ids < num_terms), ids, num_terms)

    def of_row(ids, weights):
        at = jnp.zeros(num_terms, weights.dtype).at[ids]
        return getattr(at, operation)(weights, mode="drop")

    rows = (x.reshape(-1, x.shape[-1]) for x in (place, weights))
    return jax.vmap(of_row)(*rows).reshape(*lead, num_terms)
