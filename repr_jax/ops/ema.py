"""Moving averages of parameters and of batches, and the schedules of their decay."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def update(average: Any, new: Any, *, decay: float | Array) -> Any:
    """decay * average + (1 - decay) * new, leaf by leaf, without gradient.

    Exact at the ends: `average` itself at decay 1 and `new` itself at 0, if finite.
    """
    average, new = jax.lax.stop_gradient((average, new))
    return jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, average, new)


def cosine_decay(step: Array, *, initial: float, num_steps: int) -> Array:
    """A decay that rises from `initial` at step 0 to 1 at `num_steps`, then stays.

    1 - (1 - initial) (cos(pi step / num_steps) + 1) / 2.

    Source: Grill et al., "Bootstrap Your Own Latent", 2020, section 3.3,
      https://arxiv.org/abs/2006.07733. There `initial` is tau_base, 0.996.
    """
    fraction = jnp.minimum(step / num_steps, 1.0)
    return 1 - (1 - initial) * (jnp.cos(jnp.pi * fraction) + 1) / 2


def constant_decay(step: Array, *, decay: float) -> Array:
    """The same decay at every step, as of MoCo's target; 0 copies the network."""
    return jnp.asarray(decay, jnp.float32)
