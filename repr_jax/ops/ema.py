"""Moving averages, and means of members; `schedules` has numbers that decay follows."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float


def update(average: Any, new: Any, *, decay: float | Array) -> Any:
    """decay * average + (1 - decay) * new, leaf by leaf, without gradient.

    Exact at the ends: `average` itself at decay 1 and `new` itself at 0, if finite.
    """
    average, new = jax.lax.stop_gradient((average, new))
    return jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, average, new)


def average(trees: Any, weights: Array) -> Any:
    """Mean over axis 0 of every leaf, by weights [members], without gradient.

    weights: >= 0, of any sum above 0, such as the rows that each member was trained on.
    """
    who, weights = "ema.average", to_float(weights)
    for path, leaf in jax.tree_util.tree_leaves_with_path(trees):
        name = jax.tree_util.keystr(path)
        checks.floating(who, **{name: leaf})
        checks.rows(who, len(weights), **{name: leaf})
    trees, weights = jax.lax.stop_gradient((trees, weights / jnp.sum(weights)))
    return jax.tree.map(
        lambda x: jnp.einsum(
            "m,m...->...", weights.astype(x.dtype), x, precision="highest"
        ),
        trees,
    )
