"""TEMI: clusters in which neighbors fall together, by small networks on features.

Several heads are trained at once, each against a moving average of itself; the head of
least loss is kept.

Source: as `losses.temi`; numbers and head are those of the public recipe of the
authors' code. Here rows are drawn anew each step, where they pass over all rows; the
last layer moves from the first step on, where theirs rests for a pass; its first
directions are normal, not uniform, and its scales do not decay.
"""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.losses.clustering import temi_of_heads
from repr_jax.ops import checks, ema
from repr_jax.ops.batch import checked_where
from repr_jax.ops.neighbors import nearest
from repr_jax.ops.numerics import argmax, l2_normalize, pairwise_dot, to_float

NUM_EPOCHS = 100  # of the authors' recipe, which `fit` takes unasked
INITIAL_SCALE = 0.02  # standard deviation of first weights


class Head(NamedTuple):
    """normalize(gelu(x hidden + b) bottleneck + b) . directions / |.| * scales."""

    hidden: Array  # [dim, hidden_dim]
    hidden_bias: Array  # [hidden_dim]
    bottleneck: Array  # [hidden_dim, bottleneck_dim]
    bottleneck_bias: Array  # [bottleneck_dim]
    directions: Array  # [bottleneck_dim, class]
    scales: Array  # [class]


class Temi(NamedTuple):
    """The head of least loss, as its moving average was in the end."""

    head: Head
    temperature: Array  # [], which divides what the head returns
    marginal: Array  # [class], mean probabilities, a moving average
    best: Array  # [] int32, which of the heads it was
    losses: Array  # [num_steps, num_heads], whose mean over heads is `losses.temi`


def fit(
    key: Array,
    x: Array,
    *,
    num_classes: int,
    num_heads: int = 16,
    num_steps: int | None = None,
    batch_size: int = 1024,
    num_neighbors: int = 50,
    hidden_dim: int = 512,
    bottleneck_dim: int = 256,
    power: float = 0.6,
    temperature: float = 0.1,
    learning_rate: float = 4e-4,
    weight_decay: float = 1e-4,
    decay: float = 0.996,
    marginal_decay: float = 0.9,
    where: Array | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Temi:
    """AdamW on `losses.temi` of rows and their neighbors by cosine.

    A step draws rows, and for each one of its neighbors. Marginals are updated before
    it, targets after it. The learning rate rises over the first fifth of the steps. Of
    the heads that of least mean loss over the last len(x) / batch_size steps is kept.

    Args:
      key: PRNG key, of first weights and of pairs.
      x: [rows, dim] float, of a frozen model; entries of about 1 suit.
      num_classes, num_heads: > 1; trained side by side, on the same weights of pairs.
      num_steps: None for a hundred passes over the rows, as in the authors' recipe.
      batch_size, num_neighbors: pairs in a step, and neighbors that they are drawn
        from; all rows if there are fewer.
      hidden_dim, bottleneck_dim: widths of the head.
      power, temperature: > 0, of `losses.temi`, the latter of online and target.
      learning_rate: > 0, the recipe's 1e-4, scaled from 256 rows to its 1024.
      weight_decay: >= 0, of matrices.
      decay, marginal_decay: in [0, 1], of averages of heads and of their marginals.
      where: [rows] bool, False for absent rows, which are left out before the start.
      progress: called with (steps done, steps in all), at most twenty times.

    Raises:
      ValueError, TypeError: x is not finite [rows, dim] float with two rows or more; a
        `where` that is not bool; numbers out of range.
    """
    x = _rows(x, where)
    counts = dict(num_heads=num_heads, batch_size=batch_size)
    counts |= dict(num_neighbors=num_neighbors)
    counts |= dict(hidden_dim=hidden_dim, bottleneck_dim=bottleneck_dim)
    numbers = dict(power=power, temperature=temperature, learning_rate=learning_rate)
    numbers |= dict(weight_decay=weight_decay, decay=decay)
    numbers |= dict(marginal_decay=marginal_decay)
    _check_numbers(num_classes, counts, numbers)
    batch_size = min(batch_size, len(x))
    steps_per_pass = len(x) // batch_size
    num_steps = NUM_EPOCHS * steps_per_pass if num_steps is None else num_steps
    checks.count("temi.fit", num_steps=num_steps)
    neighbors = nearest(x, num_neighbors=min(num_neighbors, len(x) - 1))
    start_key, key = jax.random.split(key)
    widths = (x.shape[1], hidden_dim, bottleneck_dim, num_classes)
    state = _start(start_key, num_heads, widths, num_steps)
    state = _trained(state, x, neighbors, key, numbers, batch_size, progress)
    return _best(state.extras, temperature, steps_per_pass)


def logits(temi: Temi, x: Array) -> Array:
    """What the head returns over its temperature: [batch, dim] -> [batch, class].

    ValueError for x that is not finite.
    """
    checks.finite("temi.logits", x=x)
    return _apply(temi.head, to_float(x)) / temi.temperature


def assign(temi: Temi, x: Array) -> Array:
    """The most probable class: [batch, dim] -> [batch] int32.

    ValueError for x that is not finite; in traced code such a row gets -1.
    """
    return argmax(logits(temi, x))


class _Averages(NamedTuple):
    """What changes beside the heads that learn; all have one more axis, of heads."""

    target: Head
    marginal: Array  # [head, class]
    losses: Array  # [num_steps, head], filled in step by step


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _start(key, num_heads, widths, num_steps):
    """All heads drawn, the targets equal to them."""
    from repr_jax import optim

    keys = jax.random.split(key, 3)
    hidden, bottleneck, directions = (
        INITIAL_SCALE * jax.random.normal(k, (num_heads, *shape))
        for k, shape in zip(keys, itertools.pairwise(widths))
    )
    biases = [jnp.zeros((num_heads, width)) for width in widths[1:3]]
    scales = jnp.ones((num_heads, widths[-1]))
    head = Head(hidden, biases[0], bottleneck, biases[1], directions, scales)
    marginal = jnp.full((num_heads, widths[-1]), 1 / widths[-1])
    averages = _Averages(head, marginal, jnp.zeros((num_steps, num_heads)))
    optimizer = _optimizer(0.0, 0.0, num_steps)
    return optim.start_descent(head, optimizer, num_steps=num_steps, extras=averages)


def _optimizer(learning_rate, weight_decay, num_steps):
    """AdamW of matrices; the rate rises over the first fifth of the steps."""
    import optax

    warm_up = max(num_steps / 5, 1.0)

    def rate(step):
        return learning_rate * jnp.minimum((step + 1) / warm_up, 1.0)

    matrices = Head(True, False, True, False, True, False)
    return optax.adamw(rate, weight_decay=weight_decay, mask=matrices)


@jax.jit
def _apply(head, x):
    """[batch, dim] -> [batch, class], before the temperature; in [-1, 1] scales."""
    x = pairwise_dot(x, head.hidden.T) + head.hidden_bias[None]
    x = pairwise_dot(jax.nn.gelu(x, approximate=False), head.bottleneck.T)
    x = l2_normalize(x + head.bottleneck_bias[None])
    directions = l2_normalize(head.directions.T)  # [class, bottleneck_dim]
    return pairwise_dot(x, directions) * head.scales[None]


def _trained(state, x, neighbors, key, numbers, batch_size, progress):
    """The state after all updates, in chunks between which progress is reported."""
    from repr_jax import optim

    def run(state, until):
        return _descend(state, x, neighbors, key, until, numbers, batch_size=batch_size)

    num_steps = len(state.losses)
    return optim.in_chunks(run, state, num_steps=num_steps, progress=progress)


@functools.partial(jax.jit, static_argnames=("batch_size",))
def _descend(state, x, neighbors, key, until, numbers, *, batch_size):
    """The state after `until` updates."""
    from repr_jax import optim

    heads = jax.vmap(_apply, in_axes=(0, None))  # [head, batch, class]

    def draw(key):
        """[2 batch_size, dim], rows and then a neighbor of each."""
        rows_key, neighbor_key = jax.random.split(key)
        rows = jnp.arange(len(x))
        if batch_size < len(x):
            rows = jax.random.permutation(rows_key, len(x))[:batch_size]
        which = jax.random.randint(neighbor_key, (batch_size,), 0, neighbors.shape[1])
        return x[jnp.concatenate([rows, neighbors[rows, which]])]

    def loss(online, averages, key, step):
        pairs = draw(key)
        target = heads(averages.target, pairs)
        found = jnp.mean(jax.nn.softmax(target / numbers["temperature"]), axis=1)
        decay = numbers["marginal_decay"]
        marginal = ema.update(averages.marginal, found, decay=decay)
        both = (*jnp.split(heads(online, pairs), 2, 1), *jnp.split(target, 2, 1))
        options = dict(power=numbers["power"], temperature=numbers["temperature"])
        options["target_temperature"] = numbers["temperature"]
        losses = temi_of_heads(*both, marginal, **options)
        kept = averages.losses.at[step].set(losses)
        return jnp.mean(losses), averages._replace(marginal=marginal, losses=kept)

    def move_targets(online, averages, step):
        target = ema.update(averages.target, online, decay=numbers["decay"])
        return online, averages._replace(target=target)

    rate, weight_decay = numbers["learning_rate"], numbers["weight_decay"]
    return optim.descend(
        loss,
        state,
        key=key,
        optimizer=_optimizer(rate, weight_decay, len(state.losses)),
        until=until,
        after_update=move_targets,
    )


def _best(averages, temperature, steps_per_pass):
    """The head whose loss over the last pass, or all steps if fewer, is least.

    One that has diverged loses; all of them are number -1.
    """
    best = argmax(-jnp.mean(averages.losses[-steps_per_pass:], axis=0))
    head = jax.tree.map(lambda a: a[best], averages.target)
    temperature = jnp.float32(temperature)
    return Temi(head, temperature, averages.marginal[best], best, averages.losses)


def _rows(x, where):
    """The present rows in float, at least two, all finite."""
    who = "temi.fit"
    checks.same_shape(who, rank=2, x=x)
    checks.floating(who, x=x)
    if where is not None:
        where = np.asarray(checked_where(who, where, x.shape[:1]))
    checks.finite(who, where=where, x=x)
    x = x if where is None else x[where]
    checks.count(who, minimum=2, **{"rows of x": len(x)})
    return to_float(x)


def _check_numbers(num_classes, counts, numbers):
    """ValueError or TypeError for numbers out of range."""
    who = "temi.fit"
    checks.count(who, minimum=2, num_classes=num_classes)
    checks.count(who, **counts)
    for name in ("power", "temperature", "learning_rate"):
        checks.positive(who, **{name: numbers[name]})
    checks.non_negative(who, weight_decay=numbers["weight_decay"])
    checks.fraction(who, **{n: numbers[n] for n in ("decay", "marginal_decay")})
