"""Latents of a generator whose image has a given measurement: PULSE's search."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.numerics import l2_normalize

TINY = 1e-9


class Found(NamedTuple):
    """Of the step of least loss, for each row."""

    image: Array  # [batch, height, width, channels]
    squared_error: Array  # [batch], mean of (measurement - y)^2
    converged: Array  # [batch] bool, is it at most the tolerance?


def geocross(v: Array) -> Array:
    """How far the latents of layers are apart, as angles: [..., layer, dim] -> [...].

    mean over ordered pairs of layers, each with itself too, of dim theta^2 / 8, theta =
    2 atan2(|v_i - v_j|, |v_i + v_j|). The scale of v makes no difference.
    """
    largest = jnp.max(jnp.abs(lax.stop_gradient(v)), axis=(-2, -1), keepdims=True)
    v = v / jnp.where(largest == 0, 1, largest)  # so that no square under- or overflows
    apart = jnp.sqrt(jnp.sum((v[..., :, None, :] - v[..., None, :, :]) ** 2, -1) + TINY)
    along = jnp.sqrt(jnp.sum((v[..., :, None, :] + v[..., None, :, :]) ** 2, -1) + TINY)
    theta = 2 * jnp.arctan2(apart, along)
    return jnp.mean(v.shape[-1] * theta**2 / 8, axis=(-2, -1))


def rate_factor(step: Array, num_steps: int) -> Array:
    """From 0.1 up to 1 and back over nine tenths of the steps, then down to 0.001."""
    part = step / num_steps
    triangle = 0.1 + 0.9 * (1 - jnp.abs(2 * part / 0.9 - 1))
    return jnp.where(part < 0.9, triangle, 0.1 - 0.099 * (part - 0.9) / 0.1)


def search(
    generate: Callable,
    measure: Callable,
    y: Array,
    latents: Array,
    noise: tuple[Array, ...],
    *,
    num_steps: int = 100,
    learning_rate: float = 0.4,
    tolerance: float = 2e-3,
    cross_weight: float = 0.05,
    num_trained: int = 5,
) -> Found:
    """Adam on latents and noise that stay on the spheres they start on.

    100 max(mean (measure(image) - y)^2, tolerance) + cross_weight geocross(latents).
    The image of least loss is kept, for each row by itself.

    Args:
      generate: (latents, noise) -> images [batch, height, width, channels].
      measure: images -> of the shape of y.
      y: [batch, ...].
      latents: [batch, layer, dim], where to start; each vector keeps its length.
      noise: maps [batch, ...], where to start; the first `num_trained` are searched
        too, each with its length, the others stay.
      num_steps: >= 1. learning_rate: > 0, times `rate_factor`.
      tolerance: >= 0 (epsilon), below which the error does not count.
      cross_weight: >= 0.

    Source: Menon et al., "PULSE: Self-Supervised Photo Upsampling via Latent Space
      Exploration of Generative Models", 2020, https://arxiv.org/abs/2003.03808; the
      numbers are those of their code, which returns nothing where it did not converge.
    """
    who = "latent_search.search"
    checks.count(who, num_steps=num_steps)
    checks.positive(who, learning_rate=learning_rate)
    checks.non_negative(who, tolerance=tolerance, cross_weight=cross_weight)
    noise = tuple(noise)
    start, fixed = (latents, noise[:num_trained]), noise[num_trained:]

    def objective(moved: tuple) -> tuple[Array, tuple]:
        latents, trained = moved
        image = generate(latents, (*trained, *fixed))
        away = (measure(image) - y).reshape(len(y), -1)
        error = jnp.mean(away**2, axis=1)
        loss = 100 * jnp.maximum(error, tolerance) + cross_weight * geocross(latents)
        return jnp.sum(loss), (loss, error, image)

    def step(carry: tuple, number: Array) -> tuple[tuple, None]:
        moved, moments, best = carry
        (_, seen), gradient = jax.value_and_grad(objective, has_aux=True)(moved)
        better = seen[0] < best[0]
        best = jax.tree.map(lambda new, old: _where(better, new, old), seen, best)
        rate = learning_rate * rate_factor(number, num_steps)
        moved, moments = _adam(moved, moments, gradient, rate, number + 1)
        return (_on_spheres(moved, start), moments, best), None

    zeros = jax.tree.map(jnp.zeros_like, start)
    shapes = jax.eval_shape(objective, start)[1]
    best = jax.tree.map(lambda s: jnp.full(s.shape, jnp.inf, s.dtype), shapes)
    carry, _ = lax.scan(step, (start, (zeros, zeros), best), jnp.arange(num_steps))
    _, error, image = carry[-1]
    return Found(image, error, error <= tolerance)


def _adam(
    x: tuple, moments: tuple, gradient: tuple, rate: Array, count: Array
) -> tuple:
    """Trees after one step of Adam, number `count` from 1, and its moments."""
    first, second = moments
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, second, gradient)

    def update(x: Array, m: Array, s: Array) -> Array:
        root = jnp.sqrt(s / (1 - 0.999**count)) + 1e-8
        return x - rate * m / (1 - 0.9**count) / root

    return jax.tree.map(update, x, first, second), (first, second)


def _on_spheres(moved: tuple, start: tuple) -> tuple:
    """Latents and maps of noise, each vector and each map of its first length."""
    maps = (
        on_sphere(x, o, tuple(range(1, x.ndim))) for x, o in zip(moved[1], start[1])
    )
    return on_sphere(moved[0], start[0], (-1,)), tuple(maps)


def on_sphere(x: Array, origin: Array, axes: tuple[int, ...]) -> Array:
    """x, scaled over these axes, the last ones, to the length of `origin`."""
    shape = x.shape
    flat = (*shape[: x.ndim - len(axes)], -1)
    origin, x = (a.reshape(flat) for a in (origin, x))
    length = jnp.sum(origin * l2_normalize(origin), axis=-1, keepdims=True)
    return (length * l2_normalize(x)).reshape(shape)


def _where(rows: Array, new: Array, old: Array) -> Array:
    return jnp.where(rows.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)
