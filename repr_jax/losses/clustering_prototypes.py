"""Losses that assign examples to prototypes, directions that are learned with them."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.contrastive_labels import sup_con
from repr_jax.losses.distillation import cross_view
from repr_jax.ops import checks
from repr_jax.ops.batch import (
    checked_rows,
    checked_where,
    masked_mean,
    num_present,
    present,
)
from repr_jax.ops.numerics import pairwise_dot, to_float
from repr_jax.ops.similarity import cosine
from repr_jax.ops.sinkhorn import balanced_assignment


def swav(
    views: Array,
    prototypes: Array,
    *,
    num_global: int = 2,
    queue: Array | None = None,
    queue_where: Array | None = None,
    temperature: float | Array = 0.1,
    epsilon: float | Array = 0.05,
    num_steps: int = 3,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Each view's prototype is predicted by the others, all prototypes used equally.

    mean over pairs i != j, j a global view, of mean_b -sum_k q_jbk log softmax(s_ib /
    temperature)_k, where s are cosines of views and prototypes and the codes q_j are
    `ops.sinkhorn.balanced_assignment` of s_j, without gradient.

    Args:
      views: [view, batch, dim] float, any scale, the global views first.
      prototypes: [prototype, dim] float, any scale, learned.
      num_global: views that codes are computed of, from 1 to all of them.
      queue: [num_global, size, dim] float, earlier embeddings of these views, equal on
        all devices; codes are balanced over them and the batch. None for none.
      queue_where: [size] bool, False for empty places; None if all are filled.
      temperature: > 0, of the predictions. epsilon, num_steps: of the codes.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats; log(prototypes) if all prototypes are equal.

    Raises:
      ValueError: shapes that do not fit together, or fewer than two views.

    Source: Caron et al., "Unsupervised Learning of Visual Features by Contrasting
      Cluster Assignments", 2020, eq. 1 to 6, https://arxiv.org/abs/2006.09882. Lengths
      are divided out here, with gradient; their code rescales prototypes between steps.
    """
    views, prototypes, queue = _checked(views, prototypes, num_global, queue)
    checks.positive("swav", temperature=temperature)
    where = checked_where("swav", where, views.shape[1:2])
    rows = present(jnp.moveaxis(views, 1, 0), where)
    prototypes = cosine.prepare(prototypes)
    views = jnp.moveaxis(cosine.prepare(rows), 1, 0)
    scores = [pairwise_dot(view, prototypes) for view in views]
    if queue is None:
        queue = jnp.zeros((num_global, 0, prototypes.shape[1]))
    stored, queue_where = _stored(queue, queue_where, prototypes, axis_name)
    options = dict(epsilon=epsilon, num_steps=num_steps, axis_name=axis_name)
    options["where"] = jnp.concatenate([where, queue_where])
    codes = [
        balanced_assignment(jnp.concatenate(pair), **options)[: len(where)]
        for pair in zip(scores, stored)
    ]
    options = dict(temperature=temperature, where=where, axis_name=axis_name)
    return cross_view(jnp.stack(scores), jnp.stack(codes), **options)


def palm(
    z: Array,
    prototypes: Array,
    prototype_labels: Array,
    weights: Array,
    *,
    temperature: float | Array = 0.1,
    contrast_temperature: float | Array = 0.5,
    contrast_weight: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Each row under a mixture of its class's prototypes, those of one class together.

    mean_i [ logsumexp_k(s_ik / temperature) - sum_k weights_ik s_ik / temperature ] +
    contrast_weight sup_con(prototypes, prototype_labels), s cosines.

    In the first term prototypes have no gradient. In the second, `losses.sup_con`, z
    gets some through prototypes that `ops.prototypes.update` moved towards it. A step:
    `assign` weights, `update` the prototypes, assign again, this loss.

    Args:
      z: [batch, dim] float, both views of each example a row, any scale.
      prototypes: [num, dim] float, any scale, equal on all devices.
      prototype_labels: [num] int, of their classes; in the authors' code the number of
        the prototype modulo that of the classes.
      weights: [batch, num] float, of `ops.prototypes.assign`; without gradient.
      temperature, contrast_temperature: > 0, of the terms.
      contrast_weight: >= 0.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats.

    Raises:
      ValueError: shapes do not fit together. TypeError: integers in place of floats.

    Source: Lu et al., "Learning with Mixture of Prototypes for Out-of-Distribution
      Detection", 2024, https://arxiv.org/abs/2402.02653.
    """
    who = "palm"
    z, where = checked_rows(who, where, z=z)
    weights, _ = checked_rows(who, where, weights=weights)
    checks.floating(who, prototypes=prototypes)
    checks.shape(who, (weights.shape[1], z.shape[1]), prototypes=prototypes)
    checks.shape(who, (len(z), len(prototypes)), weights=weights)
    checks.positive(who, temperature=temperature)
    checks.non_negative(who, contrast_weight=contrast_weight)
    fixed = lax.stop_gradient(cosine.prepare(to_float(prototypes)))
    scores = pairwise_dot(cosine.prepare(z), fixed) / temperature
    own = jnp.sum(lax.stop_gradient(weights) * scores, axis=1)
    terms = jax.nn.logsumexp(scores, axis=1) - own
    likelihood = masked_mean(terms, where=where, axis_name=axis_name)
    contrast = sup_con(prototypes, prototype_labels, temperature=contrast_temperature)
    some = num_present(where, axis_name) > 0
    return likelihood + jnp.where(some, contrast_weight * contrast, 0)


def _stored(queue, queue_where, prototypes, axis_name):
    """[size, prototype] scores of each view's queue; [size], which of them count."""
    where = checked_where("swav", queue_where, queue.shape[1:2])
    if axis_name is not None:  # the queue is on every device, and counts once
        where = where & (lax.axis_index(axis_name) == 0)
    rows = [cosine.prepare(present(x, where)) for x in queue]
    return [pairwise_dot(x, prototypes) for x in rows], where


def _checked(views, prototypes, num_global, queue):
    """Views, prototypes and queue in float, refused unless their shapes fit."""
    checks.same_shape("swav", rank=3, views=views)
    checks.floating("swav", views=views, prototypes=prototypes)
    checks.count("swav", num_global=num_global)
    dim = jnp.shape(views)[-1]
    if len(views) < max(2, num_global):
        raise ValueError(
            f"swav: expected two views or more, {num_global} of them global; got "
            f"{len(views)}."
        )
    checks.same_shape("swav", rank=2, prototypes=prototypes)
    checks.shape("swav", (len(prototypes), dim), prototypes=prototypes)
    if queue is not None:
        checks.floating("swav", queue=queue)
        checks.same_shape("swav", rank=3, queue=queue)
        checks.shape("swav", (num_global, jnp.shape(queue)[1], dim), queue=queue)
        queue = to_float(queue)
    return to_float(views), to_float(prototypes), queue
