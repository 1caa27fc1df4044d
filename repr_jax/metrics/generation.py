"""How good and how various generated samples are."""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float


def near_a_mode(samples: Array, centers: Array, *, radius: float) -> Array:
    """[num_modes] int32: the samples within `radius` of each center, their nearest one.

    Their sum over the number of samples is the share of samples of high quality, and
    the number of entries above 0 the modes that are covered.

    Args:
      samples: [batch, dim] float.
      centers: [num_modes, dim] float, of a mixture that is known.
      radius: > 0; three standard deviations of a component, by custom.

    Raises:
      ValueError: the two are not matrices of one width.

    Source: Srivastava et al., "VEEGAN: Reducing Mode Collapse in GANs using Implicit
      Variational Learning", 2017, section 5.1, https://arxiv.org/abs/1705.07761.
    """
    checks.floating("near_a_mode", samples=samples, centers=centers)
    checks.positive("near_a_mode", radius=radius)
    samples, centers = to_float(samples), to_float(centers)
    if samples.ndim != 2 or centers.ndim != 2 or samples.shape[1] != centers.shape[1]:
        raise ValueError(
            f"near_a_mode: expected [batch, dim] and [num_modes, dim]; got "
            f"{samples.shape} and {centers.shape}."
        )
    squares = jnp.sum((samples[:, None] - centers[None]) ** 2, axis=-1)
    nearest = jnp.argmin(squares, axis=1)
    near = jnp.min(squares, axis=1) <= radius**2
    return jnp.bincount(
        jnp.where(near, nearest, len(centers)), length=len(centers) + 1
    )[:-1].astype(jnp.int32)
