"""Exponential moving averages; `schedules` has the numbers that their decay follows."""

from typing import Any

import jax
from jax import Array


def update(average: Any, new: Any, *, decay: float | Array) -> Any:
    """decay * average + (1 - decay) * new, leaf by leaf, without gradient.

    Exact at the ends: `average` itself at decay 1 and `new` itself at 0, if finite.
    """
    average, new = jax.lax.stop_gradient((average, new))
    return jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, average, new)
