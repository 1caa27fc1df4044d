"""Random trees in the form of `repr_jax.trees`."""

import numpy as np


def binary(rng, leaves):
    """[2 leaves - 1] parents: two random groups are joined at a time."""
    parents, alive = np.full(2 * leaves - 1, -1), list(range(leaves))
    for node in range(leaves, 2 * leaves - 1):
        for child in rng.choice(alive, 2, replace=False).tolist():
            parents[child] = node
            alive.remove(child)
        alive.append(node)
    return parents


def wide(rng, leaves):
    """Parents of a random binary tree some of whose inner nodes are taken out."""
    parents = binary(rng, leaves)
    for node in range(leaves, len(parents) - 1):
        if rng.random() < 0.4:
            parents[parents == node] = parents[node]
    kept = [n for n in range(len(parents)) if n < leaves or (parents == n).any()]
    new = {n: i for i, n in enumerate(kept)}
    return np.array([new.get(parents[n], -1) for n in kept])
