"""TreeVAE: a variational autoencoder whose tree of latents grows leaf by leaf.

    model = models.tree_vae.fully_connected(784, num_leaves=10)
    found = tree_vae.fit(key, images, model=model, num_leaves=10)
    leaves = tree_vae.assign(found, other_images, model=model)

The model is that of the caller, with the fields and methods of `models.tree_vae`. A
tree of two leaves is trained; then, again and again, the leaf with most rows gets two
leaves, which are trained on its rows while the rest stays as it is. Empty leaves are
pruned. At the end everything is trained together.

Source: as `models.tree_vae`. From the authors' code for MNIST: the rate and its decay,
weights of divergences, which rows a sub-tree is trained on, when all is trained
together, that leaves of fewer rows than a batch are not split, pruning below 1% of the
rows. Ours: fewer updates, counted in steps; no weight decay; pruning after each split,
and nodes for num_leaves / 2 splits more.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.losses.variational_tree import tree_elbo
from repr_jax.ops import checks, likelihood
from repr_jax.ops.batch import by_block
from repr_jax.ops.numerics import argmax
from repr_jax.trees import growing

EMPTY = 0.01  # share of rows below which a leaf does not count


class TreeVAE(NamedTuple):
    """A binary tree over L leaves, leaves first, and the variables of its model.

    L is smaller than asked for where no leaf had enough rows to be split.
    """

    parents: np.ndarray  # [2 L - 1] int32, -1 for the root
    assignments: np.ndarray  # [rows] int32, the most probable leaf of each row
    variables: Any  # of the model, a nested dict of arrays
    tree: (
        np.ndarray
    )  # [node] int32, in the form of `trees.growing`, as the model needs it
    nodes: np.ndarray  # [L] int32, the node of each leaf
    losses: np.ndarray  # [updates] float32, each of its own stage's objective


class _Training(NamedTuple):
    """What all stages share."""

    model: Any
    images: Array
    key: Array
    num_leaves: int
    batch_size: int
    num_steps: int
    learning_rate: float
    growing_beta: float
    min_rows: int
    log_likelihood: Callable
    report: Callable  # called with the updates done


def fit(
    key: Array,
    images: Array,
    *,
    model: Any,
    num_leaves: int,
    num_steps: int = 1000,
    batch_size: int = 128,
    min_rows: int | None = None,
    learning_rate: float = 1e-3,
    growing_beta: float = 0.15,
    log_likelihood: Callable[[Array, Array], Array] = likelihood.bernoulli,
    progress: Callable[[int, int], None] | None = None,
) -> TreeVAE:
    """Grows and trains the tree, by `losses.tree_elbo`.

    Args:
      key: PRNG key, of parameters, batches and latents.
      images: [rows, ...] float in [0, 1].
      model: as `models.tree_vae.TreeVAE`, hashable; its encoder has one level more than
        the largest depth of a leaf.
      num_leaves: >= 2, the largest number.
      num_steps: updates of every stage: the first tree, each sub-tree, and the whole
        tree at the end; half of it for the whole tree after every third sub-tree.
      batch_size: rows of an update, drawn with replacement.
      min_rows: rows that a leaf needs to be split; None for batch_size.
      learning_rate: of Adam; a tenth of it in the last third of each stage.
      growing_beta: weight of the divergences at the end of each stage but the last; it
        rises from 0, in the last stage to 1.
      log_likelihood: of pixels given what a decoder returned.
      progress: called with (updates done, updates in all at most) after each stage.

    Raises:
      ValueError: images without rows or trailing axes, or not in [0, 1]; numbers out of
        range. TypeError: integer images.
    """
    who = "tree_vae.fit"
    images = _checked(who, images, minimum=1)
    min_rows = batch_size if min_rows is None else min_rows
    checks.count(who, num_steps=num_steps, batch_size=batch_size, min_rows=min_rows)
    checks.count(who, minimum=2, num_leaves=num_leaves)
    checks.positive(who, learning_rate=learning_rate)
    checks.non_negative(who, growing_beta=growing_beta)
    first_key, key = jax.random.split(key)
    spare = num_leaves // 2
    num_nodes = 2 * num_leaves - 1 + spare
    variables = _init(model, first_key, images[:1], num_nodes)
    most = (num_leaves + spare) * num_steps
    most += (num_leaves - 2 + spare) // 3 * (num_steps // 2)
    training = _Training(
        *(model, images, key, num_leaves, batch_size, num_steps, learning_rate),
        *(growing_beta, min_rows, log_likelihood),
        lambda done: progress and progress(done, most),
    )
    found = _grown(training, variables, growing.start(num_nodes))
    return _result(model, images, *found)


def _result(model, images, tree, variables, losses) -> TreeVAE:
    parents, nodes = growing.leaves_first(tree)
    share = _probabilities(model, variables, images, tree, nodes)
    assignments = share.argmax(axis=1).astype(np.int32)
    variables = jax.tree.map(np.asarray, variables)
    return TreeVAE(parents, assignments, variables, tree, nodes, np.concatenate(losses))


def assign(found: TreeVAE, images: Array, *, model: Any) -> Array:
    """[rows, ...] -> [rows] int32, the most probable leaf of each row.

    ValueError for images that are not finite; in traced code such a row gets -1.
    """
    return argmax(probabilities(found, images, model=model))


def probabilities(found: TreeVAE, images: Array, *, model: Any) -> Array:
    """[rows, ...] -> [rows, L] float32, of ending in each leaf; rows sum to 1.

    model: the one that was fitted.
    """
    images = _checked("tree_vae.probabilities", images)
    tree, nodes = jnp.asarray(found.tree), jnp.asarray(found.nodes)
    return _leaf_probabilities(model, found.variables, images, tree, nodes)


def _grown(training, variables, tree):
    """The tree and variables after all stages, and the losses of each stage."""
    num_steps, beta, losses = training.num_steps, training.growing_beta, []

    def whole(variables, tree, beta, num_steps):
        return _train_all(training, variables, tree, beta, num_steps, losses)

    variables = whole(variables, tree, beta, num_steps)
    splits = 0
    while growing.leaves(tree).sum() < training.num_leaves:
        leaf, rows = _to_split(training, variables, tree)
        if leaf is None:
            break
        tree, children = growing.split(tree, leaf)
        split = np.array([leaf, *children], np.int32)
        variables = _train_split(training, variables, tree, split, rows, losses)
        tree = _pruned(training, variables, tree)
        splits += 1
        if splits % 3 == 0:
            variables = whole(variables, tree, beta, num_steps // 2)
    tree = _pruned(training, variables, tree)
    variables = whole(variables, tree, 1.0, num_steps)
    return tree, variables, losses


def _train_all(training, variables, tree, beta, num_steps, losses):
    """Variables after a stage in which everything moves."""
    leaves = np.flatnonzero(growing.leaves(tree))
    spare = training.num_leaves - len(leaves)
    leaves = np.pad(leaves, (0, spare), constant_values=-1)
    rows, outputs = np.arange(len(training.images)), training.model.outputs
    fixed = (tree, leaves)
    return _stage(training, outputs, variables, fixed, rows, beta, num_steps, losses)


def _train_split(training, variables, tree, split, rows, losses):
    """Variables after a stage in which the leaf's router and its children move."""
    own = _taken(variables, split)
    numbers = (training.growing_beta, training.num_steps)
    fixed, outputs = (tree, split, variables), training.model.outputs_of_split
    own = _stage(training, outputs, own, fixed, rows, *numbers, losses)
    return _put(variables, own, split)


@jax.jit
def _taken(variables, split):
    """What a split moves."""
    return {
        "nodes": jax.tree.map(lambda a: a[split], variables["nodes"]),
        "decoders": jax.tree.map(lambda a: a[split[1:]], variables["decoders"]),
    }


@jax.jit
def _put(variables, own, split):
    """All variables, with these in place of what `_taken` took."""

    def put(name, places):
        return jax.tree.map(
            lambda a, b: a.at[places].set(b), variables[name], own[name]
        )

    nodes, decoders = put("nodes", split), put("decoders", split[1:])
    return {**variables, "nodes": nodes, "decoders": decoders}


def _stage(training, outputs, variables, fixed, rows, beta, num_steps, losses):
    """Variables after so many updates on these rows; their losses join the others."""
    done, capacity = sum(map(len, losses)), training.num_steps
    steps = np.arange(capacity)
    betas = beta * steps / max(num_steps, 1)
    rates = training.learning_rate * np.where(3 * steps < 2 * num_steps, 1.0, 0.1)
    state = _train(
        outputs,
        training.model.node.latent_dim,
        training.log_likelihood,
        training.batch_size,
        _start(variables, capacity),
        training.images,
        fixed,
        jax.random.fold_in(training.key, done),
        np.pad(rows, (0, len(training.images) - len(rows))),
        len(rows),
        num_steps,
        betas,
        rates,
    )
    losses.append(np.asarray(state.losses[:num_steps]))
    training.report(done + num_steps)
    return _joined(state.params, state.extras)


@functools.partial(jax.jit, static_argnums=1)
def _start(variables, num_steps):
    """The state before the first update of a stage."""
    import optax

    from repr_jax import optim

    params, statistics = _parted(variables)
    optimizer = optax.adam(lambda step: 0.0)  # of the state of any other
    return optim.start_descent(
        params, optimizer, num_steps=num_steps, extras=statistics
    )


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _train(
    outputs,
    latent_dim,
    log_likelihood,
    batch_size,
    state,
    images,
    fixed,
    key,
    rows,
    num_rows,
    until,
    betas,
    rates,
):
    """The state after `until` updates.

    outputs: (variables, x, noise, *fixed) -> NodeOutput, decoded, leaves, variables.
    rows: [len(images)] int, of which the first num_rows are drawn from.
    betas, rates: [num_steps], the weight of the divergences and the learning rate.
    """
    import optax

    from repr_jax import optim

    tree = fixed[0]

    def loss(params, statistics, key, step):
        rows_key, noise_key = jax.random.split(key)
        drawn = jax.random.randint(rows_key, (batch_size,), 0, num_rows)
        x = images[rows[drawn]].reshape(batch_size, -1)
        noise = jax.random.normal(noise_key, (batch_size, len(tree), latent_dim))
        variables = _joined(params, statistics)
        out, decoded, leaves, moved = outputs(variables, x, noise, *fixed)
        options = dict(log_likelihood=log_likelihood, beta=betas[step])
        value = tree_elbo(x, decoded, *out[1:], parents=tree, leaves=leaves, **options)
        return value, _parted(moved)[1]

    optimizer = optax.adam(lambda step: rates[step])
    return optim.descend(loss, state, key=key, optimizer=optimizer, until=until)


def _parted(variables):
    """What is learned, and what batch normalization remembers."""
    return tuple(
        {name: part[collection] for name, part in variables.items()}
        for collection in ("params", "batch_stats")
    )


def _joined(params, statistics):
    return {
        name: {"params": params[name], "batch_stats": statistics[name]}
        for name in params
    }


def _to_split(training, variables, tree):
    """The leaf with most rows and these rows; (None, None) if none may be split."""
    nodes = np.flatnonzero(growing.leaves(tree))
    free = np.flatnonzero(tree == growing.UNUSED)
    share = _probabilities(training.model, variables, training.images, tree, nodes)
    effective = np.sum(share.mean(axis=0) >= EMPTY)
    inside = share >= min(1 / max(effective, 1), 0.5)
    count = inside.sum(axis=0)
    max_depth = training.model.encoder.num_levels - 1
    count[np.asarray(growing.depths(tree))[nodes] >= max_depth] = 0
    count[[np.sum(free > node) < 2 for node in nodes]] = 0
    best = int(count.argmax())
    if count[best] < training.min_rows:
        return None, None
    return int(nodes[best]), np.flatnonzero(inside[:, best])


def _pruned(training, variables, tree):
    """The tree without leaves that are the most probable one of hardly any row."""
    while True:
        nodes = np.flatnonzero(growing.leaves(tree))
        share = _probabilities(training.model, variables, training.images, tree, nodes)
        count = np.bincount(share.argmax(axis=1), minlength=len(nodes))
        if len(nodes) == 1 or count.min() >= EMPTY * count.sum():
            return tree
        tree = growing.prune(tree, int(nodes[count.argmin()]))


def _probabilities(model, variables, images, tree, nodes) -> np.ndarray:
    """[rows, leaf]; the nodes are padded, so that one program serves all trees."""
    leaves = np.pad(nodes, (0, len(tree) - len(nodes)), constant_values=-1)
    share = _leaf_probabilities(model, variables, images, tree, leaves)
    return np.asarray(share)[:, : len(nodes)]


@functools.partial(jax.jit, static_argnums=(0, 3))
def _init(model, key, x, num_nodes):
    return model.init(key, x, num_nodes)


@functools.partial(jax.jit, static_argnums=0)
def _leaf_probabilities(model, variables, images, tree, leaves):
    def of_block(x):
        return model.leaf_probabilities(variables, x, tree, leaves)

    return by_block(of_block, images)


def _checked(who, images, *, minimum=0):
    """Images in float32."""
    checks.floating(who, images=images)
    checks.finite(who, images=images)
    if jnp.ndim(images) < 2 or len(images) < minimum:
        raise ValueError(
            f"{who}: expected images [rows, ...], at least {minimum} rows; got shape "
            f"{jnp.shape(images)}."
        )
    if checks.known(images):
        low, high = np.min(images, initial=0), np.max(images, initial=0)
        if low < 0 or high > 1:
            raise ValueError(
                f"{who}: expected images in [0, 1]; got values from {low} to {high}."
            )
    return jnp.asarray(images, jnp.float32)
