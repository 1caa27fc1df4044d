"""Random trees in the form of `repr_jax.trees`."""

import numpy as np

from repr_jax import trees


def wide(rng, leaves):
    """Parents of a random binary tree some of whose inner nodes are taken out."""
    parents = trees.random_binary(rng, leaves)
    for node in range(leaves, len(parents) - 1):
        if rng.random() < 0.4:
            parents[parents == node] = parents[node]
    kept = [n for n in range(len(parents)) if n < leaves or (parents == n).any()]
    new = {n: i for i, n in enumerate(kept)}
    return np.array([new.get(parents[n], -1) for n in kept])
