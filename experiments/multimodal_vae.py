"""Several modalities around one latent space: a VAE per modality, fused by the loss.

MVAE, MMVAE and MoPoE-VAE are this file: they differ in `config.loss`, the bound, and in
`config.posterior`, how the posteriors of the modalities at hand become one.

A batch has an array for each of `config.modalities`, and may have `where` [batch], the
rows that are present, and `present` [batch, modality], the modalities that are.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.config import bind
from repr_jax.models.multimodal_vae import MultimodalVAE
from repr_jax.ops import gaussian, subsets
from repr_jax.ops.batch import masked_mean, present, row_keys
from repr_jax.train import Experiment


class Fused(NamedTuple):
    """The posterior of a shared latent, given the modalities that are present."""

    mean: Array  # [batch, dim]
    sample: Array  # [batch, dim]


def product_of_experts(keys, mean, log_var, *, where, prior_expert="full") -> Fused:
    """The posterior of MVAE and MoPoE: one product over the present modalities.

    keys: [batch]. mean, log_var: [modality, batch, dim]. where: [modality, batch].
    prior_expert: "full", "all" or "none", as in `subsets.posterior`. Without any
    modality this is the prior, N(0, I).
    """
    fused = subsets.posterior(mean, log_var, where, prior_expert=prior_expert)
    return Fused(fused[0], gaussian.sample(keys, *fused))


def mixture_of_experts(
    keys, mean, log_var, *, where, distribution=gaussian, prior_log_var=0.0
) -> Fused:
    """The posterior of MMVAE: one of the present modalities, drawn per row.

    As `product_of_experts`. distribution: `ops.gaussian` or `ops.laplace`. Without any
    modality this is the prior, of mean 0 and log-variance prior_log_var.
    """
    members = subsets.non_empty(mean.shape[0])[: mean.shape[0]]
    keys = jax.vmap(jax.random.split)(keys)  # [batch, 2]
    chosen = subsets.draw(keys[:, 0], members, where)[..., None]  # [modality, batch, 1]
    none = ~jnp.any(where, axis=0)[:, None]
    of_one = jnp.sum(jnp.where(chosen, jnp.stack([mean, log_var]), 0.0), axis=1)
    sample = distribution.sample(
        keys[:, 1], of_one[0], jnp.where(none, prior_log_var, of_one[1])
    )
    count = jnp.maximum(jnp.sum(where, axis=0), 1)[:, None]
    return Fused(jnp.sum(present(mean, where), axis=0) / count, sample)


def observed(batch, names):
    """Inputs with zeros where absent, a tuple, and presence [modality, batch].

    Raises:
      ValueError: the batch lacks a modality.
    """
    missing = [name for name in names if name not in batch]
    if missing:
        raise ValueError(
            f"config.modalities: expected names that the dataset has; got "
            f"{', '.join(missing)}."
        )
    rows = batch[names[0]].shape[0]
    here = batch.get("present", jnp.ones((rows, len(names)), bool))
    here = here & batch.get("where", jnp.ones(rows, bool))[:, None]
    inputs = tuple(present(batch[name], here[:, m]) for m, name in enumerate(names))
    return inputs, here.T


def _of_each(config, name) -> tuple:
    """A module for each modality: of one kind, or config.{name}s has one by its name.

    Raises:
      ValueError: a modality has none.
    """
    if f"{name}s" not in config:
        choice = bind(config[name], f"config.{name}")
        return tuple(choice() for _ in config.modalities)
    choices = config[f"{name}s"]
    missing = [m for m in config.modalities if m not in choices]
    if missing:
        raise ValueError(
            f"config.{name}s: expected one for each of config.modalities; got none for "
            f"{', '.join(missing)}."
        )
    return tuple(bind(choices[m], f"config.{name}s.{m}")() for m in config.modalities)


def _model(config) -> MultimodalVAE:
    """An encoder and a decoder for each modality."""
    return MultimodalVAE(
        encoders=_of_each(config, "encoder"), decoders=_of_each(config, "decoder")
    )


def make(config) -> Experiment:
    """Reads modalities, encoder, decoder, loss, posterior and bound.

    `config.bound` is a loss that is minus a bound of log p(x), which not every training
    loss is; without it the held-out bound is not known.
    """
    names = tuple(config.modalities)
    loss_fn = bind(config.loss, "config.loss")
    bound_fn = bind(config.bound, "config.bound") if "bound" in config else None
    distribution = config.posterior.get("distribution", gaussian)
    prior_log_var = config.posterior.get("prior_log_var", 0.0)
    subset_posterior = bind(config.posterior, "config.posterior")
    model = _model(config)

    def encode(params, inputs, *, train):
        return model.apply({"params": params}, inputs, train=train, method="encode")

    def decoding(params, *, train):
        def decode(z):
            return model.apply({"params": params}, z, train=train, method="decode")

        return decode

    def objective(function, params, batch, key, *, train):
        inputs, where = observed(batch, names)
        posterior = encode(params, inputs, train=train)
        value = function(
            key, inputs, *posterior, decoding(params, train=train), where=where
        )
        return value, posterior, where

    def fused(params, batch, key):
        inputs, where = observed(batch, names)
        experts = encode(params, inputs, train=False)
        keys = row_keys(key, jnp.ones(where.shape[1], bool))
        return subset_posterior(keys, *experts, where=where)

    def init(key, batch):
        inputs, _ = observed(batch, names)
        return model.init(key, inputs, train=False)["params"], {}

    def loss(params, extras, batch, key, step):
        value, posterior, where = objective(loss_fn, params, batch, key, train=True)
        divergence = distribution.kl(*posterior, 0.0, prior_log_var)  # from the prior
        terms = {
            f"kl/{name}": masked_mean(divergence[m], where=where[m])
            for m, name in enumerate(names)
        }
        return value, (extras, terms)

    def represent(params, extras, batch, key):
        return fused(params, batch, key).mean

    def generate(params, extras, batch, key):
        z = fused(params, batch, key).sample
        return dict(zip(names, decoding(params, train=False)(z)))

    def bound(params, extras, batch, key):
        return -objective(bound_fn, params, batch, key, train=False)[0]

    outputs = {"represent": represent, "generate": generate}
    if bound_fn:
        outputs["bound"] = bound
    return Experiment(init, loss, outputs)
