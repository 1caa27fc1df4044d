"""Binary trees that grow within a fixed capacity, so that one program serves all sizes.

While it grows a tree has the root first: `parents`, [nodes] int, is the parent of each
node, always a lower number; ROOT for node 0; UNUSED for nodes that the tree does not
have. A node that lost a child to pruning has the other as its only one. `leaves_first`
makes the form of all finished trees. Functions of `parents` alone are traceable; those
that change a tree run on the host.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import pairwise_dot, to_float

ROOT, UNUSED = -1, -2


def used(parents: Array) -> Array:
    """[nodes] bool: does the tree have this node?"""
    return jnp.asarray(parents) != UNUSED


def num_children(parents: Array) -> Array:
    """[nodes] int32: 0, 1 or 2."""
    parents = jnp.asarray(parents)
    nodes = jnp.arange(len(parents))
    return jnp.sum(parents[None, :] == nodes[:, None], axis=1)


def leaves(parents: Array) -> Array:
    """[nodes] bool: nodes of the tree without children."""
    return used(parents) & (num_children(parents) == 0)


def siblings(parents: Array) -> Array:
    """[nodes] int32: the other child of the node above; a node without one, itself."""
    parents = jnp.asarray(parents)
    nodes = jnp.arange(len(parents))
    same = parents[:, None] == parents[None, :]
    same &= (parents >= 0)[:, None] & (nodes[:, None] != nodes[None, :])
    return jnp.where(same.any(axis=1), same.argmax(axis=1), nodes)


@jax.jit  # else every call on the host compiles the loop once more
def below(parents: Array) -> Array:
    """[nodes, nodes] bool: is node j node i, or below it? False for unused nodes."""
    parents = jnp.asarray(parents)
    num = len(parents)

    def add(node, above):  # above: [node, ancestor]
        own = jnp.where(parents[node] >= 0, above[parents[node]], False)
        own = own | (jnp.arange(num) == node)
        return above.at[node].set(own & used(parents)[node])

    return jax.lax.fori_loop(0, num, add, jnp.zeros((num, num), bool)).T


def depths(parents: Array) -> Array:
    """[nodes] int32: edges to the root; -1 for unused nodes."""
    return jnp.sum(below(parents), axis=0) - 1


def path_probabilities(logits: Array, parents: Array) -> Array:
    """[batch, node]: the probability to pass each node on the way down; 0 if unused.

    logits: [batch, node], log odds of the child with the lower number. An only child is
    passed whenever its parent is.
    """
    parents, logits = jnp.asarray(parents), to_float(logits)
    nodes = jnp.arange(len(parents))
    sibling = siblings(parents)
    above = logits[:, jnp.maximum(parents, 0)]
    step = jax.nn.log_sigmoid(jnp.where((nodes < sibling)[None], above, -above))
    step = jnp.where((sibling == nodes)[None], 0, step)
    path = below(parents).astype(step.dtype)  # [node above, node]
    log_p = pairwise_dot(step, path.T)
    return jnp.where(used(parents)[None], jnp.exp(log_p), 0)


def start(capacity: int) -> np.ndarray:
    """[capacity] int32: a root with two leaves, nodes 1 and 2."""
    checks.count("trees.start", minimum=3, capacity=capacity)
    parents = np.full(capacity, UNUSED, np.int32)
    parents[:3] = ROOT, 0, 0
    return parents


def split(parents, leaf: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The tree with two new leaves below this one, and their nodes.

    ValueError: the node is no leaf, or two nodes with higher numbers are not free.
    """
    parents = np.array(parents, np.int32)
    if not bool(leaves(parents)[leaf]):
        raise ValueError(f"trees.split: expected a leaf; got node {leaf}.")
    free = np.flatnonzero(parents == UNUSED)
    free = free[free > leaf][:2]
    if len(free) < 2:
        raise ValueError(
            f"trees.split: expected two free nodes above number {leaf}; got "
            f"{len(free)} of {len(parents)}."
        )
    parents[free] = leaf
    return parents, (int(free[0]), int(free[1]))


def prune(parents, node: int) -> np.ndarray:
    """The tree without this node, all below it, and all that then lead to no leaf.

    ValueError: the tree has no such node, or it would have no leaf.
    """
    parents = np.array(parents, np.int32)
    if parents[node] == UNUSED:
        raise ValueError(f"trees.prune: expected a node of the tree; got {node}.")
    while parents[node] >= 0 and np.sum(parents == parents[node]) == 1:
        node = int(parents[node])
    if parents[node] == ROOT:
        raise ValueError("trees.prune: expected leaves elsewhere; got the tree's last.")
    parents[np.asarray(below(parents)[node])] = UNUSED
    return parents


def tidied(parents) -> tuple[np.ndarray, np.ndarray]:
    """The tree without nodes that have one child, numbered from 0 without gaps.

    Of a chain of such nodes the lowest stays. Returns parents [nodes] int32 and the old
    number of each new node, [nodes] int32: unused new nodes get unused or merged ones.
    """
    parents = np.asarray(parents)
    capacity, children = len(parents), [[] for _ in parents]
    for node in np.flatnonzero(parents >= 0):
        children[parents[node]].append(int(node))

    def lowest(node):
        while len(children[node]) == 1:
            (node,) = children[node]
        return node

    order, above = [lowest(0)], [ROOT]
    for new, node in enumerate(order):  # grows on the way
        order += [lowest(child) for child in children[node]]
        above += [new] * len(children[node])
    rest = np.setdiff1d(np.arange(capacity), order)
    out = np.full(capacity, UNUSED, np.int32)
    out[: len(order)] = above
    return out, np.concatenate([order, rest]).astype(np.int32)


def leaves_first(parents) -> tuple[np.ndarray, np.ndarray]:
    """The tree in the form of `trees.structure`, and the node that each leaf was.

    Returns [2 L - 1] int32 with -1 for the root, which is last, and [L] int32.
    """
    tidy, order = tidied(parents)
    tidy = tidy[tidy != UNUSED]
    is_leaf = ~np.isin(np.arange(len(tidy)), tidy)
    new = np.empty(len(tidy), np.int64)
    new[is_leaf] = np.arange(is_leaf.sum())
    new[~is_leaf] = np.arange(len(tidy) - 1, is_leaf.sum() - 1, -1)
    out = np.full(len(tidy), -1, np.int32)
    out[new[1:]] = new[tidy[1:]]
    return out, order[: len(tidy)][is_leaf]
