"""Deep support vector data description: a network that draws all rows to one point."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_queries, checked_rows, draw_places, masked_mean
from repr_jax.ops.dense import he_normal

SLOPE = 0.1  # of the leaky ReLU
LEAST = 0.1  # distance of the center's coordinates from 0


class DeepSVDD(NamedTuple):
    """What was fitted."""

    kernels: tuple[Array, ...]  # [inputs, outputs] of each layer; there are no biases
    center: Array  # [widths[-1]]
    losses: Array  # [num_steps], mean squared distance of the rows of each batch


def fit(
    key: Array,
    x: Array,
    *,
    widths: tuple[int, ...] = (32, 16),
    num_steps: int = 1000,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-6,
    where: Array | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DeepSVDD:
    """Descends mean_i |f(x_i) - center|^2 over a dense network f without biases.

    The center is the mean of f before the first step, its coordinates moved to 0.1 or
    more from 0, and stays. With biases, or a center at 0, f could be constant.

    Args:
      key: PRNG key, of the network's start and the batches.
      x: [batch, dim] float, normal rows, of a scale of about 1.
      widths: of the layers; leaky ReLU between them.
      num_steps: of Adam, at a constant rate.
      batch_size: rows of a step, drawn with replacement.
      learning_rate: > 0. weight_decay: >= 0, of the kernels.
      where: [batch] bool, False for absent rows; None if all are present.
      progress: called with (steps done, steps in all) now and then.

    Raises:
      ValueError: x is not [batch, dim], or not finite; numbers out of range.
      TypeError: integers in x; a `where` that is not bool.

    Source: Ruff et al., "Deep One-Class Classification", 2018, eq. 4 and section 3.3,
      https://proceedings.mlr.press/v80/ruff18a.html. Their networks are convolutional
      and start from an autoencoder; the least distance of the center from 0 is from
      memory of their code.
    """
    from repr_jax import optim

    who = "deep_svdd.fit"
    checks.count(who, num_steps=num_steps, batch_size=batch_size)
    for width in widths:
        checks.count(who, width=width)
    checks.positive(who, learning_rate=learning_rate)
    checks.non_negative(who, weight_decay=weight_decay)
    x, where = checked_rows(who, where, x=x)
    checks.finite(who, where=where, x=x)
    start_key, key = jax.random.split(key)
    rows, state = _start(start_key, x, where, tuple(widths), num_steps)
    rates = learning_rate, weight_decay

    def run(state, until):
        return _descend(state, *rows, key, until, *rates, batch_size=batch_size)

    state = optim.in_chunks(run, state, num_steps=num_steps, progress=progress)
    return DeepSVDD(state.params, state.extras, state.losses)


def score(fitted: DeepSVDD, x: Array) -> Array:
    """|f(x_i) - center|^2: [batch, dim] -> [batch].

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite.
    """
    x = checked_queries("deep_svdd.score", fitted.kernels[0].shape[:1], x=x)
    return _distances(fitted.kernels, fitted.center, x)


def _embed(kernels, x):
    for n, kernel in enumerate(kernels):
        x = x if n == 0 else jax.nn.leaky_relu(x, SLOPE)
        x = jnp.matmul(x, kernel, precision=lax.Precision.HIGHEST)
    return x


def _distances(kernels, center, x):
    return jnp.sum((_embed(kernels, x) - center[None]) ** 2, axis=1)


def _optimizer(learning_rate, weight_decay):
    import optax

    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.adam(learning_rate)
    )


@functools.partial(jax.jit, static_argnums=(3, 4))
def _start(key, x, where, widths, num_steps):
    """Rows, present ones first, and their number; the descent before its first step."""
    from repr_jax import optim

    kernels = he_normal(key, (x.shape[1], *widths), dtype=x.dtype)
    center = masked_mean(_embed(kernels, x), where=where)
    away = jnp.where(center < 0, -LEAST, LEAST)
    center = jnp.where(jnp.abs(center) < LEAST, away, center)
    state = optim.start_descent(
        kernels, _optimizer(1.0, 1.0), num_steps=num_steps, extras=center
    )
    return (x[jnp.argsort(~where, stable=True)], jnp.sum(where)), state


@functools.partial(jax.jit, static_argnames="batch_size")
def _descend(state, x, count, key, until, learning_rate, weight_decay, *, batch_size):
    """The state after `until` steps."""
    from repr_jax import optim

    def loss(kernels, center, key, step):
        rows = x[draw_places(key, count, batch_size)]
        return jnp.mean(_distances(kernels, center, rows)), center

    optimizer = _optimizer(learning_rate, weight_decay)
    return optim.descend(loss, state, key=key, optimizer=optimizer, until=until)
