"""A generator of noise and a discriminator that tells its rows from real ones.

Generative adversarial networks are this file: they differ in `config.losses`. The two
move in turn, the discriminator first, `config.updates` times each a step.
"""

import functools

import jax
import jax.numpy as jnp

from experiments.autoencoder import observed
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.losses import gradient_penalty


def _apply(networks, name, params, extras, x, *, train):
    """What a network returns, and extras with its new statistics."""
    variables = {"params": params[name], **extras[name]}
    if not train:
        return networks[name].apply(variables, x, train=False), extras
    out, own = networks[name].apply(
        variables, x, train=True, mutable=list(extras[name])
    )
    return out, {**extras, name: own}


def make(config) -> Experiment:
    """Reads entry, latent_dim, generator, discriminator, losses and penalty_weight.

    `config.entry` names what is imitated, [batch, ...]. The generator maps (noise
    [batch, latent_dim], train) to the like, the discriminator that to [batch, 1]
    logits. `config.losses.discriminator` is called as loss(real, fake, where=...) on
    [batch] logits, `config.losses.generator` as loss(fake, where=...).
    `config.penalty_weight` times `losses.gradient_penalty` at the real rows is added to
    the former; 0 leaves it out.
    """
    networks = {
        name: bind(config[name], f"config.{name}")()
        for name in ("discriminator", "generator")
    }
    loss_fns = {
        name: bind(config.losses[name], f"config.losses.{name}") for name in networks
    }
    apply = functools.partial(_apply, networks)

    def noise(key, rows):
        return jax.random.normal(key, (rows, config.latent_dim))

    def init(key, batch):
        x, _ = observed(batch, config.entry)
        params, extras = {}, {}
        for number, (name, network) in enumerate(networks.items()):
            example = x if name == "discriminator" else noise(key, len(x))
            own_key = jax.random.fold_in(key, number)
            extras[name] = dict(network.init(own_key, example, train=False))
            params[name] = extras[name].pop("params")
        return params, extras

    def penalty(params, extras, x, where):
        def total(x):
            return jnp.sum(apply("discriminator", params, extras, x, train=True)[0])

        return gradient_penalty(jax.grad(total)(x), where=where)

    def discriminator(params, extras, batch, key, step):
        x, where = observed(batch, config.entry)
        made, _ = apply("generator", params, extras, noise(key, len(x)), train=True)
        real, extras = apply("discriminator", params, extras, x, train=True)
        fake, extras = apply("discriminator", params, extras, made, train=True)
        value = loss_fns["discriminator"](real[:, 0], fake[:, 0], where=where)
        if config.penalty_weight:
            value += config.penalty_weight * penalty(params, extras, x, where)
        return value, (extras, {})

    def generator(params, extras, batch, key, step):
        x, where = observed(batch, config.entry)
        made, extras = apply(
            "generator", params, extras, noise(key, len(x)), train=True
        )
        fake, _ = apply("discriminator", params, extras, made, train=True)
        return loss_fns["generator"](fake[:, 0], where=where), (extras, {})

    def generate(params, extras, batch, key):
        z = noise(key, batch[config.entry].shape[0])
        return {config.entry: apply("generator", params, extras, z, train=False)[0]}

    losses = {"discriminator": discriminator, "generator": generator}
    return Experiment(init, losses, {"generate": generate})
