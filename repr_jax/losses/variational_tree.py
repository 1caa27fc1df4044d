"""The evidence bound of a latent tree, as a loss: minus the bound, in nats.

Every node has a Gaussian latent given that of the node above; an example goes down one
path, to either child with the probability of a router, and is decoded at a leaf.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks, gaussian, likelihood
from repr_jax.ops.batch import checked_where, masked_mean, present
from repr_jax.ops.numerics import to_float
from repr_jax.trees import growing


def tree_elbo(
    x: Array,
    decoded: Array,
    mean: Array,
    log_var: Array,
    prior_mean: Array,
    prior_log_var: Array,
    logits: Array,
    prior_logits: Array,
    *,
    parents: Array,
    leaves: Array,
    log_likelihood: Callable[[Array, Array], Array] = likelihood.bernoulli,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the evidence lower bound of a tree of latents, one sample of each per row.

    mean_i [ - sum_l P_il log p(x_i | z_il)
             + beta sum_n P_in ( KL(q(z_in) || p(z_in | z above))
                                 + KL(Ber(logits_in) || Ber(prior_logits_in)) ) ],

    l over leaves, n over nodes, P the probability to pass a node, of logits of q as in
    `growing.path_probabilities`. The prior of the root is N(0, I); only nodes with two
    children have routers; nodes that the tree does not have are ignored.

    Args:
      x: [batch, ...] float, such as pixels in [0, 1].
      decoded: [batch, leaf, ...] float, by the decoder of each leaf.
      mean, log_var: [batch, node, dim] float, of q(z | x, z above).
      prior_mean, prior_log_var: [batch, node, dim] float, of p(z | z above); not read
        for the root.
      logits, prior_logits: [batch, node] float, log odds of the child of lower number.
      parents: [node] int, the tree in the form of `trees.growing`.
      leaves: [leaf] int, the node of each decoder; negative for one that is not used.
      log_likelihood: (x, decoded) -> [batch], such as those in `ops.likelihood`.
      beta: >= 0, weight of all divergences; 1 is the bound.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats.

    Raises:
      ValueError, TypeError: shapes that do not fit together; a negative beta; integers.

    Source: Manduchi, Vandenhirtz, Ryser and Vogt, "Tree Variational Autoencoders",
      2023, https://arxiv.org/abs/2306.08984, in the form of the authors' code, which
      also clips the divergence of a node. Its further losses, which contrast two
      augmentations of an image, are not included.
    """
    checks.non_negative("tree_elbo", beta=beta)
    gaussians = (mean, log_var, prior_mean, prior_log_var)
    routers = (logits, prior_logits)
    _check(x, decoded, *gaussians, *routers, parents, leaves)
    where = checked_where("tree_elbo", where, mean.shape[:1])
    passed, divergence = _divergence(*gaussians, *routers, parents, where)
    log_p = _log_p(log_likelihood, x, decoded, passed, leaves, where)
    return masked_mean(beta * divergence - log_p, where=where, axis_name=axis_name)


def _divergence(
    mean, log_var, prior_mean, prior_log_var, logits, prior_logits, parents, where
):
    """[batch, node] probability to pass each node, and [batch] all divergences."""
    there = growing.used(parents)
    below_root = there & (jnp.arange(len(there)) > 0)
    mean, log_var, logits, prior_logits = (
        _of(a, where, there) for a in (mean, log_var, logits, prior_logits)
    )
    prior = [_of(a, where, below_root) for a in (prior_mean, prior_log_var)]
    passed = growing.path_probabilities(logits, parents)
    kl = gaussian.kl(mean, log_var, *prior)
    splits = growing.num_children(parents) == 2
    kl += jnp.where(splits[None, :], bernoulli_kl(logits, prior_logits), 0)
    return passed, jnp.sum(passed * kl, axis=-1)


def _log_p(log_likelihood, x, decoded, passed, leaves, where):
    """[batch]: the log-likelihood by each leaf, weighted by its probability."""
    decodes = jnp.asarray(leaves) >= 0
    by_leaf = jnp.moveaxis(_of(decoded, where, decodes), 1, 0)
    x = present(to_float(x), where)
    log_p = likelihood.by_row(log_likelihood, x, by_leaf, where)  # [leaf, batch]
    share = passed[:, jnp.maximum(jnp.asarray(leaves), 0)]
    share = jnp.where(decodes[None, :], share, 0).T  # [leaf, batch]
    return jnp.sum(share * log_p, axis=0)


def _check(
    x,
    decoded,
    mean,
    log_var,
    prior_mean,
    prior_log_var,
    logits,
    prior_logits,
    parents,
    leaves,
):
    """Shapes that fit together, and floats."""
    who, gaussians = "tree_elbo", dict(mean=mean, log_var=log_var)
    gaussians |= dict(prior_mean=prior_mean, prior_log_var=prior_log_var)
    checks.same_shape(who, rank=3, **gaussians)
    batch = mean.shape[0]
    routers = dict(logits=logits, prior_logits=prior_logits)
    checks.shape(who, mean.shape[:2], **routers)
    checks.shape(who, mean.shape[1:2], parents=parents)
    checks.rows(who, batch, x=x, decoded=decoded)
    num_leaves = jnp.shape(decoded)[1:2]
    checks.shape(who, num_leaves, leaves=leaves)
    checks.shape(who, (batch, *num_leaves, *jnp.shape(x)[1:]), decoded=decoded)
    checks.floating(who, x=x, decoded=decoded, **gaussians, **routers)


def _of(x, where, axis_where):
    """x in float, with zeros where a row or a member of axis 1 is absent."""
    return present(to_float(x), where[:, None] & axis_where[None, :])


def bernoulli_kl(logits: Array, prior_logits: Array) -> Array:
    """KL(Ber(sigmoid logits) || Ber(sigmoid prior_logits)) in nats, of any shape."""
    return sum(
        jax.nn.sigmoid(sign * logits)
        * (jax.nn.log_sigmoid(sign * logits) - jax.nn.log_sigmoid(sign * prior_logits))
        for sign in (1, -1)
    )
