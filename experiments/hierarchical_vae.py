"""MHVAE: several modalities around a hierarchy of latents, a product on every level.

A batch has an array for each of `config.modalities`, and may have `where` [batch], the
rows that are present, and `present` [batch, modality], the modalities that are.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments import modalities
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.ops import gaussian, likelihood, subsets
from repr_jax.ops.batch import by_row, row_keys


class Choices(NamedTuple):
    """What a config is bound to; see `make`."""

    names: tuple[str, ...]  # of the modalities
    model: nn.Module
    loss: Callable
    thin: Callable | None
    schedules: Mapping[str, Callable]
    num_samples: int

    def of(self, params, method: str, *arrays, train: bool) -> Callable:
        """A method of the model, of what follows these arrays."""
        options = dict(train=train, method=method)
        apply = functools.partial(self.model.apply, {"params": params}, *arrays)
        return functools.partial(apply, **options)

    def conditionals(self, params, features, *, train: bool) -> list[Callable]:
        """z of the level above -> prior and experts, of each level from above."""
        return [
            self.of(params, "conditional", level, features, train=train)
            for level in range(len(self.model.channels))
        ]


def init(c: Choices, key, batch):
    """First parameters, and no extras."""
    inputs, _ = modalities.observed(batch, c.names)
    return c.model.init(key, inputs, train=False)["params"], {}


def objective(c: Choices, params, batch, key, *, train: bool, scaled):
    """The loss of the batch, with the arguments in `scaled`."""
    inputs, where = modalities.observed(batch, c.names)
    features = c.of(params, "features", train=train)(inputs)
    return c.loss(
        key,
        inputs,
        *c.of(params, "top", train=train)(features),
        c.of(params, "decode", train=train),
        conditionals=c.conditionals(params, features, train=train),
        where=where,
        **scaled,
    )


def loss(c: Choices, params, extras, batch, key, step):
    """The loss of a step."""
    batch = modalities.thinned(c.thin, c.names, batch, key)
    scaled = modalities.scaled(c.loss, c.schedules, step)
    return objective(c, params, batch, key, train=True, scaled=scaled), (extras, {})


def infer(c: Choices, params, batch, given=True):
    """Top posterior, conditionals below it, and given [modality, batch].

    given: [modality, batch] bool, or True, of what the batch has.
    """
    inputs, where = modalities.observed(batch, c.names)
    given = where & given
    masked = {**batch, "present": given.T}
    inputs, _ = modalities.observed(masked, c.names)
    features = c.of(params, "features", train=False)(inputs)
    experts = c.of(params, "top", train=False)(features)
    top = subsets.posterior(*experts, given, prior_expert="all")
    return top, c.conditionals(params, features, train=False), given


def descend(conditionals, z, key, given):
    """The lowest latents [batch, dim] below z, and log p - log q of all below it."""
    rows, log_ratio = jnp.ones(len(z), bool), 0.0
    for level, conditional in enumerate(conditionals):
        prior, experts = conditional(z)
        posterior = gaussian.product_of_experts(
            *(jnp.concatenate([p[None], x]) for p, x in zip(prior, experts)),
            where=jnp.concatenate([rows[None], given]),
        )
        z = gaussian.sample(row_keys(jax.random.fold_in(key, level), rows), *posterior)
        log_ratio = log_ratio + gaussian.log_prob(z, *prior)
        log_ratio = log_ratio - gaussian.log_prob(z, *posterior)
    return z, log_ratio


def represent(c: Choices, params, extras, batch, key):
    """[batch, latent_dim], the mean of the top posterior."""
    return infer(c, params, batch)[0][0]


def latents(c: Choices, params, extras, batch, key):
    """[batch, latent_dim], a sample of the top posterior."""
    top, *_ = infer(c, params, batch)
    return gaussian.sample(row_keys(key, jnp.ones(len(top[0]), bool)), *top)


def decode(c: Choices, params, extras, batch, key):
    """{name: means} of the top latent "z"; what is below it of the priors."""
    _, conditionals, given = infer(c, params, batch)
    z, _ = descend(conditionals, batch["z"], key, jnp.zeros_like(given))
    decoded = c.of(params, "decode", train=False)(z)
    return modalities.shown(c.loss, c.names, decoded)


def generate(c: Choices, params, extras, batch, key):
    """{name: means} of latents of all levels, from what is there."""
    top, conditionals, given = infer(c, params, batch)
    top_key, key = jax.random.split(key)
    z = gaussian.sample(row_keys(top_key, jnp.ones(len(top[0]), bool)), *top)
    z, _ = descend(conditionals, z, key, given)
    decoded = c.of(params, "decode", train=False)(z)
    return modalities.shown(c.loss, c.names, decoded)


def log_weights(c: Choices, params, extras, batch, key):
    """Of importance samples, as `evaluators.likelihood` asks for them."""
    inputs, where = modalities.observed(batch, c.names)
    given = batch["given"].T if "given" in batch else where
    top, conditionals, given = infer(c, params, batch, given)
    rows = jnp.ones(len(top[0]), bool)

    def one(key):
        top_key, key = jax.random.split(key)
        z = gaussian.sample(row_keys(top_key, rows), *top)
        log_ratio = gaussian.log_prob(z) - gaussian.log_prob(z, *top)
        z, below = descend(conditionals, z, key, given)
        return z, log_ratio + below

    z, log_ratio = jax.vmap(one)(jax.random.split(key, c.num_samples))
    decoded = by_row(c.of(params, "decode", train=False), z)
    each = modalities.log_likelihoods(c.loss, c.names)
    log_p = map(likelihood.by_row, each, inputs, decoded, where)
    return {"log_likelihood": jnp.stack([*log_p], axis=1), "log_ratio": log_ratio}


def bound(c: Choices, params, extras, batch, key):
    """The mean over rows of the bound, at beta 1, from a subset of their modalities."""
    return -objective(c, params, batch, key, train=False, scaled={"beta": 1.0})


def make(config) -> Experiment:
    """Reads modalities, model and loss.

    `config.model` is a module as `models.multimodal_hierarchy.HierarchicalVAE`;
    `config.loss` is called as `losses.mhvae`. Read if they are there: schedules, thin
    and likelihood_samples, as in `multimodal_vae.make`.
    """
    loss_fn = bind(config.loss, "config.loss")
    c = Choices(
        names=tuple(config.modalities),
        model=bind(config.model, "config.model")(num_modalities=len(config.modalities)),
        loss=loss_fn,
        thin=bind(config.thin, "config.thin") if "thin" in config else None,
        schedules=modalities.schedules(config, loss_fn),
        num_samples=config.get("likelihood_samples", 16),
    )
    asked = (represent, generate, latents, decode, log_weights, bound)
    outputs = {f.__name__: functools.partial(f, c) for f in asked}
    return Experiment(functools.partial(init, c), functools.partial(loss, c), outputs)
