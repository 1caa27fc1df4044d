"""DeepECT: an autoencoder whose embeddings are pulled into a tree that grows meanwhile.

    modules = dict(encoder=MLP((512, 256, 10)), decoder=MLP((256, 512, 784)))
    found = deep_ect.fit(key, images, **modules, num_leaves=10)
    leaves = deep_ect.assign(found, other_images, encoder=modules["encoder"])

Modules are those of the caller: init(key, x, train=) and apply({"params": params}, x,
train=) as in flax, hashable, with parameters alone. Every `grow_every` steps, on the
host, empty nodes are pruned and the leaf of the largest spread is split in two. Between
that one program runs, whatever the size of the tree.

Source: Mautz, Plant and Boehm, "Deep Embedded Cluster Tree", 2019, which was not
consulted. As in ClustPy: batches of 256, the two rates, pruning at 0.1, new nodes weigh
1, and the leaf with the largest sum of squared distances to its center is split by
2-means. Ours: fewer updates, how often the tree grows, and that nodes are pruned where
it grows, not after every update.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax import losses
from repr_jax.losses import clustering_tree
from repr_jax.ops import checks
from repr_jax.ops.batch import by_block
from repr_jax.trees import growing


class DeepECT(NamedTuple):
    """A binary tree over L leaves, leaves first, and the encoder's parameters.

    L may be below what was asked for: the method prunes.
    """

    parents: np.ndarray  # [2 L - 1] int32, -1 for the root
    assignments: np.ndarray  # [rows] int32, the leaf of each row
    centers: np.ndarray  # [L, dim] float32, of leaves
    params: Any  # of the encoder, a nested dict of arrays
    losses: np.ndarray  # [num_steps] float32, of the phase with a tree


def fit(
    key: Array,
    images: Array,
    *,
    encoder: Any,
    decoder: Any,
    num_leaves: int,
    num_steps: int = 3000,
    batch_size: int = 256,
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
      encoder, decoder: modules, [batch, ...] -> [batch, dim] -> [batch, pixels].
      num_leaves: >= 2, the largest number.
      num_steps: updates of the pretraining, and as many with the tree; both rounded up
        to a multiple of grow_every. batch_size: rows of each, drawn with replacement.
      grow_every: updates between growths; None spends half of num_steps on growing.
      prune_below: nodes of a lower weight, a moving average of rows, are pruned.
      learning_rate: of Adam, without the tree; clustering_rate: with it.
      clustering_weight: of `losses.deep_ect`.
      progress: called with (updates done, updates in all).

    Raises:
      ValueError, TypeError: images that are not finite [rows, ...] float, of fewer than
        two rows; numbers out of range; modules that do not fit.
    """
    who = "deep_ect.fit"
    images = _checked(who, images, minimum=2)
    checks.count(who, num_steps=num_steps, batch_size=batch_size)
    checks.count(who, minimum=2, num_leaves=num_leaves)
    if grow_every is None:
        grow_every = max(1, num_steps // (2 * num_leaves))
    checks.count(who, grow_every=grow_every)
    phases = (learning_rate, 0.0), (clustering_rate, clustering_weight)
    checks.positive(who, learning_rate=learning_rate, clustering_rate=clustering_rate)
    checks.non_negative(who, prune_below=prune_below)
    checks.non_negative(who, clustering_weight=clustering_weight)
    rounds = -(-num_steps // grow_every)
    sizes = (2 * num_leaves - 1, 2 * rounds * grow_every)
    state, keys = _start(key, encoder, decoder, images, *sizes)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(keys[1])))
    inputs = encoder, decoder, images, keys[0]
    train = functools.partial(_train, *inputs, batch_size=batch_size)

    def grow(parents, state):
        parents, state = _pruned(parents, state, prune_below)
        embeddings = _encode(encoder, state.params["encoder"], images)
        return _grown(parents, state, embeddings, num_leaves, rng)

    tree = _trained(train, grow, state, rounds, grow_every, phases, progress)
    return _result(*_pruned(*tree, prune_below), encoder, images)


def _trained(train, grow, state, rounds, grow_every, phases, progress):
    """Parents and state after so many rounds without a tree, and as many with one."""
    nodes = len(state.params["centers"])
    parents = np.array([growing.ROOT] + [growing.UNUSED] * (nodes - 1), np.int32)
    for n in range(1, 2 * rounds + 1):
        if n > rounds:
            state = _without_moments(state) if n == rounds + 1 else state
            parents, state = grow(parents, state)
        state = train(state, parents, n * grow_every, *phases[n > rounds])
        if progress is not None:
            jax.block_until_ready(state)
            progress(n * grow_every, 2 * rounds * grow_every)
    return parents, state


def embed(found: DeepECT, images: Array, *, encoder: Any) -> Array:
    """[rows, ...] -> [rows, dim]; encoder: the module that was fitted."""
    images = _checked("deep_ect.embed", images)
    return _encode(encoder, found.params, images)


def assign(found: DeepECT, images: Array, *, encoder: Any) -> Array:
    """[rows, ...] -> [rows] int32, the leaf of the nearest center.

    ValueError for images that are not finite; in traced code such a row gets -1.
    """
    images = _checked("deep_ect.assign", images)
    return _nearest(_encode(encoder, found.params, images), found.centers)


@jax.jit
def _nearest(embeddings, centers):
    parents = np.full(len(centers) + 1, 0, np.int32)  # all leaves below a root
    parents[0] = growing.ROOT
    centers = jnp.concatenate([jnp.zeros_like(centers[:1]), centers])
    found = clustering_tree.assign(embeddings, centers, parents)
    return jnp.maximum(found - 1, -1)


@functools.partial(jax.jit, static_argnums=(1, 2, 4, 5))
def _start(key, encoder, decoder, images, nodes, num_updates):
    """The first state, and two keys: of batches and of the host's generator."""
    import optax

    from repr_jax import optim

    encoder_key, decoder_key, *keys = jax.random.split(key, 4)
    encoded, params = encoder.init_with_output(encoder_key, images[:1], train=False)
    decoded, decoder_params = decoder.init_with_output(
        decoder_key, encoded, train=False
    )
    if decoded.size != images[0].size:
        raise ValueError(
            f"deep_ect.fit: expected a decoder to the {images[0].size} entries of an "
            f"image; got {decoded.size}."
        )
    if set(params) != {"params"} or set(decoder_params) != {"params"}:
        raise ValueError(
            "deep_ect.fit: expected modules with parameters alone; got "
            f"{', '.join(sorted({*params, *decoder_params}))}."
        )
    params = {
        "encoder": params["params"],
        "decoder": decoder_params["params"],
        "centers": jnp.zeros((nodes, encoded.shape[1])),
    }
    options = dict(num_steps=num_updates, extras=jnp.ones(nodes))  # weights of nodes
    return optim.start_descent(params, optax.adam(1.0), **options), keys


@functools.partial(jax.jit, static_argnames=("encoder", "decoder", "batch_size"))
def _train(
    encoder,
    decoder,
    images,
    key,
    state,
    parents,
    until,
    learning_rate,
    clustering_weight,
    *,
    batch_size,
):
    """The state after `until` updates."""
    import optax

    from repr_jax import optim

    def loss(params, weights, key, step):
        rows = jax.random.randint(key, (batch_size,), 0, len(images))
        x, centers = images[rows], params["centers"]
        embeddings = encoder.apply({"params": params["encoder"]}, x, train=True)
        decoded = decoder.apply({"params": params["decoder"]}, embeddings, train=True)
        value = losses.deep_ect(
            x,
            decoded.reshape(x.shape),
            embeddings,
            centers,
            weights,
            parents,
            clustering_weight=clustering_weight,
        )
        weights = clustering_tree.updated_weights(embeddings, centers, weights, parents)
        return value, weights

    optimizer = optax.adam(learning_rate)
    return optim.descend(loss, state, key=key, optimizer=optimizer, until=until)


def _without_moments(state):
    import optax

    return state._replace(opt_state=optax.adam(1.0).init(state.params))


@functools.partial(jax.jit, static_argnums=0)
def _encode(encoder, params, images):
    """[rows, dim] embeddings, some thousand rows at a time."""
    return by_block(lambda x: encoder.apply({"params": params}, x, train=False), images)


def _pruned(parents, state, prune_below):
    """Without the nodes of too little weight, and without gaps."""
    for node in np.flatnonzero(np.asarray(state.extras) < prune_below)[::-1]:
        is_leaf = np.asarray(growing.leaves(parents))
        inside = is_leaf & np.asarray(growing.below(parents))[node]
        if parents[node] >= 0 and inside.sum() < is_leaf.sum():
            parents = growing.prune(parents, node)
    parents, order = growing.tidied(parents)
    return parents, _reordered(state, order)


@jax.jit
def _reordered(state, order):
    """Nodes with their moments and weights in this order."""

    def reordered(path, x):
        return x[order] if "centers" in jax.tree_util.keystr(path) else x

    moved = jax.tree_util.tree_map_with_path(reordered, state)
    return moved._replace(extras=state.extras[order])


def _grown(parents, state, embeddings, num_leaves, rng):
    """The leaf with the largest sum of squared distances split, if there is room."""
    is_leaf = np.asarray(growing.leaves(parents))
    if is_leaf.sum() >= num_leaves:
        return parents, state
    embeddings, centers = np.asarray(embeddings), np.array(state.params["centers"])
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
    parents, children = growing.split(parents, leaf)
    centers[list(children)] = pair
    weights = state.extras.at[np.array(children)].set(1.0)
    params = {**state.params, "centers": jnp.asarray(centers)}
    return parents, state._replace(params=params, extras=weights)


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


def _result(parents, state, encoder, images) -> DeepECT:
    tree, nodes = growing.leaves_first(parents)
    params = jax.tree.map(np.asarray, state.params["encoder"])
    centers = np.asarray(state.params["centers"])[nodes]
    assignments = np.asarray(_nearest(_encode(encoder, params, images), centers))
    with_tree = np.asarray(state.losses[len(state.losses) // 2 :])
    return DeepECT(tree, assignments, centers, params, with_tree)


def _checked(who, images, *, minimum=0):
    """Images in float32."""
    checks.floating(who, images=images)
    checks.finite(who, images=images)
    if jnp.ndim(images) < 2 or len(images) < minimum:
        raise ValueError(
            f"{who}: expected images [rows, ...], at least {minimum} rows; got shape "
            f"{jnp.shape(images)}."
        )
    return jnp.asarray(images, jnp.float32)
