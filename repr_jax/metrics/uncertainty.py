"""How unsure a model is, by more than one answer: along rays, and over paraphrases."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows
from repr_jax.ops.numerics import l2_normalize, pairwise_dot, to_float


def ray_slopes(
    apply: Callable[[Array], Array], x: Array, *, scale: float | Array
) -> Array:
    """d apply(a x) / d a at a = scale: how fast each logit grows along a row's ray.

    Of a network of rectified linear units they are constant from some scale on, where
    it is on its last polytope. If one logit has the largest slope, the softmax goes to
    1 there: confidence, entropy and the disagreement of members that agree on it say
    "known" of anything far enough away. Only rays on which slopes tie escape.

    Args:
      apply: [batch, ...] -> [batch, num_classes].
      x: [batch, ...] float, the directions.
      scale: > 0.

    Returns:
      [batch, num_classes].

    Source: Ulmer and Cina, "Know Your Limits: Uncertainty Estimation with ReLU
      Classifiers Fails at Reliable OOD Detection", 2021,
      https://arxiv.org/abs/2012.05329. Entropies are in bits there.
    """
    checks.floating("ray_slopes", x=x)
    checks.positive("ray_slopes", scale=scale)
    x = to_float(x)
    return jax.jvp(apply, (scale * x,), (x,))[1]


def inverse_entropy(x: Array, y: Array, *, where: Array | None = None) -> Array:
    """Inv-Entropy: how unsure a model is that answers paraphrases of one question.

    - sum_i P_ii log P_ii, P = P_y P_x, with P_x and P_y the absolute cosines of
      questions and of answers, each row over its sum. Of the diagonal, so no entropy.

    Identical questions give log n whatever the answers. It rises with the spread of
    answers only if questions differ too and n is at least about 5. Published: the mean
    over 20 draws of one of 5 answers for each of 10 paraphrases.

    Args:
      x: [n, dim] float, embeddings of the questions.
      y: [n, other dim] float, of an answer to each.
      where: [n] bool, False for absent pairs; None if all are present.

    Returns:
      float32 scalar in nats, >= 0; turning a row around changes nothing.

    Raises:
      ValueError: x or y is not of rank 2, or they differ in rows. TypeError: integers.

    Source: Song et al., "Inv-Entropy: A Fully Probabilistic Framework for Uncertainty
      Quantification in Language Models", 2025, https://arxiv.org/abs/2506.09684, as in
      the authors' code.
    """
    who = "inverse_entropy"
    checks.rows(who, len(x), y=y)
    x, where = checked_rows(who, where, x=x)
    y, where = checked_rows(who, where, y=y)

    def shares(rows):
        rows = l2_normalize(rows)
        alike = jnp.where(where[None], jnp.abs(pairwise_dot(rows, rows)), 0)
        total = jnp.sum(alike, axis=1, keepdims=True)
        return alike / jnp.where(total == 0, 1, total)

    p = jnp.sum(shares(y) * shares(x).T, axis=1)  # the diagonal of the product
    return -jnp.sum(jnp.where(p == 0, 0, p * jnp.log(jnp.where(p == 0, 1, p))))
