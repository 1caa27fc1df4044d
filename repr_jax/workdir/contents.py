"""What a state holds: leaves by name, and whether a stored one holds the same."""

import functools
from typing import Any

import jax
import jax.numpy as jnp


def flatten(state) -> tuple[list[str], list[Any]]:
    """Unique names and leaves."""
    pairs = jax.tree_util.tree_leaves_with_path(state)
    names = [jax.tree_util.keystr(path) or "array" for path, _ in pairs]
    return names, [leaf for _, leaf in pairs]


def kind(x) -> str:
    """Dtype and shape, as a checkpoint describes a leaf."""
    return f"{x.dtype}{list(x.shape)}"


def check_same(who, wanted, described, most: int = 8) -> None:
    """Raises ValueError that lists the leaves which are not those wanted."""
    wanted = {name: kind(x) for name, x in zip(*flatten(wanted))}
    got = {name: stored for name, (stored, _) in described.items()}
    differ = [
        f"{name}: wanted {wanted.get(name, 'none')}, got {got.get(name, 'none')}"
        for name in {**wanted, **got}
        if wanted.get(name) != got.get(name)
    ]
    if differ:
        listed = "; ".join(differ[:most])
        more = f"; and {len(differ) - most} more" if len(differ) > most else ""
        raise ValueError(f"{who} holds another state than this run's; {listed}{more}.")


def empty(struct):
    """An array without elements, where it is wanted."""
    make = functools.partial(jnp.zeros, struct.shape, struct.dtype)
    return jax.jit(make, out_shardings=struct.sharding)()
