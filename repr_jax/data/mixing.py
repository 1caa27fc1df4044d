"""Invertible mixing: a frozen square network that turns latents into observations.

    x = W_L s(W_{L-1} s(... s(W_1 z))), s(y) = y where y >= 0, slope * y elsewhere

Without biases, and nothing after the last layer. Every layer is chosen to be well
conditioned, so that the inverse exists in floating point too.

Source: the numerical experiments of Daunhawer et al., "Identifiability Results for
  Multimodal Contrastive Learning", 2023, https://arxiv.org/abs/2303.09166, as in their
  code, whose numbers are the defaults here.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks

SLOPE = 0.2  # of the leaky ReLU


class Mixing(NamedTuple):
    """Float64 on the host; `mix` takes it in the dtype of the latents."""

    weights: np.ndarray  # [layer, dim, dim], outputs x inputs, columns of length 1
    condition: np.ndarray  # [layer], condition number in the 2-norm
    threshold: float  # no layer is conditioned worse


def draw(
    rng: np.random.Generator,
    dim: int,
    *,
    num_layers: int = 3,
    pool: int = 25_000,
    num_best: int = 25,
) -> Mixing:
    """Layers from the best conditioned of many random matrices.

    `pool` matrices of U(-1, 1), every column scaled to length 1. The threshold is the
    condition number that exactly `num_best` of them stay below; the layers are random
    ones of these, none twice. The authors redraw each layer until it meets the
    threshold: given the threshold, the best of the pool are independent draws of the
    same law, so ours is that law for a quarter of the work.

    Args:
      rng: draws everything.
      dim: of latents and observations.
      num_layers: at most num_best.
      pool, num_best: the authors keep the best thousandth of 25,000.

    Raises:
      ValueError: num_layers > num_best or num_best >= pool, or a number below 1.
    """
    who = "mixing.draw"
    checks.count(who, dim=dim, num_layers=num_layers, pool=pool, num_best=num_best)
    if not num_layers <= num_best < pool:
        raise ValueError(
            f"{who}: expected num_layers <= num_best < pool; got {num_layers}, "
            f"{num_best} and {pool}."
        )
    found = rng.uniform(-1.0, 1.0, size=(pool, dim, dim))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    singular = np.linalg.svd(found, compute_uv=False)  # largest first
    condition = singular[:, 0] / singular[:, -1]
    order = np.argsort(condition)
    chosen = order[rng.permutation(num_best)[:num_layers]]
    return Mixing(found[chosen], condition[chosen], float(condition[order[num_best]]))


@functools.lru_cache(maxsize=32)
def of_seed(seed: tuple[int, ...], dim: int) -> Mixing:
    """`draw` with the published numbers, kept, since a run asks for it more than once.

    seed: whole numbers, of np.random.default_rng.
    """
    return draw(np.random.default_rng(seed), dim)


def mix(mixing: Mixing, z: Array) -> Array:
    """[..., dim] latents -> [..., dim] observations."""
    *inner, last = jnp.asarray(mixing.weights, z.dtype)
    for weights in inner:
        z = jax.nn.leaky_relu(_times(z, weights), SLOPE)
    return _times(z, last)


def unmix(mixing: Mixing, x: Array) -> Array:
    """The inverse of `mix`: [..., dim] observations -> [..., dim] latents."""
    last, *inner = np.linalg.inv(mixing.weights)[::-1]
    x = _times(x, jnp.asarray(last, x.dtype))
    for inverse in inner:
        x = jnp.where(x >= 0, x, x / SLOPE)
        x = _times(x, jnp.asarray(inverse, x.dtype))
    return x


def _times(x: Array, weights: Array) -> Array:
    """weights @ x for the last axis of x, in full float32 on every backend."""
    return jnp.matmul(x, weights.T, precision=jax.lax.Precision.HIGHEST)
