"""TreeVAE: a variational autoencoder whose tree of latents grows leaf by leaf.

    found = tree_vae.fit(key, images, num_leaves=10)
    leaves = tree_vae.assign(found, other_images)

A tree of two leaves is trained; then, again and again, the leaf with most rows gets two
leaves, which are trained on its rows while the rest stays as it is. Empty leaves are
pruned. At the end everything is trained together.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from repr_jax.losses.variational_tree import tree_elbo
from repr_jax.models import tree_vae as models
from repr_jax.ops import checks, likelihood
from repr_jax.trees import growing as node_tree

AT_A_TIME = 1024  # rows, outside training
EMPTY = 0.01  # share of rows below which a leaf does not count


class Fitted(NamedTuple):
    """A binary tree over L leaves, in the form of `metrics.hierarchy`, and its model.

    L is smaller than asked for where no leaf had enough rows to be split.
    """

    parents: np.ndarray  # [2 L - 1] int32, -1 for the root
    assignments: np.ndarray  # [rows] int32, the most probable leaf of each row
    model: models.TreeVAE
    variables: Any  # of the model
    tree: np.ndarray  # [node] int32, in the form of `ops.node_tree`
    nodes: np.ndarray  # [L] int32, the node of each leaf
    losses: np.ndarray  # [updates] float32, each of its own stage's objective


class _Training(NamedTuple):
    """What all stages share."""

    model: models.TreeVAE
    images: Array
    key: Array
    num_leaves: int
    batch_size: int
    num_steps: int
    learning_rate: float
    growing_beta: float
    max_depth: int
    min_rows: int
    log_likelihood: Callable
    report: Callable  # called with the updates done


def fit(
    key: Array,
    images,
    *,
    num_leaves: int,
    num_steps: int = 1000,
    batch_size: int = 128,
    latent_dim: int = 8,
    hidden: int = 128,
    encoder_widths: tuple[int, ...] = (512, 512),
    decoder_widths: tuple[int, ...] = (256,),
    max_depth: int | None = None,
    min_rows: int | None = None,
    learning_rate: float = 1e-3,
    growing_beta: float = 0.15,
    log_likelihood: Callable = likelihood.bernoulli,
    progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Grows and trains the tree, by `losses.tree_elbo`.

    Args:
      key: PRNG key, of parameters, batches and latents.
      images: [rows, ...] float in [0, 1].
      num_leaves: >= 2, the largest number.
      num_steps: updates of every stage: the first tree, each sub-tree, and the whole
        tree at the end; half of it for the whole tree after every third sub-tree.
      batch_size: rows of an update, drawn with replacement.
      latent_dim, hidden: of every node. encoder_widths, decoder_widths: layers of the
        encoder before its levels, and of every leaf's decoder.
      max_depth: of a leaf; None for two more than a balanced tree has, at least 5.
      min_rows: rows that a leaf needs to be split; None for batch_size.
      learning_rate: of Adam; a tenth of it in the last third of each stage.
      growing_beta: weight of the divergences at the end of each stage but the last; it
        rises from 0, in the last stage to 1.
      log_likelihood: of pixels given what a decoder returned.
      progress: called with (updates done, updates in all at most) after each stage.

    Raises:
      ValueError: images without rows or trailing axes, or not in [0, 1]; numbers out of
        range. TypeError: integer images.

    Source: as `models.tree_vae`. From the authors' code for MNIST: sizes of nodes, rate
      and its decay, that divergences weigh from 0 to 0.15 and in the end to 1, which
      rows a sub-tree is trained on, when all is trained together, that leaves with
      fewer rows than a batch are not split, pruning below 1% of the rows. Ours: fewer
      updates, counted in steps; no weight decay; leaves are pruned after each split,
      not in the end alone, and nodes for num_leaves / 2 splits in vain are at hand.
    """
    images = _checked("tree_vae.fit", images, minimum=1)
    counts = dict(num_steps=num_steps, batch_size=batch_size, latent_dim=latent_dim)
    checks.count("tree_vae.fit", **counts, hidden=hidden)
    checks.count("tree_vae.fit", minimum=2, num_leaves=num_leaves)
    checks.positive("tree_vae.fit", learning_rate=learning_rate)
    checks.non_negative("tree_vae.fit", growing_beta=growing_beta)
    if max_depth is None:
        max_depth = max(5, (num_leaves - 1).bit_length() + 2)
    min_rows = batch_size if min_rows is None else min_rows
    checks.count("tree_vae.fit", max_depth=max_depth, min_rows=min_rows)
    model = models.TreeVAE(
        models.TreeEncoder(max_depth + 1, encoder_widths, hidden),
        models.TreeNode(latent_dim, hidden),
        models.TreeDecoder(images[0].size, decoder_widths),
    )
    first_key, key = jax.random.split(key)
    spare = num_leaves // 2  # splits of which one side stays empty
    variables = _init(first_key, model, images[:1], 2 * num_leaves - 1 + spare)
    most = (num_leaves + spare) * num_steps
    most += (num_leaves - 2 + spare) // 3 * (num_steps // 2)
    training = _Training(
        *(model, jnp.asarray(images), key, num_leaves, batch_size, num_steps),
        *(learning_rate, growing_beta, max_depth, min_rows, log_likelihood),
        lambda done: progress and progress(done, most),
    )
    tree = node_tree.start(2 * num_leaves - 1 + spare)
    tree, variables, losses = _grown(training, variables, tree)
    parents, nodes = node_tree.leaves_first(tree)
    found = Fitted(
        *(parents, np.empty(0, np.int32), model, variables, tree, nodes),
        np.asarray(losses, np.float32),
    )
    return found._replace(assignments=assign(found, images))


def assign(found: Fitted, images) -> np.ndarray:
    """[rows, ...] -> [rows] int32, the most probable leaf of each row."""
    return probabilities(found, images).argmax(axis=1).astype(np.int32)


def probabilities(found: Fitted, images) -> np.ndarray:
    """[rows, ...] -> [rows, L] float32, of ending in each leaf; rows sum to 1."""
    images = _checked("tree_vae.probabilities", images, minimum=0)
    return _probabilities(found.model, found.variables, images, found.tree, found.nodes)


def _grown(training, variables, tree):
    """The tree and variables after all stages, and the loss of each update."""
    num_steps, beta, losses = training.num_steps, training.growing_beta, []

    def whole(variables, tree, beta, num_steps):
        return _train_all(training, variables, tree, beta, num_steps, losses)

    variables = whole(variables, tree, beta, num_steps)
    splits = 0
    while node_tree.leaves(tree).sum() < training.num_leaves:
        leaf, rows = _to_split(training, variables, tree)
        if leaf is None:
            break
        tree, children = node_tree.split(tree, leaf)
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
    leaves = np.flatnonzero(node_tree.leaves(tree))
    spare = training.num_leaves - len(leaves)
    leaves = np.pad(leaves, (0, spare), constant_values=-1)
    rows = np.arange(len(training.images))
    fixed = (tree, leaves, ())
    return _stage(training, _say_all, variables, fixed, rows, beta, num_steps, losses)


def _train_split(training, variables, tree, split, rows, losses):
    """Variables after a stage in which the leaf's router and its children move."""
    own = {
        "nodes": jax.tree.map(lambda a: a[split], variables["nodes"]),
        "decoders": jax.tree.map(lambda a: a[split[1:]], variables["decoders"]),
    }
    numbers = (training.growing_beta, training.num_steps)
    fixed = (tree, split, variables)
    own = _stage(training, _say_split, own, fixed, rows, *numbers, losses)

    def put(name, places):
        return jax.tree.map(
            lambda a, b: a.at[places].set(b), variables[name], own[name]
        )

    nodes, decoders = put("nodes", split), put("decoders", split[1:])
    return {**variables, "nodes": nodes, "decoders": decoders}


def _stage(training, say, variables, fixed, rows, beta, num_steps, losses):
    """Variables after so many updates on these rows; their losses join the others."""
    moments = optax.scale_by_adam().init(variables)
    key = jax.random.fold_in(training.key, len(losses))
    padded = jnp.asarray(np.pad(rows, (0, len(training.images) - len(rows))))
    values = []
    for step in range(num_steps):
        rate = training.learning_rate * (1.0 if 3 * step < 2 * num_steps else 0.1)
        variables, moments, loss = _update(
            *(say, training.model, training.log_likelihood, variables, moments),
            *(training.images, fixed, jax.random.fold_in(key, step), padded),
            *(len(rows), training.batch_size, beta * step / num_steps, rate),
        )
        values.append(loss)
    losses.extend(float(loss) for loss in values)
    training.report(len(losses))
    return variables


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 10))
def _update(
    say,
    model,
    log_likelihood,
    variables,
    moments,
    images,
    fixed,
    key,
    rows,
    count,
    batch_size,
    beta,
    rate,
):
    """Variables and moments after one step, and the loss before it.

    say: (model, variables, x, noise, *fixed) -> NodeOutput, decoded, leaves, variables.
    """
    rows_key, noise_key = jax.random.split(key)
    drawn = jax.random.randint(rows_key, (batch_size,), 0, count)
    x = images[rows[drawn]].reshape(batch_size, -1)
    noise_shape = (batch_size, len(fixed[0]), model.node.latent_dim)
    noise = jax.random.normal(noise_key, noise_shape)

    def loss(variables):
        out, decoded, leaves, moved = say(model, variables, x, noise, *fixed)
        value = tree_elbo(
            x,
            decoded,
            *out[1:],
            parents=fixed[0],
            leaves=leaves,
            log_likelihood=log_likelihood,
            beta=beta,
        )
        return value, moved

    grad = jax.value_and_grad(loss, has_aux=True)
    (value, moved), gradient = grad(variables)
    updates, moments = optax.scale_by_adam().update(gradient, moments)

    def step(path, old, update, moved):
        return moved if "batch_stats" in str(path) else old - rate * update

    variables = jax.tree_util.tree_map_with_path(step, variables, updates, moved)
    return variables, moments, value


def _say_all(model, variables, x, noise, tree, leaves, _):
    """What the networks of the whole tree say."""
    out, _, variables = models.descend(model, variables, x, tree, noise, train=True)
    decoded, variables = models.decode(model, variables, out.z, leaves, train=True)
    return out, decoded, leaves, variables


def _say_split(model, own, x, noise, tree, split, variables):
    """The same where all is fixed but two new leaves, and the router above them.

    own: variables of the three nodes `split` and of the two decoders. No other leaf is
    decoded, since what it would add to the loss is constant.
    """
    leaf, children = split[0], split[1:]
    said = models.descend(model, variables, x, tree, noise, train=False)
    out, levels, _ = jax.lax.stop_gradient(said)
    z, depth = out.z[:, leaf], node_tree.depths(tree)[leaf]
    options = dict(train=True, method=models.TreeNode.routers)
    top, *below = (jax.tree.map(lambda a, i=i: a[i], own["nodes"]) for i in range(3))
    routers, top = models.apply(model.node, top, z, levels[depth], **options)
    routers = (a.at[:, leaf].set(b) for a, b in zip(out[5:], routers))
    out, moved = models.NodeOutput(*out[:5], *routers), [top]
    for i, node in enumerate(below):
        child = children[i]
        inputs = (z, levels[depth + 1], noise[:, child], False)
        said, node = models.apply(model.node, node, *inputs, train=True)
        out = jax.tree.map(lambda a, b, n=child: a.at[:, n].set(b), out, said)
        moved.append(node)
    nodes = jax.tree.map(lambda *a: jnp.stack(a), *moved)
    pair = out.z[:, children]
    decoded, own = models.decode(model, own, pair, jnp.arange(2), train=True)
    return out, decoded, children, {**own, "nodes": nodes}


def _to_split(training, variables, tree):
    """The leaf with most rows and these rows; (None, None) if none may be split."""
    nodes = np.flatnonzero(node_tree.leaves(tree))
    free = np.flatnonzero(tree == node_tree.UNUSED)
    share = _probabilities(training.model, variables, training.images, tree, nodes)
    effective = np.sum(share.mean(axis=0) >= EMPTY)
    inside = share >= min(1 / max(effective, 1), 0.5)
    count = inside.sum(axis=0)
    count[np.asarray(node_tree.depths(tree))[nodes] >= training.max_depth] = 0
    count[[np.sum(free > node) < 2 for node in nodes]] = 0
    best = int(count.argmax())
    if count[best] < training.min_rows:
        return None, None
    return int(nodes[best]), np.flatnonzero(inside[:, best])


def _pruned(training, variables, tree):
    """The tree without leaves that are the most probable one of hardly any row."""
    while True:
        nodes = np.flatnonzero(node_tree.leaves(tree))
        share = _probabilities(training.model, variables, training.images, tree, nodes)
        count = np.bincount(share.argmax(axis=1), minlength=len(nodes))
        if len(nodes) == 1 or count.min() >= EMPTY * count.sum():
            return tree
        tree = node_tree.prune(tree, int(nodes[count.argmin()]))


def _probabilities(model, variables, images, tree, nodes) -> np.ndarray:
    """[rows, leaf]; the nodes are padded, so that one program serves all trees."""
    leaves = np.pad(nodes, (0, len(tree) - len(nodes)), constant_values=-1)
    out = [np.zeros((0, len(tree)), np.float32)]
    for start in range(0, len(images), AT_A_TIME):
        some = np.asarray(images[start : start + AT_A_TIME])
        padded = np.zeros((AT_A_TIME, *some.shape[1:]), some.dtype)
        padded[: len(some)] = some
        share = _leaf_probabilities(model, variables, padded, tree, leaves)
        out.append(np.asarray(share)[: len(some)])
    return np.concatenate(out)[:, : len(nodes)]


_init = jax.jit(models.init, static_argnums=(1, 3))
_leaf_probabilities = jax.jit(models.leaf_probabilities, static_argnums=0)


def _checked(who, images, *, minimum):
    images = np.asarray(images)
    checks.floating(who, images=images)
    low, high = np.min(images, initial=0), np.max(images, initial=0)
    if images.ndim < 2 or len(images) < minimum or not (low >= 0 and high <= 1):
        raise ValueError(
            f"{who}: expected images [rows, ...] in [0, 1], at least {minimum} rows; "
            f"got shape {images.shape}, from {low} to {high}."
        )
    return images.astype(np.float32)
