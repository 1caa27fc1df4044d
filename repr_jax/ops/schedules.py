"""Numbers that follow the step: (step, numbers) -> [] float32, constant outside."""

import jax.numpy as jnp
from jax import Array


def constant(step: Array, *, value: float) -> Array:
    """The same at every step."""
    return jnp.asarray(value, jnp.float32)


def linear(step: Array, *, start: float, end: float, num_steps: int) -> Array:
    """From `start` at step 0 along a line to `end` at `num_steps`."""
    fraction = jnp.clip(step / num_steps, 0.0, 1.0)
    return start + (end - start) * fraction


def cosine(step: Array, *, start: float, end: float, num_steps: int) -> Array:
    """From `start` at step 0 along half a cosine to `end` at `num_steps`.

    end - (end - start) (cos(pi step / num_steps) + 1) / 2.

    Source: with end 1, the decay of the target of Grill et al., "Bootstrap Your Own
      Latent", 2020, section 3.3, https://arxiv.org/abs/2006.07733; start is tau_base.
    """
    fraction = jnp.clip(step / num_steps, 0.0, 1.0)
    return end - (end - start) * (jnp.cos(jnp.pi * fraction) + 1) / 2
