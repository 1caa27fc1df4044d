"""How many components of a mixture a set of rows needs: the others are left out."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.special import entr

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where, masked_mean, present
from repr_jax.ops.numerics import argmax, to_float


class Pruned(NamedTuple):
    """What was fitted."""

    kept: Array  # [component] bool
    log_weights: Array  # [component], normalized over the kept ones; others -inf
    criterion: Array  # [component + 1], of so many components, the least of which
    # decides; inf below 2


def fit(
    log_density: Array,
    log_weights: Array,
    *,
    dim: int,
    beta: float | Array = 1.0,
    where: Array | None = None,
) -> Pruned:
    """Removes the component that has the fewest rows, again and again, down to two.

    Of all these mixtures the one is kept whose criterion is least, mean_i [ beta *
    H(p(c | z_i)) / log(number of components) - log p(z_i) / dim ]: as few components as
    tell rows apart, unless the rows are much less likely then. A row belongs to its
    likeliest component; of components with as few rows the first is removed.

    Args:
      log_density: [batch, component] float, log p(z_i | c).
      log_weights: [component] float, log p(c), of any sum.
      dim: >= 1, of z, by which the density counts less.
      beta: >= 0, weight of the entropy; in the paper that of the divergence.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: fewer than two components; shapes that do not fit together; a row that
        is not finite (traced: it is absent).
      TypeError: integers; a `where` that is not bool.

    Source: Palumbo et al., "Deep Generative Clustering with Multimodal Diffusion
      Variational Autoencoders", 2024, https://openreview.net/forum?id=k5THrhXDV3, as
      MultiVae 1.0.3 has it, which divides by the log of how many probabilities are not
      rounded to 0.
    """
    who = "cluster_pruning.fit"
    checks.same_shape(who, rank=2, log_density=log_density)
    checks.floating(who, log_density=log_density, log_weights=log_weights)
    count = log_density.shape[1]
    checks.count(who, minimum=2, components=count)
    checks.shape(who, (count,), log_weights=log_weights)
    checks.count(who, dim=dim)
    checks.non_negative(who, beta=beta)
    where = checked_where(who, where, log_density.shape[:1])
    checks.finite(who, where=where, log_density=log_density)
    return _fit(log_density, log_weights, where, beta, dim)


def assign(pruned: Pruned, log_density: Array) -> Array:
    """[batch, component] -> [batch] int32, the likeliest of the kept components.

    ValueError for a row that is not finite; in traced code it gets -1.
    """
    checks.finite("cluster_pruning.assign", log_density=log_density)
    finite = jnp.all(jnp.isfinite(log_density), axis=1)
    joint = to_float(log_density) + pruned.log_weights[None]
    return jnp.where(finite, argmax(joint), -1)


@functools.partial(jax.jit, static_argnames="dim")
def _fit(log_density, log_weights, where, beta, dim):
    where &= jnp.all(jnp.isfinite(log_density), axis=1)
    log_density = present(to_float(log_density), where)
    count = log_density.shape[1]

    def of_kept(kept):
        """Normalized log weights, log joint density."""
        weights = jnp.where(kept, log_weights, -jnp.inf)
        weights = weights - jax.nn.logsumexp(weights)
        return weights, log_density + weights[None]

    def remove(kept, number):
        _, joint = of_kept(kept)
        log_p = jax.nn.logsumexp(joint, axis=1)
        entropy = jnp.sum(entr(jnp.exp(joint - log_p[:, None])), axis=1)
        value = beta * entropy / jnp.log(number) - log_p / dim
        mine = jax.nn.one_hot(argmax(joint), count) * where[:, None]
        rows = jnp.where(kept, jnp.sum(mine, axis=0), jnp.inf)
        fewer = kept & (jnp.arange(count) != jnp.argmin(rows))
        return fewer, (kept, masked_mean(value, where=where))

    numbers = jnp.arange(count, 1, -1)  # count, ..., 2
    _, (kept, values) = lax.scan(remove, jnp.ones(count, bool), numbers)
    best = kept[-1 - jnp.argmin(values[::-1])]  # the fewest of equals
    criterion = jnp.full(count + 1, jnp.inf, values.dtype).at[numbers].set(values)
    return Pruned(best, of_kept(best)[0], criterion)
