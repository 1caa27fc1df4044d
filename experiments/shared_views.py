"""Experts that see what modalities share: what JNF-DCCA does before its flows.

It starts from a joint VAE (`config.start`), whose experts alone move (`optim.only`): a
loss of two views draws the means of every two of them together. JNF, started from this
run, gives the experts new heads, and their hidden layers stay as they are.

A batch has an array for each of `config.modalities`, and may have `where` [batch], the
rows that are present, and `present` [batch, modality], the modalities that are.
"""

import functools
import itertools

import jax.numpy as jnp

from experiments import modalities, multimodal_vae
from experiments.multimodal_vae import Choices
from repr_jax.experiment import Experiment
from repr_jax.ops.batch import present


def loss(c: Choices, params, extras, batch, key, step):
    """The mean over pairs of modalities, of the rows that have both."""
    batch = modalities.thinned(c.thin, c.names, batch, key)
    inputs, where = modalities.observed(batch, c.names)
    mean = multimodal_vae.apply(c, params, "encode", inputs, train=True).mean
    terms = {
        f"{c.names[a]}+{c.names[b]}": c.loss(
            mean[a], mean[b], where=where[a] & where[b]
        )
        for a, b in itertools.combinations(range(len(c.names)), 2)
    }
    return sum(terms.values()) / len(terms), (extras, terms)


def represent(c: Choices, params, extras, batch, key):
    """[batch, dim], the mean over the experts of what is there; 0 if nothing is."""
    inputs, where = modalities.observed(batch, c.names)
    mean = multimodal_vae.apply(c, params, "encode", inputs, train=False).mean
    count = jnp.maximum(jnp.sum(where, axis=0), 1)
    return jnp.sum(present(mean, where), axis=0) / count[:, None]


def make(config) -> Experiment:
    """As `multimodal_vae.make`, with a loss of two views.

    `config.loss` is called as `losses.deep_cca` or `losses.symmetric_info_nce`.

    Raises:
      ValueError: fewer than two modalities.
    """
    c = multimodal_vae.choices(config)
    if len(c.names) < 2:
        raise ValueError(
            f"config.modalities: expected two or more; got {', '.join(c.names)}."
        )
    init = functools.partial(multimodal_vae.init, c)
    outputs = {"represent": functools.partial(represent, c)}
    return Experiment(init, functools.partial(loss, c), outputs)
