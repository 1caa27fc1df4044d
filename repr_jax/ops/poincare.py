"""The Poincare ball: points of norm below 1, curvature -1."""

import jax.numpy as jnp
from jax import Array

TINY = 1e-12  # under roots, whose gradient at zero would be infinite


def lca_distance(x: Array, y: Array) -> Array:
    """[..., dim], [..., dim] -> [...] from the origin to the geodesic from x to y.

    With h the distance of the origin to the straight line through both points,

      sinh(distance) = 2 h / sqrt((1 - |x|^2) (1 - |y|^2) + |x - y|^2),

    if the geodesic's point nearest to the origin, which stands for the lowest common
    ancestor of x and y, is between them; else the distance of the nearer one. Equal to
    the form by angles of Chami et al. 2020 (there in an appendix; from memory), without
    its cancellations: finite, with gradient, for equal points and for the origin.
    """
    step = y - x
    x2, y2 = jnp.sum(x * x, axis=-1), jnp.sum(y * y, axis=-1)
    step2 = jnp.sum(step * step, axis=-1)
    dot = jnp.sum(x * y, axis=-1)
    back = jnp.sum(x * step, axis=-1) / jnp.maximum(step2, TINY)
    foot = x - back[..., None] * step  # of the origin on the straight line
    line2 = jnp.sum(foot * foot, axis=-1)
    denominator = (1 - x2) * (1 - y2) + step2
    at_x = (1 + y2) * x2 <= (1 + x2) * dot  # the foot is beyond x
    at_y = (1 + x2) * y2 <= (1 + y2) * dot
    sinh2 = jnp.where(at_x, x2 / (1 - x2) ** 2, line2 / denominator)
    sinh2 = 4 * jnp.where(at_y & ~at_x, y2 / (1 - y2) ** 2, sinh2)
    return jnp.arcsinh(jnp.sqrt(jnp.maximum(sinh2, 0) + TINY))
