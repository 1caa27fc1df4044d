"""Mixtures of diagonal distributions: posteriors of several experts, clustered priors.

`distribution` is `ops.gaussian` or `ops.laplace`, of the components.
"""

from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import gaussian
from repr_jax.ops.batch import log_mean_exp


class Mixture(NamedTuple):
    """Components on axis 0; with a batch axis, a mixture for each row."""

    mean: Array  # [component, dim] or [component, batch, dim]
    log_var: Array  # of the shape of mean
    logits: Array  # [component] or [component, batch] log weights; -inf for none


def log_weights(mixture: Mixture) -> Array:
    """[component, ...] normalized logits; all -inf stay so."""
    highest = jnp.max(mixture.logits, axis=0, keepdims=True)
    logits = jnp.where(highest > -jnp.inf, mixture.logits, 0)
    return jnp.where(highest > -jnp.inf, jax.nn.log_softmax(logits, axis=0), -jnp.inf)


def log_prob(mixture: Mixture, z: Array, distribution: ModuleType = gaussian) -> Array:
    """[..., dim] -> [...] log density; z has the batch axis if the mixture has it.

    Of a row without any component it is 0, and its gradient too.
    """
    density, logits, there = _components(mixture, z, distribution)
    total = log_mean_exp(density + logits, where=there)
    return total - log_mean_exp(logits, where=there)


def responsibilities(
    mixture: Mixture, z: Array, distribution: ModuleType = gaussian
) -> Array:
    """[..., dim] -> [component, ...] probability that z is of each component."""
    density, logits, there = _components(mixture, z, distribution)
    return jax.nn.softmax(jnp.where(there, density + logits, -jnp.inf), axis=0)


def mean(mixture: Mixture) -> Array:
    """[dim] or [batch, dim], the mean of the whole."""
    weights = jnp.exp(log_weights(mixture))[..., None]
    return jnp.sum(jnp.where(weights > 0, weights * mixture.mean, 0), axis=0)


def sample(
    keys: Array,
    mixture: Mixture,
    num_samples: int = 1,
    distribution: ModuleType = gaussian,
) -> Array:
    """keys [batch] -> [num_samples, batch, dim], stratified over the components.

    Each sample is of the mixture by itself, and of a row's num_samples each component
    of weight p has p * num_samples, rounded up or down.
    """
    keys = jax.vmap(jax.random.split)(keys)  # [batch, 2]
    rows = (len(keys), mixture.mean.shape[-1])
    parameters = [  # [component, batch, dim]
        jnp.broadcast_to(x if x.ndim == 3 else x[:, None], (len(x), *rows))
        for x in (mixture.mean, mixture.log_var)
    ]
    weights = jnp.exp(log_weights(mixture))
    weights = weights if weights.ndim == 2 else weights[:, None]
    ends = jnp.cumsum(weights, axis=0)  # [component, batch]
    uniform = jax.vmap(jax.random.uniform)(keys[:, 0])
    place = (jnp.arange(num_samples)[:, None] + uniform[None]) / num_samples
    place = place * ends[-1:]  # [sample, batch]
    component = jnp.sum(place[None] >= ends[:-1, None], axis=0)
    chosen = [jnp.take_along_axis(x, component[..., None], 0) for x in parameters]
    return distribution.sample(keys[:, 1], *chosen)


def _components(mixture, z, distribution):
    """[component, ...] log density of z in each, and logits, 0 if there is none; there?

    The last two have axes of length 1 where they do not differ.
    """
    parameters = zip(mixture.mean, mixture.log_var)
    density = jnp.stack([distribution.log_prob(z, *one) for one in parameters])
    extra = density.ndim - mixture.logits.ndim
    shape = (len(density), *(1,) * extra, *mixture.logits.shape[1:])
    logits = mixture.logits.reshape(shape)
    there = logits > -jnp.inf
    return density, jnp.where(there, logits, 0), there
