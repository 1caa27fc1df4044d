"""CVAE: one modality given others, whatever of them is there.

z explains what the others leave open. The posterior sees all modalities, the prior and
the decoder what is given. Only the target is modeled, so nothing goes the other way.

A batch has an array for each of `config.modalities`, and may have `where` [batch], the
rows that are present, and `present` [batch, modality], the modalities that are. Rows
without the target do not train.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp

from experiments import modalities
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.models.conditional_vae import ConditionalVAE
from repr_jax.ops import gaussian
from repr_jax.ops.batch import present, row_keys


class Choices(NamedTuple):
    """What a config is bound to; see `make`."""

    names: tuple[str, ...]  # of the modalities
    target: int  # which of them is generated
    model: ConditionalVAE
    loss: Callable
    thin: Callable | None
    schedules: Mapping[str, Callable]


class Parts(NamedTuple):
    """What a batch gives the networks."""

    x: jnp.ndarray  # the target
    where: jnp.ndarray  # [batch], the rows that have it
    posterior: tuple  # (mean, log_var) of z given all that is there
    prior: tuple  # (mean, log_var) of z given the other modalities
    decode: Callable  # z -> x


def init(c: Choices, key, batch):
    """First parameters, and no extras."""
    inputs, where = modalities.observed(batch, c.names)
    return c.model.init(key, inputs, where, train=False)["params"], {}


def applied(c: Choices, params, batch, *, train: bool) -> Parts:
    """The networks of a batch."""
    inputs, where = modalities.observed(batch, c.names)
    others = where & (jnp.arange(len(where)) != c.target)[:, None]
    given = tuple(present(x, here) for x, here in zip(inputs, others))

    def of(method, *arrays):
        options = dict(train=train, method=method)
        return c.model.apply({"params": params}, *arrays, **options)

    condition = of("condition", given, others)
    return Parts(
        x=inputs[c.target],
        where=where[c.target],
        posterior=of("encode", inputs, where),
        prior=of("prior", condition),
        decode=lambda z: of("decode", z, condition),
    )


def objective(c: Choices, params, batch, key, *, train: bool, scaled):
    """The loss of the batch, with the arguments in `scaled`."""
    x, where, posterior, prior, decode = applied(c, params, batch, train=train)
    return c.loss(key, x, *posterior, decode, prior=prior, where=where, **scaled)


def loss(c: Choices, params, extras, batch, key, step):
    """The loss of a step; the target is never thinned out."""
    _, where = modalities.observed(batch, c.names)
    batch = modalities.thinned(c.thin, c.names, batch, key)
    if c.thin:
        kept = batch["present"].at[:, c.target].set(where[c.target])
        batch = {**batch, "present": kept}
    scaled = modalities.scaled(c.loss, c.schedules, step)
    return objective(c, params, batch, key, train=True, scaled=scaled), (extras, {})


def infer(c: Choices, params, batch):
    """(mean, log_var) of z and the decoder: the prior where the target is absent."""
    parts = applied(c, params, batch, train=False)
    pairs = zip(parts.posterior, parts.prior)
    posterior = tuple(jnp.where(parts.where[:, None], q, p) for q, p in pairs)
    return posterior, parts.decode


def represent(c: Choices, params, extras, batch, key):
    """[batch, latent_dim], the mean of z: of what the other modalities do not tell."""
    return infer(c, params, batch)[0][0]


def generate(c: Choices, params, extras, batch, key):
    """{target: mean}, rebuilt where it is there; else from the others."""
    posterior, decode = infer(c, params, batch)
    z = gaussian.sample(row_keys(key, jnp.ones(len(posterior[0]), bool)), *posterior)
    target = c.names[c.target]
    return modalities.shown(c.loss, (target,), (decode(z),))


def bound(c: Choices, params, extras, batch, key):
    """The mean over rows of the bound of log p(target given the others), at beta 1."""
    return -objective(c, params, batch, key, train=False, scaled={"beta": 1.0})


def make(config) -> Experiment:
    """Reads modalities, target, joint_encoder, decoder, latent_dim and loss.

    `config.target` is one of the modalities, `config.decoder` the one of it;
    `config.joint_encoder`, (inputs, where) -> posterior, is that of all modalities, and
    one more of those given, whose mean the prior and the decoder see. `config.loss` is
    called as `losses.cvae`. Read if they are there: schedules and thin, as in
    `multimodal_vae.make`.

    Raises:
      ValueError: the target is no modality, or the only one.
    """
    names = tuple(config.modalities)
    if config.target not in names or len(names) < 2:
        raise ValueError(
            f"config.target: expected one of two or more modalities; got "
            f"{config.target!r} of {', '.join(names)}."
        )
    loss_fn = bind(config.loss, "config.loss")
    encoder = bind(config.joint_encoder, "config.joint_encoder")
    c = Choices(
        names=names,
        target=names.index(config.target),
        model=ConditionalVAE(
            encoder=encoder(),
            condition_encoder=encoder(),
            decoder=bind(config.decoder, "config.decoder")(),
            latent_dim=config.latent_dim,
        ),
        loss=loss_fn,
        thin=bind(config.thin, "config.thin") if "thin" in config else None,
        schedules=modalities.schedules(config, loss_fn),
    )
    asked = (represent, generate, bound)
    outputs = {f.__name__: functools.partial(f, c) for f in asked}
    return Experiment(functools.partial(init, c), functools.partial(loss, c), outputs)
