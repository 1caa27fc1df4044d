"""Contrastive losses, value and gradient by both views, beside lightly, open_clip and
plain torch; the limit is the time of the matrix products that each needs.
"""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.speed.peers import sizes
from experiments.benchmarks.speed.turns import Problem, Subject
from repr_jax import losses
from repr_jax.ops.numerics import pairwise_dot

TEXT = (
    "Value and gradient by both views in float32, unit Gaussians, temperature 0.1, "
    "batch x dim. The limit of `nt_xent` is a product of all pairs of 2 x batch rows "
    "forward and, as their matrix is symmetric, one backward; that of the others is a "
    "product of batch x batch pairs forward and two backward."
)
LOSSES = {
    "nt_xent": partial(losses.nt_xent, temperature=0.1),
    "clip": partial(losses.clip, temperature=0.1),
    "info_nce": partial(losses.info_nce, temperature=0.1),
}


def views(batch: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """As the peers draw them."""
    a, b = np.random.default_rng(0).normal(size=(2, batch, dim)).astype(np.float32)
    return a, b


def ours(name: str, batch: int, dim: int) -> Callable:
    """Returns the value and gradient, of which the value is told."""
    step = jax.jit(jax.value_and_grad(LOSSES[name], argnums=(0, 1)))
    arrays = jax.device_put(views(batch, dim))
    return partial(step, *arrays)


def products(name: str, batch: int, dim: int) -> Callable:
    """The matrix products alone."""

    def symmetric(a, b):
        z = jnp.concatenate([a, b])
        return pairwise_dot(pairwise_dot(z, z), z.T)

    def pair(a, b):
        logits = pairwise_dot(a, b)
        return pairwise_dot(logits, b.T), pairwise_dot(logits.T, a.T)

    run = jax.jit(symmetric if name == "nt_xent" else pair)
    return partial(run, *jax.device_put(views(batch, dim)))


def problems(smoke: bool) -> Iterator[Problem]:
    for name in LOSSES:
        for size in sizes.pairs(smoke):
            words = (name, *size)
            yield Problem(
                "{}, {:,} x {}".format(*words),
                partial(ours, *words),
                partial(products, *words),
            )


SUBJECT = Subject("Speed of contrastive losses", TEXT, problems)
