"""Examples made of two others, and what their labels then are."""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks


def mixup(key: Array, x: Array, targets: Array, *, alpha: float) -> tuple[Array, Array]:
    """`mixed` with a random other row, by max(share, 1 - share), share ~ Beta(alpha,
    alpha), one a batch: every row stays the larger part of its mixture.

    x is [rows, ...], labeled rows and rows with predicted targets together, targets
    [rows, num_classes]; alpha > 0.

    `data.augment.mix` mixes two batches of images by a share that may be small.

    Source: Berthelot et al., "MixMatch", 2019, eqs. 8 to 11,
      https://arxiv.org/abs/1905.02249; as used by Roy and Etemad, "Scaling Up
      Semi-Supervised Learning with Unconstrained Unlabelled Data" (UnMixMatch), 2024,
      https://arxiv.org/abs/2306.01222, whose loss takes the labeled rows alone.
    """
    checks.positive("mixup", alpha=alpha)
    share_key, order_key = jax.random.split(key)
    share = jax.random.beta(share_key, alpha, alpha)
    order = jax.random.permutation(order_key, jnp.shape(x)[0])
    return mixed(x, targets, order, share=jnp.maximum(share, 1 - share))


def mixed(
    x: Array, targets: Array, order: Array, *, share: float | Array
) -> tuple[Array, Array]:
    """share x + (1 - share) x_order, and the targets likewise.

    x: [rows, ...] float, targets: [rows, num_classes] float, order: [rows] int, share
    in [0, 1]. ValueError for shapes that do not fit; TypeError for integers in x.
    """
    checks.floating("mixed", x=x, targets=targets)
    checks.rows("mixed", jnp.shape(x)[0], targets=targets, order=order)
    checks.integers("mixed", order=order)
    checks.fraction("mixed", share=share)
    order = jnp.asarray(order)
    x, targets = (
        share * jnp.asarray(a) + (1 - share) * jnp.asarray(a)[order]
        for a in (x, targets)
    )
    return x, targets


def splice(x: Array, others: Array, subset: Array, *, axis: int) -> Array:
    """x where `subset` of an axis is True, else others: of joints, the upper body, say.

    x, others: [batch, ...] of one shape; subset: bool of the length of the axis.
    ValueError for shapes that do not fit; TypeError for a subset that is not bool.
    """
    checks.same_shape("splice", x=x, others=others)
    checks.shape("splice", (jnp.shape(x)[axis],), subset=subset)
    checks.boolean("splice", subset=subset)
    shape = [1] * jnp.ndim(x)
    shape[axis] = -1
    return jnp.where(jnp.reshape(subset, shape), x, others)


def rebalanced_share(
    counts: Array,
    labels: Array,
    others: Array,
    *,
    share: float = 0.5,
    ratio: float = 5.0,
) -> Array:
    """[batch] how much of a spliced example's loss is that of its first label.

    0 where the class of the first label has more than `ratio` times the rows of that of
    the second, 1 where it is the other way round, else share: the rarer label wins. The
    loss is a CE(labels) + (1 - a) CE(others).

    counts: [num_classes] rows of each class; labels, others: [batch] int.

    Source: Liu et al., "Balanced Representation Learning for Long-Tailed
      Skeleton-Based Action Recognition", 2023, https://arxiv.org/abs/2308.14024, as in
      its code, where the last pair of a batch decides for all; here each for itself.
    """
    who = "rebalanced_share"
    checks.same_shape(who, rank=1, counts=counts)
    checks.same_shape(who, rank=1, labels=labels, others=others)
    checks.integers(who, labels=labels, others=others)
    checks.fraction(who, share=share)
    checks.positive(who, ratio=ratio)
    counts = jnp.asarray(counts, jnp.result_type(float))
    first, second = counts[jnp.asarray(labels)], counts[jnp.asarray(others)]
    chosen = jnp.where(second > ratio * first, 1.0, share)
    return jnp.where(first > ratio * second, 0.0, chosen)
