"""Planar flows: a vector is pushed along u by how far it is on one side of a plane.

Source: Rezende and Mohamed, "Variational Inference with Normalizing Flows", 2015,
  section 4.1 and appendix A, https://arxiv.org/abs/1505.05770.
"""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float


def planar(z: Array, u: Array, w: Array, b: Array) -> tuple[Array, Array]:
    """z + u tanh(w . z + b), and log |1 + (1 - tanh^2) w . u|.

    Invertible only where w . u >= -1, which `invertible` sees to.

    Args:
      z, u, w: [..., dim] float; u and w may be of each row, such as a network's answer.
      b: [...] float.

    Returns:
      [..., dim]; [...] in nats.
    """
    checks.same_shape("planar", z=z, u=u, w=w)
    checks.shape("planar", jnp.shape(z)[:-1], b=b)
    checks.floating("planar", z=z, u=u, w=w, b=b)
    z, u, w, b = (to_float(x) for x in (z, u, w, b))
    side = jnp.tanh(jnp.sum(w * z, axis=-1) + b)
    slope = 1 + (1 - side**2) * jnp.sum(w * u, axis=-1)
    return z + u * side[..., None], jnp.log(jnp.abs(slope))


def invertible(u: Array, w: Array) -> Array:
    """u moved along w, so that w . u = softplus(w . u) - 1 > -1.

    The code of Bayes-PFL leaves it out, and adds 1e-5 inside the logarithm.
    """
    u, w = to_float(u), to_float(w)
    product = jnp.sum(w * u, axis=-1, keepdims=True)
    square = jnp.sum(w * w, axis=-1, keepdims=True)
    lacking = jax.nn.softplus(product) - 1 - product
    return u + lacking * w / jnp.where(square == 0, 1, square)
