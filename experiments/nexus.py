"""Nexus: a VAE for each modality, and a latent above theirs that ties them together.

Both levels train at once, each by its own loss: the upper one takes samples of the
lower latents as data. What is asked of some modalities goes up by their messages and
down to all.

A batch has an array for each of `config.modalities`, and may have `where` [batch], the
rows that are present, and `present` [batch, modality], the modalities that are.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments import modalities
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.models.multimodal_hierarchy import Nexus
from repr_jax.ops import gaussian
from repr_jax.ops.batch import present, row_keys


class Choices(NamedTuple):
    """What a config is bound to; see `make`."""

    names: tuple[str, ...]  # of the modalities
    model: Nexus
    loss: Callable
    top_loss: Callable
    thin: Callable | None
    schedules: Mapping[str, Callable]

    def of(self, params, method: str, *, train: bool) -> Callable:
        """A method of the model, of arrays alone."""
        options = dict(train=train, method=method)
        return functools.partial(self.model.apply, {"params": params}, **options)


def init(c: Choices, key, batch):
    """First parameters, and no extras."""
    inputs, _ = modalities.observed(batch, c.names)
    return c.model.init(key, inputs, train=False)["params"], {}


def loss(c: Choices, params, extras, batch, key, step):
    """Both losses, added up."""
    batch = modalities.thinned(c.thin, c.names, batch, key)
    inputs, where = modalities.observed(batch, c.names)
    own_key, noise_key, top_key = jax.random.split(key, 3)
    experts = c.of(params, "encode", train=True)(inputs)
    decode = c.of(params, "decode", train=True)

    def decode_one(z):  # a loss that decodes each modality from its own latent
        return decode((z,) * len(c.names))

    scaled = modalities.scaled(c.loss, c.schedules, step)
    own = c.loss(own_key, inputs, *experts, decode_one, where=where, **scaled)
    rows = jnp.any(where, axis=0)
    top = c.top_loss(
        top_key,
        tuple(gaussian.sample(row_keys(noise_key, rows), *experts)),
        c.of(params, "message", train=True),
        c.of(params, "encode_top", train=True),
        c.of(params, "decode_top", train=True),
        where=where,
        **modalities.scaled(c.top_loss, c.schedules, step),
    )
    return own + top, (extras, {"own": own, "top": top})


def infer(c: Choices, params, batch, key):
    """Posterior of the top latent, of messages of what is there; else the prior."""
    inputs, where = modalities.observed(batch, c.names)
    rows = jnp.any(where, axis=0)
    experts = c.of(params, "encode", train=False)(inputs)
    z = experts.mean
    if key is not None:
        z = gaussian.sample(row_keys(key, jnp.ones_like(rows)), *experts)
    messages = present(c.of(params, "message", train=False)(z), where)
    count = jnp.maximum(jnp.sum(where, axis=0), 1)[:, None]
    top = c.of(params, "encode_top", train=False)(jnp.sum(messages, axis=0) / count)
    return tuple(present(x, rows) for x in top)


def represent(c: Choices, params, extras, batch, key):
    """[batch, top_dim], the mean of the top latent, from means of those below."""
    return infer(c, params, batch, None)[0]


def latents(c: Choices, params, extras, batch, key):
    """[batch, top_dim], a sample of the top latent."""
    own_key, top_key = jax.random.split(key)
    top = infer(c, params, batch, own_key)
    return gaussian.sample(row_keys(top_key, jnp.ones(len(top[0]), bool)), *top)


def decode(c: Choices, params, extras, batch, key):
    """{name: means} of the entry "z", as `latents` gives it."""
    below = c.of(params, "decode_top", train=False)(batch["z"])
    decoded = c.of(params, "decode", train=False)(below)
    return modalities.shown(c.loss, c.names, decoded)


def generate(c: Choices, params, extras, batch, key):
    """{name: means}, all by way of the top latent."""
    z = latents(c, params, extras, batch, key)
    return decode(c, params, extras, {"z": z}, key)


def make(config) -> Experiment:
    """Reads modalities, encoder, decoder, loss and top_loss, and the latents' sizes.

    `config.loss` is of the modalities' own latents, `losses.unimodal_elbo`;
    `config.top_loss` is called as `losses.nexus_top`. Read if they are there:
      schedules: functions that return step -> factor, by the argument that is
        multiplied, in both losses; config.loss and config.top_loss must give it.
      thin: (keys, where) -> where, which modalities a row keeps while training.
    """
    loss_fn = bind(config.loss, "config.loss")
    top_loss = bind(config.top_loss, "config.top_loss")
    schedules = modalities.schedules(config, loss_fn)
    modalities.schedules(config, top_loss)
    model = Nexus(
        encoders=modalities.of_each(config, "encoder"),
        decoders=modalities.of_each(config, "decoder"),
        latent_dim=config.latent_dim,
        top_dim=config.top_dim,
        message_dim=config.message_dim,
        hidden=tuple(config.hidden),
    )
    thin = bind(config.thin, "config.thin") if "thin" in config else None
    names = tuple(config.modalities)
    c = Choices(names, model, loss_fn, top_loss, thin, schedules)
    outputs = {
        f.__name__: functools.partial(f, c)
        for f in (represent, generate, latents, decode)
    }
    return Experiment(functools.partial(init, c), functools.partial(loss, c), outputs)
