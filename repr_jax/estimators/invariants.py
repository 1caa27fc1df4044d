"""Non-linear invariants: what a bijection finds constant over the training rows.

A volume-preserving map f of features, whose last outputs are near 0 on training rows
while the others still rebuild a row. A row that breaks an invariant is an outlier, also
between training rows, where a Gaussian sees none.

Source: Doorenbos, Sznitman and Márquez-Neila, "Learning Non-Linear Invariants for
  Unsupervised Out-of-Distribution Detection", 2024,
  https://arxiv.org/abs/2407.04022, in the form of the authors' code, which adds scores
  of the layers of a backbone: add those of several fits. One state of Adam for both
  kinds of steps is our reading.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import (
    centered,
    checked_queries,
    checked_rows,
    draw_places,
    masked_mean,
)
from repr_jax.ops.neighbors import between
from repr_jax.ops.similarity import negative_squared_distance

HIGHEST = lax.Precision.HIGHEST


class Layers(NamedTuple):
    """Of the map: turns, and networks that shift the first half by the rest."""

    turns: Array  # [layers + 1, dim, dim], of whose upper triangles the turns are made
    kernels: tuple[Array, Array]  # [layers, rest, hidden], [layers, hidden, half]
    biases: tuple[Array, Array]  # [layers, hidden], [layers, half]


class Invariants(NamedTuple):
    """What was fitted."""

    mean: Array  # [dim], of the rows
    layers: Layers
    kept: Array  # [dim] bool, True for the outputs that are invariants, the last
    squares: Array  # [dim], mean square of each output over the rows
    x: Array  # [batch, dim], the rows, for their neighbors
    where: Array  # [batch] bool
    distance: Array  # [], mean over rows of the sum of the two least squared distances
    losses: Array  # [2 num_steps], of the invariants and of the rest, in turn


def fit(
    key: Array,
    x: Array,
    *,
    residual: float = 0.05,
    num_layers: int = 4,
    hidden: int = 64,
    num_steps: int = 2_000,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    where: Array | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Invariants:
    """Descends mean f_K(x)^2, and the error of x from the other outputs, in turn.

    Turns and additive couplings alternate, so that |det f'| = 1 and no output can
    shrink alone. The second step moves the inverse alone: the outputs that it starts
    from have no gradient. f is made for rows of a scale of about 1.

    Args:
      key: PRNG key, of the network's start and the batches.
      x: [batch, dim] float, normal rows, dim at least 2; at least 3 are present.
      residual: in (0, 1). As many outputs are invariants as principal components are
        left from the first on at which the variance before exceeds 1 - residual.
      num_layers, hidden: couplings, and the width of their networks.
      num_steps: of each of the two kinds. batch_size: rows, drawn with replacement.
      learning_rate: > 0, falls to a tenth. The authors have 1e-4 and five epochs.
      where: [batch] bool, False for absent rows; None if all are present.
      progress: called with (steps done, steps in all) now and then.

    Raises:
      ValueError: x is not [batch, dim], or not finite; numbers out of range.
      TypeError: integers in x; a `where` that is not bool.
    """
    from repr_jax import optim

    who = "invariants.fit"
    checks.count(who, num_layers=num_layers, hidden=hidden)
    checks.count(who, num_steps=num_steps, batch_size=batch_size)
    checks.positive(who, learning_rate=learning_rate)
    if not 0 < residual < 1:
        raise ValueError(f"{who}: expected residual in (0, 1); got {residual}.")
    x, where = checked_rows(who, where, x=x)
    checks.finite(who, where=where, x=x)
    checks.count(who, minimum=2, dim=x.shape[1])
    distance = _train_distance(x, where)
    start_key, key = jax.random.split(key)
    sizes = (num_layers, hidden, 2 * num_steps)
    mean, kept, rows, state = _start(start_key, x, where, residual, *sizes)

    def run(state, until):
        given = (kept, rows, jnp.sum(where), key, until, learning_rate)
        return _descend(state, *given, num_steps=num_steps, batch_size=batch_size)

    state = optim.in_chunks(run, state, num_steps=2 * num_steps, progress=progress)
    outputs = _forward(state.params, x - mean[None])
    squares = masked_mean(outputs**2, where=where)
    return Invariants(
        mean, state.params, kept, squares, x, where, distance, state.losses
    )


def outputs(fitted: Invariants, x: Array) -> Array:
    """f of the rows: [batch, dim] -> the same, the invariants where `kept` is True."""
    x = checked_queries("invariants.outputs", fitted.mean.shape, x=x)
    return _forward(fitted.layers, x - fitted.mean[None])


def score(fitted: Invariants, x: Array) -> Array:
    """sum_k f_k^2 / E f_k^2 + K d / E d, d the sum of two squared distances to rows.

    [batch, dim] -> [batch], K invariants k, E of the training rows.

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite.
    """
    x = checked_queries("invariants.score", fitted.mean.shape, x=x)
    found = _forward(fitted.layers, x - fitted.mean[None])
    near = _two_nearest(x, fitted.x, fitted.where)
    return _combined(found, fitted.squares, fitted.kept, near, fitted.distance)


def _combined(outputs, squares, kept, near, distance):
    floor = jnp.finfo(outputs.dtype).eps * jnp.max(squares)  # an exact invariant
    shares = outputs**2 / jnp.maximum(squares, jnp.maximum(floor, 1e-30))[None]
    broken = jnp.sum(jnp.where(kept[None], shares, 0), axis=1)
    return broken + jnp.sum(kept) * near / jnp.where(distance > 0, distance, 1)


def _two_nearest(queries, x, where, *, own: bool = False):
    """[batch] sums of the two least squared distances; own: x itself, not counted."""
    values, _ = between(
        queries,
        x,
        num_neighbors=2 + own,
        similarity=negative_squared_distance,
        where=where,
    )
    return -jnp.sum(values[:, int(own) :], axis=1)


@jax.jit
def _train_distance(x, where):
    return masked_mean(_two_nearest(x, x, where, own=True), where=where)


def _kept(x, where, residual):
    """[dim] bool, as many last ones as principal components hold little variance."""
    away, _ = centered(x, where=where)
    values = jnp.linalg.eigvalsh(jnp.matmul(away.T, away, precision=HIGHEST))[::-1]
    shares = jnp.cumsum(values) / jnp.maximum(jnp.sum(values), 1e-30)
    return jnp.arange(x.shape[1]) >= jnp.argmax(shares > 1 - residual)


def _turns(layers):
    upper = jnp.triu(layers.turns, 1)
    return jax.vmap(jax.scipy.linalg.expm)(upper - jnp.swapaxes(upper, 1, 2))


def _shift(weights, rest):
    (first, second), (bias, last) = weights
    h = jax.nn.relu(jnp.matmul(rest, first, precision=HIGHEST) + bias[None])
    return jnp.matmul(h, second, precision=HIGHEST) + last[None]


@jax.jit
def _forward(layers, x):
    """[batch, dim] -> [batch, dim], of centered rows."""
    turns, half = _turns(layers), layers.biases[1].shape[1]

    def forward(x, layer):
        turn, *weights = layer
        x = jnp.matmul(x, turn.T, precision=HIGHEST)
        moved = x[:, :half] + _shift(weights, x[:, half:])
        return jnp.concatenate([moved, x[:, half:]], axis=1), None

    x, _ = lax.scan(forward, x, (turns[:-1], layers.kernels, layers.biases))
    return jnp.matmul(x, turns[-1].T, precision=HIGHEST)


@jax.jit
def _inverse(layers, z):
    turns, half = _turns(layers), layers.biases[1].shape[1]

    def back(z, layer):
        turn, *weights = layer
        moved = z[:, :half] - _shift(weights, z[:, half:])
        z = jnp.concatenate([moved, z[:, half:]], axis=1)
        return jnp.matmul(z, turn, precision=HIGHEST), None

    z = jnp.matmul(z, turns[-1], precision=HIGHEST)
    layers = (turns[:-1], layers.kernels, layers.biases)
    return lax.scan(back, z, layers, reverse=True)[0]


@functools.partial(jax.jit, static_argnums=(4, 5, 6))
def _start(key, x, where, residual, num_layers, hidden, num_updates):
    """Mean, mask of invariants, rows, present ones first; before the first step."""
    import optax

    from repr_jax import optim

    dim, half = x.shape[1], x.shape[1] // 2
    keys = jax.random.split(key)
    shape = (num_layers, dim - half, hidden)
    layers = Layers(
        0.1 * jax.random.normal(keys[0], (num_layers + 1, dim, dim), x.dtype),
        (
            jax.random.normal(keys[1], shape, x.dtype) * (2 / (dim - half)) ** 0.5,
            jnp.zeros((num_layers, hidden, half), x.dtype),
        ),
        (
            jnp.zeros((num_layers, hidden), x.dtype),
            jnp.zeros((num_layers, half), x.dtype),
        ),
    )
    away, mean = centered(x, where=where)
    optimizer = optax.adam(optax.constant_schedule(1.0))  # of the state of any other
    state = optim.start_descent(layers, optimizer, num_steps=num_updates)
    rows = away[jnp.argsort(~where, stable=True)]
    return mean, _kept(x, where, residual), rows, state


@functools.partial(jax.jit, static_argnames=("num_steps", "batch_size"))
def _descend(
    state, kept, rows, count, key, until, learning_rate, *, num_steps, batch_size
):
    """The state after `until` updates; both kinds see the same batch in turn."""
    import optax

    from repr_jax import optim

    def loss(layers, extras, _, step):
        batch_key = jax.random.fold_in(key, step // 2)
        x = rows[draw_places(batch_key, count, batch_size)]
        z = _forward(layers, x)

        def constant():
            return jnp.mean(jnp.sum(jnp.where(kept[None], z, 0) ** 2, axis=1))

        def rebuilt():
            code = lax.stop_gradient(jnp.where(kept[None], 0, z))
            return jnp.mean(jnp.sum((x - _inverse(layers, code)) ** 2, axis=1))

        return lax.cond(step % 2 == 0, constant, rebuilt), extras

    rate = optax.linear_schedule(learning_rate, learning_rate / 10, 2 * num_steps)
    return optim.descend(loss, state, key=key, optimizer=optax.adam(rate), until=until)
