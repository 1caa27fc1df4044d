"""New rows between given ones: convex combinations of unit rows, of unit length."""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where, present, row_keys
from repr_jax.ops.numerics import l2_normalize, to_float


def between(first: Array, second: Array, share: float | Array) -> Array:
    """share first + (1 - share) second, both of unit length before and after.

    first, second: [..., dim]; share: in [0, 1], broadcasts with [..., 1].
    """
    first, second = l2_normalize(first), l2_normalize(second)
    return l2_normalize(share * first + (1 - share) * second)


def listwise(
    queries: Array, negatives: Array, *, temperature: float | Array = 0.1
) -> Array:
    """One row of all negatives of a query, the more similar the more weight.

    [batch, dim], [batch, num, dim] -> [batch, dim]: sum_j softmax_j(cos(q, n_j) /
    temperature) n_j of unit rows n, at unit length. Weights have a gradient.

    Source: Zhao et al., "KaLM-Embedding-V2", 2025, https://arxiv.org/abs/2506.20923.
    """
    queries, negatives = l2_normalize(queries), l2_normalize(negatives)
    cosines = jnp.sum(queries[:, None] * negatives, axis=-1)
    weights = jax.nn.softmax(cosines / temperature, axis=1)
    return l2_normalize(jnp.sum(weights[..., None] * negatives, axis=1))


def mixed_negatives(
    key: Array,
    negatives: Array,
    *,
    num: int = 1,
    concentration: float | Array = 2.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`between` of two different hard negatives of each row, drawn anew.

    Args:
      negatives: [batch, candidates, dim] float, at least two of each row.
      num: >= 1, rows to make of each.
      concentration: > 0, a: shares are of a Beta(a, a), symmetric around a half.

    Returns:
      [batch, num, dim], of unit length, with a gradient; zeros where absent.

    Source: Zhao et al. 2025 (as `listwise`). Their law of the shares is not known to
      us, and Beta(2, 2) our choice.
    """
    who = "mixed_negatives"
    checks.same_shape(who, rank=3, negatives=negatives)
    checks.floating(who, negatives=negatives)
    checks.count(who, minimum=2, candidates=jnp.shape(negatives)[1])
    checks.count(who, num=num)
    where = checked_where(who, where, jnp.shape(negatives)[:1])
    negatives = present(to_float(negatives), where)

    def of_row(key, negatives):
        def one(key):
            pair, share = jax.random.split(key)
            two = jax.random.choice(pair, len(negatives), (2,), replace=False)
            drawn = jax.random.beta(share, concentration, concentration)
            return between(*negatives[two], drawn)

        return jax.vmap(one)(jax.random.split(key, num))

    return jax.vmap(of_row)(row_keys(key, where, axis_name), negatives)
