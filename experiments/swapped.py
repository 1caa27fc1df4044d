"""Views of one image, one network, and prototypes that views predict for one another.

SwAV. A batch has `image` and may have `where`, as in `two_view`.
"""

import flax.linen as nn
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
from repr_jax.ops import queue


def make(config) -> Experiment:
    """Reads encoder, projector, loss, num_prototypes, freeze_steps, and `views`' own.

    `config.loss` is called as loss(views, prototypes, where=...), of the projections of
    all views; with queue=... and queue_where=... too if there is a `config.queue_size`
    above 0: so many rows of earlier projections of the first two views are kept, and
    used from step `config.queue_from` on. Prototypes stay as they are for the first
    `config.freeze_steps` steps. The queue moves once a step, also of batches in parts.
    """
    of_images, model = views(config), joint_embedding(config)
    loss_fn = bind(config.loss, "config.loss")
    queued = config.queue_size > 0

    def init(key, batch):
        model_key, key = jax.random.split(key)
        image, _ = observed(batch)
        out, variables = model.init_with_output(model_key, image, train=False)
        online = dict(variables)
        dim = out.projection.shape[-1]
        drawn = nn.initializers.normal(1.0)(key, (config.num_prototypes, dim))
        params = {**online.pop("params"), "prototypes": drawn}
        if not queued:
            return params, {"online": online}
        stored = queue.buffered(config.queue_size, config.batch_size, 2 * dim)
        return params, {"online": online, "queue": stored}

    def loss(params, extras, batch, key, step):
        image, where = observed(batch)
        network, prototypes = _apart(params)
        prototypes = frozen(prototypes, step, config.freeze_steps)
        online, projections = extras["online"], []
        for view in of_images(key, image):
            out, online = embed(model, network, online, view)
            projections.append(out.projection)
        extras, keywords = {**extras, "online": online}, {"where": where}
        if queued:
            stored = extras["queue"].queue
            keywords["queue"] = jnp.stack(jnp.split(stored.rows, 2, axis=1))
            keywords["queue_where"] = stored.where & (step >= config.queue_from)
            rows = jnp.concatenate(projections[:2], axis=1)
            extras["queue"] = queue.wait(extras["queue"], rows, where=where)
        value = loss_fn(jnp.stack(projections), prototypes, **keywords)
        return value, (extras, {})

    def after_update(params, extras, step):
        if not queued:
            return extras
        return {**extras, "queue": queue.release(extras["queue"])}

    def represent(params, extras, batch, key):
        return representation(model, _apart(params)[0], extras["online"], batch)

    return Experiment(init, loss, {"represent": represent}, after_update)


def _apart(params):
    """The network's parameters, and the prototypes."""
    network = dict(params)
    prototypes = network.pop("prototypes")
    return network, prototypes
