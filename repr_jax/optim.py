"""Optimizers with their learning-rate schedule, as optax transformations.

Below them `descend`, the small loop of estimators that are fitted by descent.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array


def adam(
    *,
    learning_rate: float,
    warmup_steps: int = 0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Adam at a constant rate after a linear warm-up from 0.

    Args:
      learning_rate: > 0, the rate after the warm-up.
      warmup_steps: >= 0, steps of the warm-up.
      b1, b2, eps: decays of the two moments, and the term added to the root.
      clip_norm: > 0, the largest norm of a gradient; None clips nothing.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015,
      algorithm 1, https://arxiv.org/abs/1412.6980.
    """
    _positive("adam", learning_rate=learning_rate)
    rate = learning_rate
    if warmup_steps:
        rate = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    return _clipped(optax.adam(rate, b1=b1, b2=b2, eps=eps), clip_norm)


def adam_cosine(
    *,
    peak: float,
    num_steps: int,
    warmup_steps: int = 0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Adam at a rate that rises to `peak` linearly and falls to 0 along a cosine.

    Args:
      peak: > 0, the highest learning rate.
      num_steps: > warmup_steps, the steps of the whole run.
      warmup_steps, b1, b2, eps, clip_norm: as in `adam`.

    Source: Loshchilov and Hutter, "SGDR", 2017, eq. 5 without restarts,
      https://arxiv.org/abs/1608.03983.
    """
    _positive("adam_cosine", peak=peak, num_steps=num_steps)
    if warmup_steps >= num_steps:
        raise ValueError(
            f"adam_cosine: expected warmup_steps below num_steps; got {warmup_steps} "
            f"and {num_steps}."
        )
    rate = optax.warmup_cosine_decay_schedule(
        0.0 if warmup_steps else peak, peak, warmup_steps, num_steps
    )
    return _clipped(optax.adam(rate, b1=b1, b2=b2, eps=eps), clip_norm)


def _clipped(optimizer, clip_norm):
    if clip_norm is None:
        return optimizer
    _positive("clip_norm", clip_norm=clip_norm)
    return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)


def _positive(who, **numbers):
    for name, value in numbers.items():
        if not value > 0:
            raise ValueError(f"{who}: expected {name} > 0; got {value}.")


# The small loop of estimators that are fitted by descent.


class Descent(NamedTuple):
    """Where a descent is, with all that it needs to go on."""

    step: Array  # [] int32, updates done
    params: Any
    extras: Any  # what changes but has no gradient, such as averages
    opt_state: Any
    losses: Array  # [num_steps] float32, each before its update


def start_descent(params, optimizer, *, num_steps: int, extras=()) -> Descent:
    """The state before the first of `num_steps` updates of any tree of arrays."""
    losses = jnp.zeros(num_steps)
    return Descent(jnp.int32(0), params, extras, optimizer.init(params), losses)


def descend(
    loss: Callable,
    state: Descent,
    *,
    key: Array,
    optimizer,
    until: int | Array,
    after_update: Callable | None = None,
) -> Descent:
    """Updates the state until `until` of them are done, in one program.

    Call it inside `jax.jit`, with the data and all numbers as arguments of the jitted
    function, so that a second fit of the same shapes compiles nothing.

    Args:
      loss: (params, extras, key, step) -> [] loss, extras. The key is the one below
        with the step folded in: what is drawn depends on (key, step) alone.
      state: from `start_descent`, or returned from here.
      key: PRNG key of the whole descent.
      optimizer: an optax transformation; its numbers may be traced.
      until: at most num_steps of `start_descent`; may be traced.
      after_update: (params, extras, step) -> params, extras, such as a projection or a
        moving average; None changes nothing.
    """
    import optax

    gradient = jax.value_and_grad(loss, has_aux=True)

    def update(step, state):
        step_key = jax.random.fold_in(key, step)
        (value, extras), grads = gradient(state.params, state.extras, step_key, step)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        if after_update is not None:
            params, extras = after_update(params, extras, step)
        losses = state.losses.at[step].set(value)
        return Descent(step + 1, params, extras, opt_state, losses)

    until = jnp.asarray(until, jnp.int32)
    return jax.lax.fori_loop(state.step, until, update, state)


def in_chunks(
    run: Callable,
    state: Descent,
    *,
    num_steps: int,
    progress: Callable[[int, int], None] | None,
    num_chunks: int = 20,
) -> Descent:
    """The state after run(state, until) up to num_steps, at once without `progress`.

    progress: called with (updates done, updates in all) after each chunk.
    """
    every = num_steps if progress is None else -(-num_steps // num_chunks)
    for until in (*range(every, num_steps, every), num_steps):
        state = run(state, until)
        if progress is not None:
            jax.block_until_ready(state)
            progress(until, num_steps)
    return state
