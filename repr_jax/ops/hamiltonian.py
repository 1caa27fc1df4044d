"""Hamiltonian Monte Carlo: samples of a density that is known up to a factor.

Source: Neal, "MCMC using Hamiltonian dynamics", 2011, fig. 2,
https://arxiv.org/abs/1206.1901. How step sizes are fitted, by steps of the logarithm
that fall with the root of their number, is ours.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import row_normal

ACCEPTED = 0.8  # the rate that step sizes are fitted to


class Chains(NamedTuple):
    """What was drawn after the warm-up, of a chain for each row."""

    samples: Array  # [num_steps, batch, dim]
    acceptance: Array  # [batch], the mean probability of a proposal to be accepted
    step_size: Array  # [batch], that of the leapfrogs


def sample(
    keys: Array,
    log_prob: Callable[[Array], Array],
    start: Array,
    *,
    num_warmup: int = 100,
    num_steps: int = 100,
    num_leapfrogs: int = 10,
    step_size: float = 0.1,
) -> Chains:
    """A chain for each row, whose step size is fitted while it warms up.

    A proposal whose energy is not finite is refused. Leapfrog steps vary by a fifth
    from one proposal to the next, so that none turns in a circle.

    Args:
      keys: [batch].
      log_prob: z [batch, dim] -> [batch], up to a constant of the row; each row by
        itself.
      start: [batch, dim] float, of finite log_prob.
      num_warmup: >= 0, proposals that are dropped; num_steps: >= 1, those kept.
      num_leapfrogs: >= 1, gradients for a proposal.
      step_size: > 0, the first.
    """
    checks.count("hamiltonian.sample", minimum=0, num_warmup=num_warmup)
    checks.count("hamiltonian.sample", num_steps=num_steps, num_leapfrogs=num_leapfrogs)
    checks.positive("hamiltonian.sample", step_size=step_size)

    def update(state, number):
        z, log_step = state
        own = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, number)))
        z, probability = _moved(log_prob, num_leapfrogs, z, log_step, own(keys))
        rate = jnp.where(number < num_warmup, 1 / jnp.sqrt(number + 1.0), 0.0)
        log_step = log_step + rate * (probability - ACCEPTED)
        return (z, log_step), (z, probability)

    first = (start, jnp.full_like(start[:, 0], jnp.log(step_size)))
    warm, _ = lax.scan(
        lambda state, n: (update(state, n)[0], None), first, jnp.arange(num_warmup)
    )
    numbers = num_warmup + jnp.arange(num_steps)
    (_, log_step), (samples, probability) = lax.scan(update, warm, numbers)
    return Chains(samples, jnp.mean(probability, axis=0), jnp.exp(log_step))


def _moved(log_prob, num_leapfrogs, z, log_step, keys):
    """The next state of each chain, and the probability of its proposal."""
    gradient = jax.grad(lambda z: jnp.sum(log_prob(z)))
    draws = row_normal(keys[:, 0], z.shape[1:])
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys[:, 1])
    step = (jnp.exp(log_step) * (0.8 + 0.4 * uniform[:, 0]))[:, None]

    def leap(_, state):
        place, momentum = state
        place = place + step * momentum
        return place, momentum + step * gradient(place)

    half = draws + step / 2 * gradient(z)
    place, momentum = lax.fori_loop(0, num_leapfrogs, leap, (z, half))
    momentum = momentum - step / 2 * gradient(place)
    gain = log_prob(place) - log_prob(z)
    gain = gain + 0.5 * jnp.sum(draws**2 - momentum**2, axis=1)
    probability = jnp.where(jnp.isnan(gain), 0, jnp.exp(jnp.minimum(gain, 0)))
    accepted = uniform[:, 1] < probability
    return jnp.where(accepted[:, None], place, z), probability
