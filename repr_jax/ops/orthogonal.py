"""Orthogonal matrices: rotations of free parameters, and those nearest to a matrix."""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import l2_normalize, to_float


def rotation(a: Array) -> Array:
    """[dim, dim] -> [dim, dim] exp(U - U^T), U the part of a above its diagonal.

    Orthogonal, with determinant 1; the identity at 0. The rest of a is not used.
    """
    checks.floating("rotation", a=a)
    checks.shape("rotation", (*jnp.shape(a)[:1],) * 2, a=a)
    upper = jnp.triu(to_float(a), 1)
    with jax.default_matmul_precision("highest"):
        return jax.scipy.linalg.expm(upper - upper.T)


def polar(m: Array) -> Array:
    """[n, k] -> [n, k] U V^T of the singular value decomposition U S V^T.

    The matrix of orthonormal columns, or rows, nearest to m in the Frobenius norm; that
    of Z^T Y rotates rows Z onto rows Y (Procrustes).
    """
    checks.floating("polar", m=m)
    checks.same_shape("polar", rank=2, m=m)
    u, _, vt = jnp.linalg.svd(to_float(m), full_matrices=False)
    return jnp.matmul(u, vt, precision="highest")


def newton_schulz(m: Array, *, num_steps: int = 10) -> Array:
    """`polar` by products alone: x <- 1.5 x - 0.5 x x^T x, from m over its norm.

    Equal to it up to rounding for condition numbers up to about 30 in 15 steps;
    directions of far smaller singular values remain small.
    """
    checks.floating("newton_schulz", m=m)
    checks.same_shape("newton_schulz", rank=2, m=m)
    checks.count("newton_schulz", num_steps=num_steps)
    m = to_float(m)
    x = l2_normalize(m.ravel()).reshape(m.shape)
    for _ in range(num_steps):
        gram = jnp.matmul(x.T, x, precision="highest")
        x = 1.5 * x - 0.5 * jnp.matmul(x, gram, precision="highest")
    return x


def transformed_basis(
    features: Array, small: Array, first: Array, second: Array, *, gain: float = 3.0
) -> Array:
    """New features and old ones in one vector, by two changes of basis.

    u = [unit(small); first (gain unit(features))]; the output is [second u[:old];
    u[old:]] with `old` the dimension of the old features: its head is trained to be
    these, and nothing of the new ones is lost. Of squared length 1 + gain^2.

    Args:
      features: [batch, dim] float, of the updated model.
      small: [batch, extra] float, by a further head, which leaves room for what the old
        features know and the new ones do not.
      first: [dim, dim] and second: [old, old] `rotation`s, old <= extra + dim.
      gain: > 0. The paper writes c.

    Returns:
      [batch, extra + dim].

    Source: Zhou et al., "BT^2: Backward-compatible Training with Basis Transformation",
      2023, https://arxiv.org/abs/2211.03989, as in the authors' code, extra = 32.
    """
    who = "transformed_basis"
    checks.floating(who, features=features, small=small, first=first, second=second)
    checks.same_shape(who, rank=2, features=features)
    checks.rows(who, len(features), small=small)
    checks.shape(who, (jnp.shape(features)[1],) * 2, first=first)
    checks.shape(who, (*jnp.shape(second)[:1],) * 2, second=second)
    checks.positive(who, gain=gain)
    turned = jnp.matmul(gain * l2_normalize(features), first.T, precision="highest")
    u = jnp.concatenate([l2_normalize(small), turned], axis=1)
    old = len(second)
    checks.count(who, minimum=old, **{"extra + dim": u.shape[1]})
    block = jnp.matmul(u[:, :old], second.T, precision="highest")
    return jnp.concatenate([block, u[:, old:]], axis=1)
