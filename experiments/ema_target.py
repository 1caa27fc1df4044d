"""Views of one image, a network, and a target network that is its moving average.

BYOL is `make`, MoCo `make_queued`, DINO `make_centered`, UDI `make_consolidated`. The
target has an encoder and a projector, no predictor, and gets no gradient; after every
step its parameters move towards the online network's, and so do a queue and centers,
once a step however many parts a batch has. Both networks see batches as they come, with
statistics of their own.
A batch has `image` and may have `where`, as in `two_view`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.autoencoder import observed
from experiments.two_view import (
    embed,
    frozen,
    joint_embedding,
    representation,
    views,
)
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.models.joint_embedding import JointEmbedding
from repr_jax.models.vit import ClassToken, Tokens
from repr_jax.ops import center, ema, queue
from repr_jax.ops.patches import one_per_window, patch_grid
from repr_jax.ops.targets import consolidated

AFTER_VIEWS = 2**16  # is folded into the key, of which each view has a smaller number
TARGET = ("encoder", "projector")  # parts of the network that a target has


class Memory(NamedTuple):
    """What is kept between steps besides the target, and how it moves."""

    start: Callable  # dim of projections -> memory
    move: Callable  # memory -> memory, after a step


NO_MEMORY = Memory(lambda dim: {}, lambda memory: memory)


def make(config) -> Experiment:
    """Reads encoder, projector, predictor, loss, decay, and what `two_view.views` does.

    `config.loss` is called as loss(predictions, targets, where=...), once a direction,
    and the two are added up. `config.decay` is (step) -> the decay of the target, such
    as `schedules.cosine`. Represents by the online encoder.
    """

    def objective(loss_fn, online, targets, memory, where, key, step):
        (a, b), (target_a, target_b) = online, targets
        value = loss_fn(a.prediction, target_b, where=where)
        return value + loss_fn(b.prediction, target_a, where=where), memory

    return _experiment(config, objective, NO_MEMORY)


def make_queued(config) -> Experiment:
    """As `make`, with a queue of the target's projections of the second view.

    `config.loss` is called as loss(predictions, targets, queue, queue_where=...,
    where=...), of the first view's predictions and the second's targets;
    `config.queue_size` rows are kept. The predictor may be left out.
    """

    def start(dim):
        return queue.buffered(config.queue_size, config.batch_size, dim)

    def objective(loss_fn, online, targets, memory, where, key, step):
        stored = memory.queue
        value = loss_fn(
            online[0].prediction,
            targets[1],
            stored.rows,
            queue_where=stored.where,
            where=where,
        )
        return value, queue.wait(memory, targets[1], where=where)

    return _experiment(config, objective, Memory(start, queue.release))


def make_centered(config) -> Experiment:
    """As `make`, with a center of the target's projections and any number of views.

    `config.loss` is called as loss(predictions, targets, center, where=...,
    target_temperature=...), of all views and of the first two; `center_decay` is of the
    center, and `config.target_temperature` is (step) -> temperature. The projector is
    a `joint_embedding.PrototypeHead`, whose prototypes stay as they are for the first
    `config.freeze_steps` steps. There is no predictor; represents by the target's
    encoder.
    """
    temperature = bind(config.target_temperature, "config.target_temperature")

    def objective(loss_fn, online, targets, memory, where, key, step):
        targets = jnp.stack(targets)
        value = loss_fn(
            jnp.stack([view.prediction for view in online]),
            targets,
            memory.mean,
            where=where,
            target_temperature=temperature(step),
        )
        return value, center.add(memory, targets, where=where)

    def move(memory):
        return center.move(memory, decay=config.center_decay)

    memory = Memory(center.start, move)
    return _experiment(config, objective, memory, _held(config), by_target=True)


def make_consolidated(config) -> Experiment:
    """As `make_centered`, of both class tokens and the patches of a transformer.

    The encoder is a `vit.ViT` of two class tokens and the shape of the first two views;
    all tokens have one projector. The loss is the mean of three, each with a center of
    its own: of the first class token, as DINO; of the second, whose targets mix in one
    patch of each window, of `config.window` patches a side, with weight `config.mix`;
    and of the patches of the first two views, at the same place of both, so that these
    views should move little. Represents by both class tokens, side by side.

    Source: as `ops.targets.consolidated`. There a masked attention of patches comes
    before the projector, patches of crops are aligned, and what a local view predicts
    mixes in the patches that it shows alone; here it mixes in those of the whole view.
    """
    temperature = bind(config.target_temperature, "config.target_temperature")
    grid = patch_grid("ViT", config.encoder.shape, config.encoder.patch_size)

    def mixed(key, tokens):
        sampled = one_per_window(key, len(tokens), grid, config.window)
        return consolidated(tokens[:, 0], tokens[:, 2:], sampled, mix=config.mix)

    def objective(loss_fn, online, targets, memory, where, key, step):
        online, targets = [view.prediction for view in online], jnp.stack(targets)
        first, second = (jnp.stack([x[:, n] for x in online]) for n in (0, 1))
        keys = jax.random.split(jax.random.fold_in(key, AFTER_VIEWS))
        goals = targets[:, :, 0], jax.vmap(mixed)(keys, targets)
        patches = jnp.stack(online[:2])[:, :, 2:], targets[:, :, 2:]
        patches = [x.reshape(2, -1, x.shape[-1]) for x in patches]
        levels = (
            (first, goals[0], where),
            (second, goals[1], where),
            (*patches, jnp.repeat(where, patches[0].shape[1] // len(where))),
        )
        value, kept = 0.0, []
        for (x, goal, present), old in zip(levels, memory):
            options = dict(where=present, target_temperature=temperature(step))
            value += loss_fn(x, goal, old.mean, **options) / len(levels)
            kept.append(center.add(old, goal, where=present))
        return value, tuple(kept)

    def start(dim):
        return tuple(center.start(dim) for _ in range(3))

    def move(memory):
        return tuple(center.move(kept, decay=config.center_decay) for kept in memory)

    options = dict(held=_held(config), by_target=True, of_vit=Tokens)
    experiment = _experiment(config, objective, Memory(start, move), **options)

    def represent(*inputs):
        tokens = experiment.outputs["represent"](*inputs)
        return tokens[:, :2].reshape(len(tokens), -1)

    return experiment._replace(outputs={"represent": represent})


def _held(config) -> Callable:
    """(params, step) -> params, whose prototypes get no gradient at first."""

    def held(params, step):
        projector = params["projector"]
        prototypes = frozen(projector["prototypes"], step, config.freeze_steps)
        return {**params, "projector": {**projector, "prototypes": prototypes}}

    return held


def _experiment(
    config,
    objective,
    memory: Memory,
    held=lambda params, step: params,
    by_target=False,
    of_vit=ClassToken,
) -> Experiment:
    """`objective` returns the loss and what is remembered until the step is over.

    held: (params, step) -> params, of which some may get no gradient.
    """
    of_images, model = views(config), joint_embedding(config, of_vit)
    target_model = JointEmbedding(model.encoder, model.projector)
    loss_fn = bind(config.loss, "config.loss")
    decay = bind(config.decay, "config.decay")

    def init(key, batch):
        image, _ = observed(batch)
        out, variables = model.init_with_output(key, image, train=False)
        online = dict(variables)
        params = online.pop("params")
        target = {name: _target_part(tree) for name, tree in variables.items()}
        target = jax.tree.map(jnp.copy, target)
        kept = memory.start(out.projection.shape[-1])
        return params, {"online": online, "target": target, "memory": kept}

    def loss(params, extras, batch, key, step):
        image, where = observed(batch)
        images, params = of_images(key, image), held(params, step)
        online, target, outputs, targets = extras["online"], extras["target"], [], []
        for view in images:
            out, online = embed(model, params, online, view)
            outputs.append(out)
        for view in images[:2]:
            out, target = _embed_target(target_model, target, view)
            targets.append(out.projection)
        value, kept = objective(
            loss_fn, outputs, targets, extras["memory"], where, key, step
        )
        return value, ({"online": online, "target": target, "memory": kept}, {})

    def after_update(params, extras, step):
        target = extras["target"]
        moved = ema.update(target["params"], _target_part(params), decay=decay(step))
        kept = memory.move(extras["memory"])
        return {**extras, "target": {**target, "params": moved}, "memory": kept}

    def represent(params, extras, batch, key):
        if not by_target:
            return representation(model, params, extras["online"], batch)
        target = dict(extras["target"])
        return representation(target_model, target.pop("params"), target, batch)

    return Experiment(init, loss, {"represent": represent}, after_update)


def _target_part(tree: Any) -> dict:
    """The encoder's and the projector's part of parameters or statistics."""
    return {name: part for name, part in tree.items() if name in TARGET}


def _embed_target(model, target, images):
    """Its output, without gradient, and the target with new statistics."""
    target = jax.lax.stop_gradient(dict(target))
    params = target.pop("params")
    out, statistics = embed(model, params, target, images)
    out, statistics = jax.lax.stop_gradient((out, statistics))
    return out, {"params": params, **statistics}
