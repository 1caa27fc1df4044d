"""DeepECT: an autoencoder whose embeddings are pulled into a tree that grows meanwhile.

    found = deep_ect.fit(key, images, num_leaves=10)
    leaves = deep_ect.assign(found, other_images)

Every `grow_every` steps, on the host, empty nodes are pruned and the leaf of the most
spread is split in two. Between that one program runs, whatever the tree's size.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from repr_jax import losses
from repr_jax.losses import clustering_tree
from repr_jax.models.mlp import MLP
from repr_jax.ops import checks
from repr_jax.trees import growing as node_tree

ENCODED = 1024  # rows at a time, outside training


class DeepECT(NamedTuple):
    """A binary tree over L leaves, in the form of `metrics.hierarchy`, and its encoder.

    Fewer leaves than asked for may be left: the method prunes.
    """

    parents: np.ndarray  # [2 L - 1] int32, -1 for the root
    assignments: np.ndarray  # [rows] int32, the leaf of each row
    centers: np.ndarray  # [L, dim] float32, of leaves
    encoder: MLP
    params: Any  # of the encoder
    losses: np.ndarray  # [num_steps] float32, of the phase with a tree


class _State(NamedTuple):
    """What training moves."""

    params: dict  # encoder, decoder, and centers [node, dim]
    moments: Any  # of the optimizer
    weights: Array  # [node]


def fit(
    key: Array,
    images,
    *,
    num_leaves: int,
    num_steps: int = 3000,
    batch_size: int = 256,
    dim: int = 10,
    widths: tuple[int, ...] = (512, 256),
    grow_every: int | None = None,
    prune_below: float = 0.1,
    learning_rate: float = 1e-3,
    clustering_rate: float = 1e-4,
    clustering_weight: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> DeepECT:
    """Pretrains an autoencoder, then trains it with a tree, by `losses.deep_ect`.

    Args:
      key: PRNG key, of parameters, batches and 2-means.
      images: [rows, ...] float, such as pixels in [0, 1]; at least two rows.
      num_leaves: >= 2, the largest number; the tree has as many after some growth.
      num_steps: updates of the pretraining, and as many with the tree; rounded up to
        a multiple of grow_every.
      batch_size: rows of an update, drawn with replacement.
      dim: of the embeddings. widths: of the encoder's hidden layers, and backwards of
        the decoder's.
      grow_every: updates between growths; None spends half of num_steps on growing.
      prune_below: weight, a moving average of rows in a batch, of which nodes go.
      learning_rate, clustering_rate: of Adam, without and with the tree.
      clustering_weight: of `losses.deep_ect`.
      progress: called with (updates done, updates in all).

    Raises:
      ValueError: images without trailing axes, of fewer than two rows or not finite;
        numbers out of range. TypeError: integer images.

    Source: Mautz, Plant and Boehm, "Deep Embedded Cluster Tree", 2019, which was not
      consulted. As in ClustPy: 10 dimensions, batches of 256, the two rates, pruning at
      0.1, new nodes weigh 1, and the leaf with the largest sum of squared distances to
      its center is split by 2-means. Ours: widths, fewer updates, how often the tree
      grows, and that nodes are pruned where it grows, not after every update.
    """
    images = _checked("deep_ect.fit", images)
    counts = dict(num_steps=num_steps, batch_size=batch_size, dim=dim)
    checks.count("deep_ect.fit", **counts)
    checks.count("deep_ect.fit", minimum=2, num_leaves=num_leaves)
    if grow_every is None:
        grow_every = max(1, num_steps // (2 * num_leaves))
    checks.count("deep_ect.fit", grow_every=grow_every)
    rates = dict(learning_rate=learning_rate, clustering_rate=clustering_rate)
    checks.positive("deep_ect.fit", **rates)
    numbers = dict(prune_below=prune_below, clustering_weight=clustering_weight)
    checks.non_negative("deep_ect.fit", **numbers)
    pixels = images[0].size
    encoder = MLP(widths=(*widths, dim))
    decoder = MLP(widths=(*widths[::-1], pixels))
    state, keys = _start(key, encoder, decoder, images, 2 * num_leaves - 1)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(keys[1])))
    train = functools.partial(
        _train, encoder, decoder, jnp.asarray(images), keys[0], batch_size
    )
    rounds = -(-num_steps // grow_every)

    def run(state, parents, n, rate, weight):
        """State and losses after the n-th round of updates."""
        steps = jnp.arange(n * grow_every, (n + 1) * grow_every)
        state, values = train(state, parents, steps, rate, weight)
        if progress is not None:
            progress((n + 1) * grow_every, 2 * rounds * grow_every)
        return state, np.asarray(values)

    def grow(parents, state):
        """The tree of the next round."""
        parents, state = _pruned(parents, state, prune_below)
        embeddings = _embed(encoder, state.params["encoder"], images=images)
        return _grown(parents, state, embeddings, num_leaves, rng)

    parents = np.full(2 * num_leaves - 1, node_tree.UNUSED, np.int32)
    parents[0] = node_tree.ROOT
    for n in range(rounds):
        state, _ = run(state, parents, n, learning_rate, 0.0)
    state = state._replace(moments=optax.scale_by_adam().init(state.params))
    found = []
    for n in range(rounds, 2 * rounds):
        parents, state = grow(parents, state)
        state, values = run(state, parents, n, clustering_rate, clustering_weight)
        found.append(values)
    parents, state = _pruned(parents, state, prune_below)
    return _result(parents, state, encoder, images, np.concatenate(found))


def assign(found: DeepECT, images) -> np.ndarray:
    """[rows, ...] -> [rows] int32, the leaf of the nearest center."""
    images = _checked("deep_ect.assign", images, minimum=0)
    embeddings = _embed(found.encoder, found.params, images=images)
    parents = np.full(len(found.centers) + 1, 0, np.int32)  # all leaves below a root
    parents[0] = node_tree.ROOT
    centers = np.concatenate([np.zeros_like(found.centers[:1]), found.centers])
    return np.asarray(clustering_tree.assign(embeddings, centers, parents)) - 1


def _start(key, encoder, decoder, images, nodes):
    """The first state, and two keys: of batches and of the host's generator."""
    encoder_key, decoder_key, *keys = jax.random.split(key, 4)
    row = jnp.asarray(images[:1])
    encoded, params = encoder.init_with_output(encoder_key, row, train=False)
    params = {
        "encoder": params["params"],
        "decoder": decoder.init(decoder_key, encoded, train=False)["params"],
        "centers": jnp.zeros((nodes, encoded.shape[1])),
    }
    moments = optax.scale_by_adam().init(params)
    return _State(params, moments, jnp.ones(nodes)), keys


@functools.partial(jax.jit, static_argnums=(0, 1, 4))
def _train(
    encoder,
    decoder,
    images,
    key,
    batch_size,
    state,
    parents,
    steps,
    learning_rate,
    clustering_weight,
):
    """The state after an update at each of the steps, and their losses."""
    optimizer = optax.scale_by_adam()

    def update(state, step):
        drawn = jax.random.fold_in(key, step)
        rows = jax.random.randint(drawn, (batch_size,), 0, len(images))
        x = images[rows].reshape(batch_size, -1)

        def loss(params):
            embeddings = encoder.apply({"params": params["encoder"]}, x, train=True)
            decoded = decoder.apply(
                {"params": params["decoder"]}, embeddings, train=True
            )
            value = losses.deep_ect(
                x,
                decoded,
                embeddings,
                params["centers"],
                state.weights,
                parents,
                clustering_weight=clustering_weight,
            )
            return value, embeddings

        grad = jax.value_and_grad(loss, has_aux=True)
        (value, embeddings), gradient = grad(state.params)
        updates, moments = optimizer.update(gradient, state.moments)
        params = jax.tree.map(lambda p, u: p - learning_rate * u, state.params, updates)
        weights = clustering_tree.updated_weights(
            embeddings, state.params["centers"], state.weights, parents
        )
        return _State(params, moments, weights), value

    return jax.lax.scan(update, state, steps)


def _embed(encoder, params, *, images) -> np.ndarray:
    """[rows, dim] embeddings of all images."""
    out = []
    for start in range(0, len(images), ENCODED):
        some = images[start : start + ENCODED]
        padded = np.zeros((ENCODED, *images.shape[1:]), images.dtype)
        padded[: len(some)] = some
        out.append(np.asarray(_encode(encoder, params, padded))[: len(some)])
    return np.concatenate(out) if out else np.zeros((0, encoder.widths[-1]), "f")


@functools.partial(jax.jit, static_argnums=0)
def _encode(encoder, params, x):
    return encoder.apply({"params": params}, x, train=False)


def _pruned(parents, state, prune_below):
    """Without the nodes of too little weight, and without gaps."""
    for node in np.flatnonzero(np.asarray(state.weights) < prune_below)[::-1]:
        is_leaf = np.asarray(node_tree.leaves(parents))
        inside = is_leaf & np.asarray(node_tree.below(parents))[node]
        if parents[node] >= 0 and inside.sum() < is_leaf.sum():
            parents = node_tree.prune(parents, node)
    parents, order = node_tree.tidied(parents)

    def reordered(path, x):
        return x[order] if "centers" in jax.tree_util.keystr(path) else x

    moved = jax.tree_util.tree_map_with_path(reordered, state)
    return parents, moved._replace(weights=state.weights[order])


def _grown(parents, state, embeddings, num_leaves, rng):
    """The leaf with the largest sum of squared distances split, if there is room."""
    is_leaf = np.asarray(node_tree.leaves(parents))
    if is_leaf.sum() >= num_leaves:
        return parents, state
    centers = np.array(state.params["centers"])
    owner = np.asarray(clustering_tree.assign(embeddings, centers, parents))
    apart = np.sum((embeddings - centers[owner]) ** 2, axis=1)
    spread = np.bincount(owner, apart, len(parents))
    spread[np.bincount(owner, minlength=len(parents)) < 2] = 0
    if is_leaf.sum() == 1:  # its center is nowhere yet
        spread[is_leaf.argmax()] = 1
    leaf = int(spread.argmax())
    pair = two_means(embeddings[owner == leaf], rng) if spread[leaf] else None
    if pair is None:
        return parents, state
    parents, children = node_tree.split(parents, leaf)
    centers[list(children)] = pair
    weights = state.weights.at[np.array(children)].set(1.0)
    params = {**state.params, "centers": jnp.asarray(centers)}
    return parents, state._replace(params=params, weights=weights)


def two_means(x: np.ndarray, rng: np.random.Generator, *, restarts: int = 20):
    """[2, dim], the best of some runs of Lloyd's algorithm; None if all rows agree."""
    from scipy.cluster.vq import kmeans2

    x = np.asarray(x, np.float64)
    if not np.ptp(x, axis=0).any():
        return None
    best, least = None, np.inf
    for _ in range(restarts):
        centers, label = kmeans2(x, 2, minit="++", seed=rng)
        error = np.sum((x - centers[label]) ** 2)
        if error < least and len(set(label.tolist())) == 2:
            best, least = centers, error
    return best


def _result(parents, state, encoder, images, values) -> DeepECT:
    tree, nodes = node_tree.leaves_first(parents)
    centers = np.asarray(state.params["centers"])[nodes]
    params = state.params["encoder"]
    found = DeepECT(tree, np.empty(0, np.int32), centers, encoder, params, values)
    return found._replace(assignments=assign(found, images))


def _checked(who, images, minimum=2):
    images = np.asarray(images)
    checks.floating(who, images=images)
    if images.ndim < 2 or len(images) < minimum or not np.isfinite(images).all():
        raise ValueError(
            f"{who}: expected finite images [rows, ...], at least {minimum} rows; got "
            f"shape {images.shape}, {np.sum(~np.isfinite(images))} entries not finite."
        )
    return images.astype(np.float32)
