"""A normalizing flow of affine couplings: a density that can be sampled, both exact.

Rows are standardized and pass through layers, each of which keeps every other
coordinate and scales and shifts the rest by a small network of those kept. The result
is normal noise; the way back makes rows of noise.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, gaussian
from repr_jax.ops.batch import (
    centered,
    checked_queries,
    checked_where,
    draw_places,
    masked_mean,
    present,
)
from repr_jax.ops.dense import he_normal
from repr_jax.ops.numerics import to_float

LARGEST = 2.0  # log-scale of one layer


class Layers(NamedTuple):
    """Networks of two hidden layers, one a coupling, on axis 0."""

    kernels: tuple[Array, ...]  # [layer, dim, hidden], [.., hidden], [.., 2 dim]
    biases: tuple[Array, ...]  # [layer, hidden], [layer, hidden], [layer, 2 dim]


class CouplingFlow(NamedTuple):
    """What was fitted."""

    mean: Array  # [dim], of the rows
    scale: Array  # [dim], their standard deviation
    layers: Layers
    losses: Array  # [num_steps], -mean log_prob of the batch, before each step


def fit(
    key: Array,
    x: Array,
    *,
    num_layers: int = 8,
    hidden: int = 128,
    num_steps: int = 3_000,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    where: Array | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CouplingFlow:
    """Adam on -mean_i log_prob(x_i), at a rate that falls to 0 along a cosine.

    It starts as the Gaussian of the rows' means and variances. Many steps on few rows
    end at a density of those rows alone: compare log_prob of others.

    Args:
      key: PRNG key, of first weights and of batches.
      x: [rows, dim] float.
      num_layers: >= 1; two let every coordinate depend on others.
      hidden: width of the networks.
      num_steps, batch_size: updates, and rows drawn for each, with replacement.
      learning_rate: > 0, the first.
      where: [rows] bool, False for absent rows; None if all are present.
      progress: called with (steps done, steps in all), at most twenty times.

    Raises:
      ValueError: x is not [rows, dim], or not finite; numbers out of range.
      TypeError: integers in x; a `where` that is not bool.

    Source: Dinh, Sohl-Dickstein and Bengio, "Density estimation using Real NVP", 2017,
      eqs. 7 to 9, https://arxiv.org/abs/1605.08803. Networks, sizes and the bound on
      the scales are ours.
    """
    from repr_jax import optim

    who = "coupling_flow.fit"
    checks.same_shape(who, rank=2, x=x)
    checks.floating(who, x=x)
    checks.count(who, num_layers=num_layers, hidden=hidden)
    checks.count(who, num_steps=num_steps, batch_size=batch_size)
    checks.positive(who, learning_rate=learning_rate)
    where = checked_where(who, where, x.shape[:1])
    checks.finite(who, where=where, x=x)
    start_key, key = jax.random.split(key)
    sizes = (x.shape[1], hidden, num_layers, num_steps)
    flow, state, order = _start(start_key, x, where, *sizes)

    def run(state, until):
        arrays = (flow, order, jnp.sum(where), key, until, learning_rate)
        return _descend(state, *arrays, num_steps=num_steps, batch_size=batch_size)

    state = optim.in_chunks(run, state, num_steps=num_steps, progress=progress)
    return flow[0]._replace(layers=state.params, losses=state.losses)


def to_noise(flow: CouplingFlow, x: Array) -> tuple[Array, Array]:
    """[batch, dim] -> noise [batch, dim], [batch] log |det d noise / d x|.

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite.
    """
    x = _checked("coupling_flow.to_noise", flow, x)
    z, log_det = _forward(flow.layers, (x - flow.mean[None]) / flow.scale[None])
    return z, log_det - jnp.sum(jnp.log(flow.scale))


def from_noise(flow: CouplingFlow, z: Array) -> Array:
    """[batch, dim] -> [batch, dim], the inverse of `to_noise`; errors as there."""
    return _backward(flow, _checked("coupling_flow.from_noise", flow, z))


@jax.jit
def _backward(flow, z):
    def back(z, layer):
        weights, keep = layer
        log_scale, shift = _coupling(weights, keep, z)
        return jnp.where(keep[None], z, (z - shift) * jnp.exp(-log_scale)), None

    layers = (flow.layers, _kept(flow.layers))
    z, _ = lax.scan(back, z, layers, reverse=True)
    return z * flow.scale[None] + flow.mean[None]


def log_prob(flow: CouplingFlow, x: Array) -> Array:
    """[batch, dim] -> [batch] log-density in nats; errors as `to_noise`."""
    z, log_det = to_noise(flow, x)
    return gaussian.log_prob(z) + log_det


def sample(key: Array, flow: CouplingFlow, num_samples: int) -> Array:
    """[num_samples, dim] rows drawn from the density."""
    checks.count("coupling_flow.sample", num_samples=num_samples)
    z = jax.random.normal(key, (num_samples, len(flow.mean)), flow.mean.dtype)
    return from_noise(flow, z)


def _checked(who, flow, x):
    return checked_queries(who, flow.mean.shape, x=x)


def _kept(layers):
    """[layer, dim] bool: which coordinates a layer leaves as they are."""
    num_layers, dim, _ = layers.kernels[0].shape
    return (jnp.arange(dim)[None] + jnp.arange(num_layers)[:, None]) % 2 == 0


def _coupling(weights, keep, x):
    """[batch, dim] log-scales and shifts, 0 for what is kept."""
    h = jnp.where(keep[None], x, 0)
    for n, (kernel, bias) in enumerate(zip(*weights)):
        h = jnp.matmul(h, kernel, precision=lax.Precision.HIGHEST) + bias[None]
        h = jax.nn.relu(h) if n < 2 else h
    log_scale, shift = jnp.split(jnp.where(jnp.tile(keep, 2)[None], 0, h), 2, axis=1)
    return LARGEST * jnp.tanh(log_scale / LARGEST), shift


@jax.jit
def _forward(layers, x):
    """Standardized rows to noise, with the log-determinants of that."""

    def forward(carry, layer):
        x, log_det = carry
        weights, keep = layer
        log_scale, shift = _coupling(weights, keep, x)
        x = jnp.where(keep[None], x, x * jnp.exp(log_scale) + shift)
        return (x, log_det + jnp.sum(log_scale, axis=1)), None

    start = (x, jnp.zeros_like(x[:, 0]))
    return lax.scan(forward, start, (layers, _kept(layers)))[0]


@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6))
def _start(key, x, where, dim, hidden, num_layers, num_steps):
    """The flow before the first step and its rows; its descent; present rows first."""
    import optax

    from repr_jax import optim

    x = present(to_float(x), where)
    away, mean = centered(x, where=where)
    scale = jnp.sqrt(masked_mean(away**2, where=where))
    scale = jnp.maximum(scale, jnp.finfo(x.dtype).eps * (1 + jnp.abs(mean)))
    sizes = (dim, hidden, hidden)
    kernels = he_normal(key, sizes, dtype=x.dtype, stack=(num_layers,))
    last = jnp.zeros((num_layers, hidden, 2 * dim), x.dtype)  # the identity
    widths = (hidden, hidden, 2 * dim)
    biases = tuple(jnp.zeros((num_layers, width), x.dtype) for width in widths)
    layers = Layers((*kernels, last), biases)
    optimizer = optax.adam(optax.constant_schedule(1.0))  # of the state of any other
    state = optim.start_descent(layers, optimizer, num_steps=num_steps)
    order = jnp.argsort(~where, stable=True)
    return (CouplingFlow(mean, scale, layers, ()), away / scale[None]), state, order


@functools.partial(jax.jit, static_argnames=("num_steps", "batch_size"))
def _descend(state, flow, order, count, key, until, rate, *, num_steps, batch_size):
    """The state after `until` steps."""
    import optax

    from repr_jax import optim

    rows = flow[1]
    fixed = jnp.sum(jnp.log(flow[0].scale))

    def loss(layers, extras, key, step):
        x = rows[order[draw_places(key, count, batch_size)]]
        z, log_det = _forward(layers, x)
        return fixed - jnp.mean(gaussian.log_prob(z) + log_det), extras

    optimizer = optax.adam(optax.cosine_decay_schedule(rate, num_steps))
    return optim.descend(loss, state, key=key, optimizer=optimizer, until=until)
