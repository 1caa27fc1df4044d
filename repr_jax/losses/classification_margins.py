"""Softmax losses of the cosines to prototypes of classes, with a margin.

Common to all:
  x: [batch, dim] float, any scale.
  labels: [batch] int in [0, num_classes); others count for no class.
  prototypes: [num_classes, dim] float, any scale, learned; a classifier without bias.
  where: [batch] bool, False for absent rows; None if all are present.
  axis_name: the mapped axis the batch is split over; None if it is whole.
Each returns a float32 scalar in nats, and raises ValueError for shapes that do not fit
together and numbers out of range; TypeError for integers in place of floats, or labels
that are none.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.classification import cross_entropy
from repr_jax.ops import checks, margins
from repr_jax.ops.batch import checked_rows, gather_rows
from repr_jax.ops.numerics import l2_normalize, length, one_hot, pairwise_dot


def cosface(
    x: Array,
    labels: Array,
    prototypes: Array,
    *,
    margin: float | Array = 0.35,
    scale: float | Array = 64.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy in which a row's cosine to its own class is less by a margin.

    -mean_i log softmax(scale (c_i - margin onehot_i)) of the label, c_ik the cosine of
    x_i and prototype k.

    Args:
      margin: >= 0; 0 is the softmax of scaled cosines. The paper writes m.
      scale: > 0. The paper writes s.

    Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition",
      2018, eq. 4, https://arxiv.org/abs/1801.09414.
    """
    cosines, where = checked_cosines("cosface", x, labels, prototypes, where)
    checks.non_negative("cosface", margin=margin)
    checks.positive("cosface", scale=scale)
    logits = margins.cosface(cosines, labels, margin=margin, scale=scale)
    return cross_entropy(logits, labels, where=where, axis_name=axis_name)


def arcface(
    x: Array,
    labels: Array,
    prototypes: Array,
    *,
    margin: float | Array = 0.5,
    scale: float | Array = 64.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy in which a row's angle to its own class is more by a margin.

    -mean_i log softmax(scale cos(theta_i + margin onehot_i)) of the label, theta_ik the
    angle between x_i and prototype k; `ops.margins.arcface` says what is done beyond
    theta = pi - margin.

    Args:
      margin: in [0, pi], radians. The paper writes m.
      scale: > 0. The paper writes s.

    Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face
      Recognition", 2019, eq. 3, https://arxiv.org/abs/1801.07698.
    """
    cosines, where = checked_cosines("arcface", x, labels, prototypes, where)
    checks.non_negative("arcface", margin=margin)
    checks.positive("arcface", scale=scale)
    logits = margins.arcface(cosines, labels, margin=margin, scale=scale)
    return cross_entropy(logits, labels, where=where, axis_name=axis_name)


def sphereface(
    x: Array,
    labels: Array,
    prototypes: Array,
    *,
    margin: int = 4,
    scale: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy in which a row's angle to its own class is multiplied by a margin.

    -mean_i log softmax(scale |x_i| c_i) of the label, c_ik the cosine of x_i and
    prototype k, for the own class of `margin` times the angle: `ops.margins.sphereface`
    says how it goes on beyond pi.

    Args:
      margin: >= 1; 1 is the softmax of x by normalized prototypes. The paper writes m.
      scale: > 0, beside the length of the row. The paper has none.

    Source: Liu et al., "SphereFace: Deep Hypersphere Embedding for Face Recognition",
      2017, https://arxiv.org/abs/1704.08063, without the annealing of the
      authors' code.
    """
    who = "sphereface"
    cosines, where = checked_cosines(who, x, labels, prototypes, where)
    checks.count(who, margin=margin)
    checks.positive(who, scale=scale)
    (x,) = checked_rows(who, where, x=x)[:1]
    lengths = scale * length(x)[:, None]
    logits = margins.sphereface(cosines, labels, margin=margin, scale=lengths)
    return cross_entropy(logits, labels, where=where, axis_name=axis_name)


def madacos(
    x: Array,
    labels: Array,
    prototypes: Array,
    *,
    median_probability: float | Array = 0.02,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`cosface` whose scale and margin follow the batch: its median row sets them.

    With t the lower median of the cosines to the own class, of row r, and p =
    median_probability: scale = max(32, log((1 - p) / p * 9999999) / (1 - t)), margin =
    max(0, t - log(p / (1 - p) * sum_{k != y_r} exp(scale c_rk)) / scale).

    Where the margin is above 0, the row r has the probability p of its class. Neither
    gets a gradient. 1 - t is at least 1e-4. Evaluate with margin 0.

    Args:
      labels: also int in [0, num_classes); a row of no class has a cosine of 0.
      median_probability: in (0, 1). The paper writes alpha.

    Source: Zhu et al., "Coarse-to-Fine: Learning Compact Discriminative Representation
      for Single-Stage Image Retrieval", 2023, https://arxiv.org/abs/2308.04008, as in
      the authors' code, whose configs take 0.02.
    """
    who = "madacos"
    cosines, where = checked_cosines(who, x, labels, prototypes, where)
    checks.count(who, minimum=2, num_classes=len(prototypes))
    checks.positive(who, median_probability=median_probability)
    checks.positive(who, **{"1 - median_probability": 1 - median_probability})
    fixed = lax.stop_gradient(cosines)
    scale, margin = _median_scale(fixed, labels, median_probability, where, axis_name)
    logits = margins.cosface(cosines, labels, margin=margin, scale=scale)
    return cross_entropy(logits, labels, where=where, axis_name=axis_name)


def _median_scale(cosines, labels, probability, where, axis_name):
    """[] scale and [] margin of `madacos`."""
    own = one_hot(labels, cosines.shape[1], dtype=bool)
    cosines, own, where = gather_rows((cosines, own, where), axis_name)
    targets = jnp.sum(jnp.where(own, cosines, 0), axis=1)
    order = jnp.argsort(jnp.where(where, targets, jnp.inf))
    row = order[jnp.maximum(jnp.sum(where) - 1, 0) // 2]
    odds = jnp.log((1 - probability) / probability)
    gap = jnp.maximum(1 - targets[row], 1e-4)
    scale = jnp.maximum(32.0, (odds + jnp.log(9999999.0)) / gap)
    log_others = jax.nn.logsumexp(jnp.where(own[row], -jnp.inf, scale * cosines[row]))
    return scale, jnp.maximum(targets[row] - (log_others - odds) / scale, 0)


def checked_cosines(
    who: str, x: Array, labels: Array, prototypes: Array, where: Array | None
) -> tuple[Array, Array]:
    """[batch, num_classes] cosines of the checked arguments; `where`."""
    x, where = checked_rows(who, where, x=x)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    checks.floating(who, prototypes=prototypes)
    checks.shape(who, (*jnp.shape(prototypes)[:1], x.shape[1]), prototypes=prototypes)
    return pairwise_dot(l2_normalize(x), l2_normalize(prototypes)), where
