"""Hyperbolic hierarchical clustering: leaves move in the Poincare ball, then a tree.

The tree is of the lowest Dasgupta cost that the descent of `losses.hyphc` finds.

Source: as `losses.hyphc`. Adam takes the place of Riemannian Adam, since only the
directions of leaves count; the numbers here, and a temperature that falls, are ours.
The authors' code also keeps the tree of least cost.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax import trees
from repr_jax.losses.clustering_tree import SCALES, hyphc
from repr_jax.metrics.hierarchy import dasgupta_cost
from repr_jax.ops import checks
from repr_jax.ops.numerics import l2_normalize


class HypHC(NamedTuple):
    """A binary tree over L leaves, in the form of `repr_jax.trees`."""

    parents: np.ndarray  # [2 L - 1] int32, -1 for the root
    heights: np.ndarray  # [2 L - 1] float64, how much nearer the origin than leaves
    assignments: np.ndarray  # [L] int32, 0 to L - 1: every leaf is one
    embeddings: np.ndarray  # [L, dim] float32, of norm below 1
    cost: float  # Dasgupta's, of this tree
    costs: np.ndarray  # [evaluations] float64, of the trees met on the way
    losses: np.ndarray  # [evaluations] float64, means over the steps before

    @property
    def linkage(self) -> np.ndarray:
        """[L - 1, 4] float64 as scipy has it: two nodes, height, leaves below."""
        return trees.to_linkage(self.parents, self.heights)


def fit(
    key: Array,
    similarities,
    *,
    dim: int = 2,
    num_steps: int = 3000,
    num_triplets: int = 1024,
    num_evaluations: int = 10,
    learning_rate: float = 0.03,
    temperature: float = 0.3,
    final_temperature: float = 0.03,
    scale: float = 0.9,
    progress: Callable[[int, int], None] | None = None,
) -> HypHC:
    """Leaves and their radius by Adam on `losses.hyphc`; the best tree met on the way.

    Each step draws triplets of different leaves. The temperature falls by the same
    factor each step. At every evaluation the leaves are decoded into a tree, `decode`.

    Args:
      key: PRNG key, of the first positions and of the triplets.
      similarities: [L, L] float, symmetric, L >= 2; the diagonal does not count.
      dim: of the ball; 2 in the authors' code.
      num_steps, num_triplets: updates, and triplets of each.
      num_evaluations: trees decoded, at equal distances; at most num_steps are.
      learning_rate: > 0, of Adam.
      temperature, final_temperature: > 0, of the loss in the first and the last step.
      scale: in (0, 1), radius of the leaves at first; it is learned.
      progress: called with (steps done, steps in all) after each evaluation.

    Raises:
      ValueError: similarities that are not square, symmetric and finite, or of fewer
        than two leaves; numbers out of range. TypeError: integers in similarities.
    """
    who, similarities = "hyphc.fit", _square(similarities)
    numbers = dict(learning_rate=learning_rate, temperature=temperature)
    checks.positive(who, **numbers, final_temperature=final_temperature)
    counts = dict(num_steps=num_steps, num_triplets=num_triplets)
    checks.count(who, **counts, num_evaluations=num_evaluations)
    checks.count(who, minimum=2, dim=dim)
    if not 0 < scale < 1:
        raise ValueError(f"{who}: expected scale in (0, 1); got {scale}.")
    leaves_key, triplets_key = jax.random.split(key)
    leaves = jax.random.normal(leaves_key, (len(similarities), dim))
    state = _start(leaves, jnp.float32(scale), num_steps)
    if len(similarities) < 3:  # of two leaves there is one tree
        return _result(state, similarities)
    factor = (final_temperature / temperature) ** (1 / max(num_steps - 1, 1))
    temperatures = temperature * factor ** jnp.arange(num_steps)
    pairs = jnp.asarray(similarities, jnp.float32)
    run = functools.partial(
        _descend,
        similarities=pairs,
        key=triplets_key,
        temperatures=temperatures,
        learning_rate=learning_rate,
        num_triplets=num_triplets,
    )
    every = -(-num_steps // min(num_evaluations, num_steps))
    return _best(run, state, similarities, every, progress)


def _best(run, state, similarities, every, progress) -> HypHC:
    """The tree of least cost, decoded after each `every` updates."""
    num_steps, best, costs, values = len(state.losses), None, [], []
    for first in range(0, num_steps, every):
        last = min(first + every, num_steps)
        state = run(state, until=last)
        tree = _result(state, similarities)
        costs.append(tree.cost)
        values.append(float(jnp.mean(state.losses[first:last])))
        best = tree if best is None or tree.cost < best.cost else best
        if progress is not None:
            progress(last, num_steps)
    return best._replace(costs=np.array(costs), losses=np.array(values))


def decode(embeddings) -> tuple[np.ndarray, np.ndarray]:
    """Greedily joins the pair whose common ancestor is deepest: single linkage.

    embeddings: [L, dim], of one norm below 1. Returns parents [2 L - 1] int32 and
    heights [2 L - 1]; a height is the distance of leaves to the origin minus that of
    the common ancestor.

    Source: as `fit`; the authors' code joins by inner products, which have the same
      order as the distances of ancestors, all leaves being of one norm.
    """
    from scipy.cluster.hierarchy import linkage

    embeddings = np.asarray(embeddings, np.float64)
    first, second = np.triu_indices(len(embeddings), k=1)
    radius = np.linalg.norm(embeddings, axis=1).mean()
    # the distance of the ancestor, in float64: `ops.poincare` for points of one norm
    apart = np.linalg.norm(embeddings[first] - embeddings[second], axis=1)
    between = np.sqrt(np.maximum(4 * radius**2 - apart**2, 0))
    depth = np.arcsinh(between / np.sqrt((1 - radius**2) ** 2 + apart**2))
    height = np.maximum(2 * np.arctanh(radius) - depth, 0)
    return trees.from_linkage(linkage(height, "single"))[:2]


def _start(leaves, scale, num_steps):
    import optax

    from repr_jax import optim

    params = (leaves, scale)
    return optim.start_descent(params, optax.adam(1.0), num_steps=num_steps)


@functools.partial(jax.jit, static_argnames="num_triplets")
def _descend(
    state, similarities, key, until, temperatures, learning_rate, *, num_triplets
):
    """The state after `until` updates."""
    import optax

    from repr_jax import optim

    num = len(similarities)

    def draw(key):
        """[3, num_triplets] leaves, all different in a triplet, all triplets alike."""
        keys = jax.random.split(key, 3)
        a, b, c = (
            jax.random.randint(k, (num_triplets,), 0, num - i)
            for i, k in enumerate(keys)
        )
        b = b + (b >= a)
        low, high = jnp.minimum(a, b), jnp.maximum(a, b)
        c = c + (c >= low)
        return jnp.stack([a, b, c + (c >= high)])

    def loss(params, extras, key, step):
        leaves, scale = params
        triplets = draw(key)
        pairs = similarities[
            triplets[jnp.array([0, 0, 1])], triplets[jnp.array([1, 2, 2])]
        ]
        chosen = leaves[triplets]  # [3, num_triplets, dim]
        options = dict(scale=scale, temperature=temperatures[step])
        return hyphc(*chosen, pairs.T, **options), extras

    def clip_scale(params, extras, step):
        leaves, scale = params
        return (leaves, jnp.clip(scale, *SCALES)), extras

    return optim.descend(
        loss,
        state,
        key=key,
        optimizer=optax.adam(learning_rate),
        until=until,
        after_update=clip_scale,
    )


def _result(state, similarities):
    """The tree of these leaves, before there is a history."""
    leaves, scale = state.params
    embeddings = np.asarray(scale * l2_normalize(leaves))
    parents, heights = decode(embeddings)
    cost = dasgupta_cost(parents, similarities)
    assignments = np.arange(len(embeddings), dtype=np.int32)
    tree = (parents, heights, assignments, embeddings, cost)
    return HypHC(*tree, costs=np.empty(0), losses=np.empty(0))


def _square(similarities):
    similarities = np.asarray(similarities)
    checks.same_shape("hyphc.fit", rank=2, similarities=similarities)
    checks.floating("hyphc.fit", similarities=similarities)
    num = len(similarities)
    checks.count("hyphc.fit", minimum=2, **{"rows of similarities": num})
    checks.shape("hyphc.fit", (num, num), similarities=similarities)
    similarities = similarities.astype(np.float64)  # a copy
    np.fill_diagonal(similarities, 0)
    if not np.isfinite(similarities).all():
        i, j = np.argwhere(~np.isfinite(similarities))[0]
        got = f"{similarities[i, j]} of leaves {i} and {j}"
        raise ValueError(f"hyphc.fit: expected finite similarities; got {got}.")
    apart = np.abs(similarities - similarities.T)
    if not np.allclose(similarities, similarities.T):
        raise ValueError(
            f"hyphc.fit: expected symmetric similarities; got some that differ by "
            f"{apart.max()}."
        )
    return similarities
