"""The Poincare ball: points of norm below 1, curvature -1."""

import jax.numpy as jnp
from jax import Array, lax


def lca_distance(x: Array, y: Array) -> Array:
    """[..., dim], [..., dim] -> [...] from the origin to the geodesic from x to y.

    With h the distance of the origin to the straight line through both points,

      sinh(distance) = 2 h / sqrt((1 - |x|^2) (1 - |y|^2) + |x - y|^2),

    if the geodesic's point nearest to the origin, which stands for the lowest common
    ancestor of x and y, is between them; else the distance of the nearer one. Equal to
    the form by angles of Chami et al. 2020 (there in an appendix; from memory), without
    its cancellations: finite, with gradient, for equal points and for the origin, where
    that is 0; for points of any norm below 1.
    """
    scale = jnp.maximum(jnp.max(jnp.abs(x), axis=-1), jnp.max(jnp.abs(y), axis=-1))
    scale = lax.stop_gradient(jnp.where(scale > 0, scale, 1))
    a, b = x / scale[..., None], y / scale[..., None]  # whose squares are not too small
    step = b - a
    a2, b2, step2 = (jnp.sum(v * v, axis=-1) for v in (a, b, step))
    x2, y2 = scale**2 * a2, scale**2 * b2
    dot = jnp.sum(a * b, axis=-1)
    back = jnp.sum(a * step, axis=-1) / jnp.where(step2 > 0, step2, 1)
    foot = a - back[..., None] * step  # of the origin on the straight line
    line2 = jnp.sum(foot * foot, axis=-1)
    denominator = (1 - x2) * (1 - y2) + scale**2 * step2
    at_x = (1 + y2) * a2 <= (1 + x2) * dot  # the foot is beyond x
    at_y = (1 + x2) * b2 <= (1 + y2) * dot
    sinh2 = jnp.where(at_x, a2 / (1 - x2) ** 2, line2 / denominator)
    sinh2 = 4 * jnp.where(at_y & ~at_x, b2 / (1 - y2) ** 2, sinh2)
    at_origin = sinh2 == 0  # where the gradient of the root would be infinite
    root = jnp.sqrt(jnp.where(at_origin, 1, sinh2))
    return jnp.arcsinh(jnp.where(at_origin, 0, scale * root))
