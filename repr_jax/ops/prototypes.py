"""Prototypes, directions of classes that move with the rows assigned to them."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, present
from repr_jax.ops.numerics import l2_normalize, pairwise_dot, same_class, to_float
from repr_jax.ops.sinkhorn import balanced_assignment


def assign(
    z: Array,
    prototypes: Array,
    labels: Array,
    prototype_labels: Array,
    *,
    top: int = 5,
    epsilon: float | Array = 0.05,
    num_steps: int = 3,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[batch, num] shares of each row among the prototypes of its class; they sum to 1.

    `ops.sinkhorn.balanced_assignment` of cosines with all prototypes, of which the
    `top` largest of the row's class are kept. No gradient; zeros in absent rows and in
    those of a class without prototypes.

    Args:
      z: [batch, dim], prototypes: [num, dim] float, any scale.
      labels: [batch], prototype_labels: [num] int.
      top: >= 1, or all of the class where they are fewer.
      epsilon, num_steps: of the assignment. where: [batch] bool, False for absent rows.

    Source: Lu et al., "Learning with Mixture of Prototypes for Out-of-Distribution
      Detection", 2024, https://arxiv.org/abs/2402.02653.
    """
    who = "prototypes.assign"
    z, prototypes, where = _checked(who, z, prototypes, where)
    checks.shape(who, where.shape, labels=labels)
    checks.shape(who, prototypes.shape[:1], prototype_labels=prototype_labels)
    checks.integers(who, labels=labels, prototype_labels=prototype_labels)
    checks.count(who, top=top)
    shares = balanced_assignment(
        pairwise_dot(z, prototypes),
        epsilon=epsilon,
        num_steps=num_steps,
        where=where,
        axis_name=axis_name,
    )
    own = same_class(labels[:, None], prototype_labels[None])
    shares = jnp.where(own & where[:, None], shares, 0)
    rank = jnp.argsort(jnp.argsort(-shares, axis=1), axis=1)
    return _over_sum(jnp.where(rank < top, shares, 0), 1, None)


def update(
    prototypes: Array,
    z: Array,
    weights: Array,
    *,
    decay: float | Array = 0.999,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """decay prototypes + (1 - decay) sum_i weights_ik z_i / sum_i weights_ik, of unit
    length; weights of `assign`.

    z has a gradient. A prototype without rows stays. The authors' command line has a
    decay of 0.999, their class one of 0.99.
    """
    who = "prototypes.update"
    z, prototypes, where = _checked(who, z, prototypes, where)
    checks.floating(who, weights=weights)
    checks.shape(who, (len(z), len(prototypes)), weights=weights)
    weights = _over_sum(present(to_float(weights), where), 0, axis_name)
    means = pairwise_dot(lax.stop_gradient(weights).T, z.T)
    means = means if axis_name is None else lax.psum(means, axis_name)
    return l2_normalize(decay * prototypes + (1 - decay) * means)


def _checked(who, z, prototypes, where):
    """Both of unit length."""
    z, where = checked_rows(who, where, z=z)
    checks.floating(who, prototypes=prototypes)
    checks.shape(who, (*jnp.shape(prototypes)[:1], z.shape[1]), prototypes=prototypes)
    return l2_normalize(z), l2_normalize(prototypes), where


def _over_sum(x, axis, axis_name):
    """x over its sums along the axis; where that is 0, 0."""
    total = jnp.sum(x, axis=axis, keepdims=True)
    total = total if axis_name is None else lax.psum(total, axis_name)
    return x / jnp.where(total == 0, 1, total)
