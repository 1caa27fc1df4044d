"""Embeddings of the entities of events, whose products say which go together: APE.

An event has one entity of each of several types, such as user, machine and hour.

Source: Chen et al., "Entity Embedding-based Anomaly Detection for Heterogeneous
  Categorical Events", 2016, https://arxiv.org/abs/1608.07502; numbers of a public
  implementation.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.losses.contrastive_events import event_nce
from repr_jax.ops import checks, events
from repr_jax.ops.batch import checked_where, draw_places

POWER = 0.75  # of counts, in the noise that entities are replaced by


class EventEmbedding(NamedTuple):
    """What was fitted."""

    embeddings: Array  # [types, num_entities, dim]; of entities that were not seen, the
    # mean of those of their type that were
    weights: Array  # [types (types - 1) / 2] >= 0, of the pairs 01, 02, ..., 12, ...
    losses: Array  # [num_steps]


def fit(
    key: Array,
    x: Array,
    *,
    num_entities: int,
    dim: int = 10,
    num_negatives: int = 5,
    num_steps: int = 1_000,
    batch_size: int = 512,
    learning_rate: float = 0.01,
    where: Array | None = None,
) -> EventEmbedding:
    """Adam on `losses.event_nce`; a step replaces the entities of one random type.

    Args:
      key: PRNG key.
      x: [events, types] int in [0, num_entities), an entity of each type.
      num_entities: of the type that has the most.
      dim: of an embedding.
      num_negatives: entities drawn in place of each, in proportion to counts^0.75.
      num_steps, batch_size: updates, and events drawn for each, with replacement.
      learning_rate: > 0.
      where: [events] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: x is not [events, 2 types or more], an entity out of range (traced,
        such a row is as good as absent), numbers out of range.
      TypeError: x is not of integers.
    """
    who = "event_embedding.fit"
    checks.same_shape(who, rank=2, x=x)
    checks.integers(who, x=x)
    checks.count(who, minimum=2, types=x.shape[1])
    checks.count(who, num_entities=num_entities, dim=dim, batch_size=batch_size)
    checks.count(who, num_negatives=num_negatives, num_steps=num_steps)
    checks.positive(who, learning_rate=learning_rate)
    where = checked_where(who, where, x.shape[:1])
    checks.within(who, num_entities, where=where, x=x)
    sizes = (num_entities, dim, num_negatives, num_steps, batch_size)
    return _fit(key, jnp.asarray(x), where, learning_rate, *sizes)


def score(fitted: EventEmbedding, x: Array) -> Array:
    """[events, types] int -> [events], higher for entities that do not go together.

    ValueError for an entity out of range; in traced code its event scores NaN.
    """
    who, num = "event_embedding.score", fitted.embeddings.shape[1]
    checks.integers(who, x=x)
    checks.shape(who, (*jnp.shape(x)[:1], len(fitted.embeddings)), x=x)
    checks.within(who, num, x=x)
    known = jnp.all((x >= 0) & (x < num), axis=1)
    found = -events.score(fitted.embeddings, fitted.weights, jnp.clip(x, 0, num - 1))
    return jnp.where(known, found, jnp.nan)


@functools.partial(jax.jit, static_argnums=(4, 5, 6, 7, 8))
def _fit(key, x, where, rate, entities, dim, negatives, num_steps, batch_size):
    import optax

    from repr_jax import optim

    types = x.shape[1]
    where = where & jnp.all((x >= 0) & (x < entities), axis=1)
    order, count = jnp.argsort(~where, stable=True), jnp.sum(where)
    one_hot = jax.nn.one_hot(x.T, entities) * where[None, :, None]
    counts = jnp.sum(one_hot, axis=1)  # [types, entities]
    log_noise = POWER * jnp.log(counts)
    log_noise = log_noise - jax.nn.logsumexp(log_noise, axis=1, keepdims=True)
    start_key, key = jax.random.split(key)
    embeddings = 0.1 * jax.random.normal(start_key, (types, entities, dim))
    params = embeddings, jnp.ones(types * (types - 1) // 2)

    def loss(params, extras, key, step):
        row_key, type_key, noise_key = jax.random.split(key, 3)
        rows = x[order[draw_places(row_key, count, batch_size)]]
        replaced = jax.random.randint(type_key, (), 0, types)
        law = log_noise[replaced]
        drawn = jax.random.categorical(noise_key, law, shape=(batch_size, negatives))
        others = jnp.repeat(rows[:, None], negatives, axis=1)
        others = others.at[..., replaced].set(drawn)
        scores = (events.score(*params, a) for a in (rows, others))
        return event_nce(*scores, law[rows[:, replaced]], law[drawn]), extras

    def clip(params, extras, step):
        return (params[0], jnp.maximum(params[1], 0)), extras

    optimizer = optax.adam(rate)
    state = optim.start_descent(params, optimizer, num_steps=num_steps)
    state = optim.descend(
        loss,
        state,
        key=key,
        optimizer=optimizer,
        until=num_steps,
        after_update=clip,
    )
    embeddings, weights = state.params
    seen = (counts > 0)[..., None]
    total = jnp.sum(jnp.where(seen, embeddings, 0), axis=1, keepdims=True)
    mean = total / jnp.maximum(jnp.sum(seen, axis=1, keepdims=True), 1)
    return EventEmbedding(jnp.where(seen, embeddings, mean), weights, state.losses)
