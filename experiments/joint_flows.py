"""JNF: flows that follow the posterior of a joint VAE, each from one modality.

The joint VAE is a run of `experiments.multimodal_vae` with a joint encoder, from which
this one starts (`config.start`); what it learned stays as it is (`optim.by_name`). The
posterior of some of the modalities is the product of their flows over the prior, to the
power of their number less one, of which Hamiltonian Monte Carlo draws.
"""

import functools

import jax
import jax.numpy as jnp

from experiments import modalities, multimodal_vae
from experiments.multimodal_vae import Choices
from repr_jax.experiment import Experiment
from repr_jax.models.vae import Posterior
from repr_jax.ops import gaussian
from repr_jax.ops.batch import present, row_keys
from repr_jax.ops.subsets import choose, singles

FARTHEST = 5.0  # root mean square of a latent; a product over priors may have no norm


def flow(c: Choices, params, method: str, m: int):
    """A method of the flow of modality m."""
    return functools.partial(c.model.apply, {"params": params}, m, method=method)


def loss(c: Choices, params, extras, batch, key, step):
    """The densities of flows at samples of the joint posterior."""
    batch = modalities.thinned(c.thin, c.names, batch, key)
    inputs, where = modalities.observed(batch, c.names)
    experts = multimodal_vae.apply(c, params, "encode", inputs, train=True)
    joint = multimodal_vae.apply(c, params, "encode_joint", inputs, where, train=True)
    flows = [flow(c, params, "to_noise", m) for m in range(len(c.names))]
    value = c.loss(key, *experts, joint=joint, flows=flows, where=where)
    return value, (extras, {})


def product_log_prob(c: Choices, params, experts: Posterior, given, z):
    """[batch] log of the product of the flows of what is given, over priors.

    experts: the flows' noise, [modality, batch, dim]; given: [modality, batch].
    """
    total = (1 - jnp.sum(given, axis=0)) * gaussian.log_prob(z)
    for m, here in enumerate(given):
        u, log_det = flow(c, params, "to_noise", m)(z)
        log_q = gaussian.log_prob(u, experts.mean[m], experts.log_var[m]) + log_det
        total = total + jnp.where(here, log_q, 0)
    return total


def of_one(c: Choices, params, experts: Posterior, given, keys):
    """[batch, dim] samples of one flow a row, of what is given; N(0, I) of none."""
    keys = jax.vmap(jax.random.split)(keys)
    uniform = jax.vmap(jax.random.uniform)(keys[:, 0])
    chosen = choose(uniform, singles(len(given)), given)
    z = present(
        gaussian.sample(keys[:, 1], *(jnp.zeros_like(x[0]) for x in experts)),
        ~jnp.any(given, axis=0),
    )
    for m, here in enumerate(chosen):
        u = gaussian.sample(keys[:, 1], experts.mean[m], experts.log_var[m])
        z = z + present(flow(c, params, "from_noise", m)(u), here)
    return z


def draw(c: Choices, params, batch, key):
    """[sample, batch, dim] of what is given, and the mean; one chain a row.

    Rows that have all modalities take the joint posterior, rows of none the prior. A
    chain that leaves for where the prior has nothing keeps its start, a sample of one
    flow: the product has no norm where flows are wider than the prior.
    """
    inputs, given = modalities.observed(batch, c.names)
    experts = multimodal_vae.apply(c, params, "encode", inputs, train=False)
    joint = multimodal_vae.apply(c, params, "encode_joint", inputs, given, train=False)
    every, none = jnp.all(given, axis=0), ~jnp.any(given, axis=0)
    keys = jax.vmap(jax.random.split)(row_keys(key, jnp.ones_like(every)))
    start = of_one(c, params, experts, given, keys[:, 0])
    log_prob = functools.partial(product_log_prob, c, params, experts, given)
    z = c.posterior(keys[:, 1], log_prob, start).samples
    away = jnp.max(jnp.mean(z**2, axis=2), axis=0) > FARTHEST**2
    z = jnp.where((away | none)[None, :, None], start[None], z)
    whole = gaussian.sample(keys[:, 0], *joint, len(z))
    z = jnp.where(every[None, :, None], whole, z)
    mean = jnp.where(none[:, None], 0, jnp.mean(z, axis=0))
    return z, jnp.where(every[:, None], joint.mean, mean)


def represent(c: Choices, params, extras, batch, key):
    """[batch, dim], the posterior's mean, of several modalities that of a chain."""
    return draw(c, params, batch, key)[1]


def latents(c: Choices, params, extras, batch, key):
    """[batch, dim], where each chain ends."""
    return draw(c, params, batch, key)[0][-1]


def decode(c: Choices, params, extras, batch, key):
    """{name: means} of the entry "z", as `latents` gives it."""
    outputs = multimodal_vae.decoding(c, params, train=False)(batch["z"])
    return modalities.shown(c.bound, c.names, outputs)  # the loss has no likelihood


def generate(c: Choices, params, extras, batch, key):
    """{name: means} of latents that are drawn from what is there."""
    z = latents(c, params, extras, batch, key)
    return decode(c, params, extras, {"z": z}, key)


def make(config) -> Experiment:
    """As `multimodal_vae.make`, with a joint encoder and a flow for each modality.

    `config.loss` is called as `losses.joint_to_unimodal`, `config.bound` as any other:
    it is that of the joint posterior. `config.flow` is a module with the methods
    `to_noise` and `from_noise`, as `models.flows` has it; `config.posterior` a sampler,
    as `ops.hamiltonian.sample`.
    """
    c = multimodal_vae.choices(config)
    init = functools.partial(multimodal_vae.init, c)
    asked = [represent, generate, latents, decode, multimodal_vae.bound]
    outputs = {f.__name__: functools.partial(f, c) for f in asked}
    return Experiment(init, functools.partial(loss, c), outputs)
