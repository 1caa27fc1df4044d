"""Views of one image, a network, and a target network that is its moving average.

BYOL is `make`, MoCo `make_queued`, DINO `make_centered`. The target has an encoder and
a projector, no predictor, and gets no gradient; after every step its parameters move
towards the online network's, and so do a queue and a center, once a step however many
parts a batch has. Both networks see batches as they come, with statistics of their own.
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
from repr_jax.ops import center, ema, queue

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

    def objective(loss_fn, online, targets, memory, where, step):
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

    def objective(loss_fn, online, targets, memory, where, step):
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

    def objective(loss_fn, online, targets, memory, where, step):
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

    def held(params, step):
        projector = params["projector"]
        prototypes = frozen(projector["prototypes"], step, config.freeze_steps)
        return {**params, "projector": {**projector, "prototypes": prototypes}}

    memory = Memory(center.start, move)
    return _experiment(config, objective, memory, held, by_target=True)


def _experiment(
    config, objective, memory: Memory, held=lambda params, step: params, by_target=False
) -> Experiment:
    """`objective` returns the loss and what is remembered until the step is over.

    held: (params, step) -> params, of which some may get no gradient.
    """
    of_images, model = views(config), joint_embedding(config)
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
            loss_fn, outputs, targets, extras["memory"], where, step
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
