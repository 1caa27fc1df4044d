"""Several modalities around one latent space: a VAE per modality, fused by the loss.

MVAE, MMVAE, MMVAE+, CMVAE, MoPoE, MWB-VAE, CoDE-VAE, mmJSD, MVTCAE, CRMVAE, MMVM,
DMVAE, JMVAE and TELBO are this file. They differ in `config.loss` and in
`config.posterior`, how the experts of the modalities at hand become one posterior, a
mixture of one component or more.

A batch has an array for each of `config.modalities`, and may have `where` [batch], the
rows that are present, and `present` [batch, modality], the modalities that are.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import modalities
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.models.multimodal_vae import MultimodalVAE
from repr_jax.ops import gaussian, likelihood, mixture, subsets
from repr_jax.ops.batch import by_row, masked_mean, present, row_keys
from repr_jax.ops.mixture import Mixture

PRIVATE = 2**32 - 1  # folded into keys that rows fold in too


def product_of_experts(mean, log_var, *, where, prior_expert="full") -> Mixture:
    """The posterior of MVAE, MoPoE and MVTCAE: one product over what is present.

    mean, log_var: [modality, batch, dim]. where: [modality, batch]. prior_expert:
    "full", "all" or "none", as in `subsets.posterior`.
    """
    fused = subsets.posterior(mean, log_var, where, prior_expert=prior_expert)
    return _of_one(*fused)


def mixture_of_experts(mean, log_var, *, where) -> Mixture:
    """The posterior of MMVAE: the experts of the present modalities, equally likely."""
    return Mixture(mean, log_var, jnp.where(where, 0.0, -jnp.inf))


def mixture_of_products(mean, log_var, *, where, prior_expert="full") -> Mixture:
    """What MoPoE draws from in training: products of all subsets, equally likely.

    As `product_of_experts`.
    """
    members = subsets.non_empty(len(mean))
    of_subset = jax.vmap(
        lambda one: subsets.posterior(
            mean,
            log_var,
            jnp.broadcast_to(one[:, None], where.shape),
            prior_expert=prior_expert,
        )
    )
    allowed = subsets.valid(members, where)
    return Mixture(*of_subset(members), jnp.where(allowed, 0.0, -jnp.inf))


def geometric_mean(
    mean, log_var, *, where, expert_weights=None, prior_weight=1.0
) -> Mixture:
    """The posterior of mmJSD: its dynamic prior, of the prior and what is present."""
    weights = None if expert_weights is None else jnp.asarray(expert_weights)
    options = dict(weights=weights, prior_weight=prior_weight, where=where)
    return _of_one(*gaussian.geometric_mean(mean, log_var, **options))


def fused_experts(mean, log_var, *, where, fuse) -> Mixture:
    """Of what is present, by one of the functions of `ops.fusion`."""
    return _of_one(*fuse(mean, log_var, where))


def joint_or_product(mean, log_var, *, where, joint) -> Mixture:
    """The posterior of JMVAE: of all modalities that of the joint encoder.

    Of fewer it is the product of the experts without prior. joint: (mean, log_var).
    """
    complete = jnp.all(where, axis=0)[:, None]
    fused = subsets.posterior(mean, log_var, where, prior_expert="none")
    return _of_one(*(jnp.where(complete, a, b) for a, b in zip(joint, fused)))


def _of_one(mean, log_var):
    return Mixture(mean[None], log_var[None], jnp.zeros_like(mean[None, ..., 0]))


def or_prior(posterior, prior, given) -> Mixture:
    """posterior [component, batch, dim]; prior [component, dim] if nothing is given."""
    none = ~jnp.any(given, axis=0)[None]  # [1, batch]
    rows = (none.shape[1], prior.mean.shape[-1])
    mean, log_var = (
        jnp.broadcast_to(x[:, None], (len(x), *rows))
        for x in (prior.mean, prior.log_var)
    )
    of_prior = Mixture(mean, log_var, jnp.where(none, prior.logits[:, None], -jnp.inf))
    logits = jnp.where(none, -jnp.inf, posterior.logits)
    parts = zip(posterior._replace(logits=logits), of_prior)
    return Mixture(*(jnp.concatenate(pair) for pair in parts))


class Choices(NamedTuple):
    """What a config is bound to; see `make`."""

    names: tuple[str, ...]  # of the modalities
    model: MultimodalVAE
    loss: Callable
    bound: Callable | None
    posterior: Callable
    proposal: Callable
    thin: Callable | None
    schedules: Mapping[str, Callable]  # step -> factor, by argument of the loss
    num_samples: int
    free_nats: float

    @property
    def distribution(self):
        """`ops.gaussian` or `ops.laplace`, of all posteriors and priors."""
        return self.loss.keywords.get("distribution", gaussian)

    @property
    def log_likelihoods(self):
        """One for each modality."""
        return modalities.log_likelihoods(self.loss, self.names)


def choices(config) -> Choices:
    """The config bound, and checked.

    Raises:
      ValueError: a schedule of an argument that config.loss does not give; free nats of
        posteriors that are not Gaussian.
    """

    def optional(name):
        return bind(config[name], f"config.{name}") if name in config else None

    posterior = bind(config.posterior, "config.posterior")
    loss_fn = bind(config.loss, "config.loss")
    found = Choices(
        names=tuple(config.modalities),
        model=_model(config),
        loss=loss_fn,
        bound=optional("bound"),
        posterior=posterior,
        proposal=optional("proposal") or posterior,
        thin=optional("thin"),
        schedules=modalities.schedules(config, loss_fn),
        num_samples=config.get("likelihood_samples", 16),
        free_nats=config.get("free_nats", 0.0),
    )
    if found.free_nats and found.distribution is not gaussian:
        raise ValueError(
            f"config.free_nats: expected 0 unless posteriors are Gaussian; got "
            f"{found.free_nats}."
        )
    return found


def _model(config) -> MultimodalVAE:
    """An encoder and a decoder for each modality, and what else the config names."""
    own = "private_encoder" in config or "private_encoders" in config
    joint = "joint_encoder" in config
    learned = {
        name: bind(choice, f"config.learned.{name}")()
        for name, choice in config.get("learned", {}).items()
    }
    return MultimodalVAE(
        encoders=modalities.of_each(config, "encoder"),
        decoders=modalities.of_each(config, "decoder"),
        private_encoders=modalities.of_each(config, "private_encoder") if own else (),
        joint_encoder=bind(config.joint_encoder)() if joint else None,
        learned=learned,
        flows=modalities.of_each(config, "flow") if "flow" in config else (),
    )


# The networks, with parameters


def init(c: Choices, key, batch):
    """First parameters, and no extras."""
    inputs, where = modalities.observed(batch, c.names)
    return c.model.init(key, inputs, where, train=False)["params"], {}


def apply(c: Choices, params, method: str, *arrays, train: bool):
    """A method of the model."""
    return c.model.apply({"params": params}, *arrays, train=train, method=method)


def decoding(c: Choices, params, *, train: bool) -> Callable:
    """(z, w) -> a tuple of means or logits, one of each modality."""

    def decode(z, w=()):
        return apply(c, params, "decode", z, w, train=train)

    return decode


def arguments(c: Choices, params, inputs, where, *, train: bool) -> dict:
    """What a loss takes by keyword, of the networks that the config names."""
    found = dict(c.model.apply({"params": params}, method="learned_arguments"))
    if c.model.private_encoders:
        found["private"] = apply(c, params, "encode_private", inputs, train=train)
    if c.model.joint_encoder:
        found["joint"] = apply(c, params, "encode_joint", inputs, where, train=train)
    return found


def objective(c: Choices, function, params, batch, key, *, train: bool, scaled):
    """(value, posteriors, presence): a loss of the batch, with arguments in `scaled`.

    A joint encoder is nothing to losses without an argument `joint`: those of a second
    stage, which train beside it.
    """
    inputs, where = modalities.observed(batch, c.names)
    posterior = apply(c, params, "encode", inputs, train=train)
    keywords = arguments(c, params, inputs, where, train=train) | scaled
    if "joint" not in inspect.signature(function).parameters:
        keywords.pop("joint", None)
    decode = decoding(c, params, train=train)
    value = function(key, inputs, *posterior, decode, where=where, **keywords)
    return value, posterior, where


def loss(c: Choices, params, extras, batch, key, step):
    """The loss of a step, and each expert's divergence from the prior."""
    batch = modalities.thinned(c.thin, c.names, batch, key)
    scaled = modalities.scaled(c.loss, c.schedules, step)
    value, posterior, where = objective(
        c, c.loss, params, batch, key, train=True, scaled=scaled
    )
    if c.free_nats:
        beta = (c.loss.keywords | scaled).get("beta", 1.0)
        value = value + beta * modalities.free_nats(c.free_nats, posterior, where)
    prior_log_var = c.loss.keywords.get("prior_log_var", 0.0)
    divergence = c.distribution.kl(*posterior, 0.0, prior_log_var)
    terms = {
        f"kl/{name}": masked_mean(divergence[m], where=where[m])
        for m, name in enumerate(c.names)
    }
    return value, (extras, terms)


# Latents of what is given


def prior(c: Choices, params, dim: int):
    """p(z) as a mixture [component, dim], and the log-variance of p(w)."""
    given = c.loss.keywords | dict(
        c.model.apply({"params": params}, method="learned_arguments")
    )
    log_var, zero = given.get("prior_log_var", 0.0), jnp.zeros((1, dim))
    standard = Mixture(zero, jnp.broadcast_to(log_var, zero.shape), zero[:, 0])
    return given.get("prior") or standard, log_var


def infer(c: Choices, fuse, params, batch, given):
    """From given [modality, batch]: q(z) and all q(w), priors for what is not."""
    inputs, where = modalities.observed(batch, c.names)
    given = where & given
    experts = apply(c, params, "encode", inputs, train=False)
    keywords = arguments(c, params, inputs, given, train=False)
    joint = {name: x for name, x in keywords.items() if name == "joint"}
    p, log_var = prior(c, params, experts.mean.shape[-1])
    posterior = or_prior(fuse(*experts, where=given, **joint), p, given)
    private = [
        (present(mean, here), jnp.where(here[:, None], own_log_var, log_var))
        for mean, own_log_var, here in zip(*keywords.get("private", ((), ())), given)
    ]
    return posterior, private, p, log_var


def draw(c: Choices, fuse, params, batch, key, given, num_samples: int):
    """(z, w_1, ...) [sample, batch, dim], and log p - log q of them."""
    posterior, private, p, log_var = infer(c, fuse, params, batch, given)
    distribution = c.distribution
    rows = jnp.ones(posterior.mean.shape[1], bool)
    z = mixture.sample(row_keys(key, rows), posterior, num_samples, distribution)
    log_ratio = mixture.log_prob(p, z, distribution)
    log_ratio = log_ratio - mixture.log_prob(posterior, z, distribution)
    w = []
    for m, own in enumerate(private):
        keys = row_keys(jax.random.fold_in(key, PRIVATE - m), rows)
        w.append(distribution.sample(keys, *own, num_samples))
        log_ratio = log_ratio + distribution.log_prob(w[m], 0.0, log_var)
        log_ratio = log_ratio - distribution.log_prob(w[m], *own)
    return (z, *w), log_ratio


# What a trained model can be asked for


def represent(c: Choices, params, extras, batch, key, given=True):
    """[batch, dim], the mean of the posterior."""
    return mixture.mean(infer(c, c.posterior, params, batch, given)[0])


def represent_subsets(c: Choices, params, extras, batch, key):
    """[batch, subset, dim] of `given` [batch, subset, modality], encoded once."""

    def of_subset(given):
        return represent(c, params, extras, batch, key, given=given.T)

    return jax.vmap(of_subset, in_axes=1, out_axes=1)(batch["given"])


def generate(c: Choices, params, extras, batch, key):
    """{name: means} of latents that are drawn from what is there."""
    samples, _ = draw(c, c.posterior, params, batch, key, True, 1)
    z, *w = (x[0] for x in samples)
    decoded = decoding(c, params, train=False)(z, tuple(w))
    return modalities.shown(c.loss, c.names, decoded)


def latents(c: Choices, params, extras, batch, key):
    """[batch, dim], shared and private latents side by side."""
    samples, _ = draw(c, c.posterior, params, batch, key, True, 1)
    return jnp.concatenate([x[0] for x in samples], axis=-1)


def decode(c: Choices, params, extras, batch, key):
    """{name: means} of the entry "z", as `latents` gives it."""
    posterior, private, *_ = infer(c, c.posterior, params, batch, True)
    sizes = [x.shape[-1] for x in (posterior.mean, *(mean for mean, _ in private))]
    z, *w = jnp.split(batch["z"], np.cumsum(sizes)[:-1], axis=-1)
    decoded = decoding(c, params, train=False)(z, tuple(w))
    return modalities.shown(c.loss, c.names, decoded)


def cluster_densities(c: Choices, params, extras, batch, key):
    """[batch, modality, component] log p(z | component) at the means of all experts."""
    posterior, _, p, _ = infer(c, mixture_of_experts, params, batch, True)
    z = posterior.mean[: len(c.names)]
    density = [c.distribution.log_prob(z, *one) for one in zip(p.mean, p.log_var)]
    return jnp.stack(density).T


def cluster_weights(c: Choices, params, extras, batch, key):
    """[component] log weights of the prior, whatever the batch."""
    return mixture.log_weights(prior(c, params, 1)[0])


def assign(c: Choices, params, extras, batch, key):
    """[batch], the likeliest component by the mean odds at all means of experts."""
    posterior, _, p, _ = infer(c, mixture_of_experts, params, batch, True)
    odds = mixture.responsibilities(p, posterior.mean, c.distribution)
    weights = jnp.exp(mixture.log_weights(posterior))
    return jnp.argmax(jnp.sum(weights[None] * odds, axis=1), axis=0)


def log_weights(c: Choices, params, extras, batch, key):
    """Of importance samples, as `evaluators.likelihood` asks for them."""
    inputs, where = modalities.observed(batch, c.names)
    given = batch["given"].T if "given" in batch else where
    samples, log_ratio = draw(c, c.proposal, params, batch, key, given, c.num_samples)
    decode = decoding(c, params, train=False)
    decoded = by_row(lambda z, *w: decode(z, w), *samples)
    log_p = map(likelihood.by_row, c.log_likelihoods, inputs, decoded, where)
    return {"log_likelihood": jnp.stack([*log_p], axis=1), "log_ratio": log_ratio}


def bound(c: Choices, params, extras, batch, key):
    """The mean of the bound over the rows."""
    return -objective(c, c.bound, params, batch, key, train=False, scaled={})[0]


def make(config) -> Experiment:
    """Reads modalities, encoder, decoder, loss, posterior and bound.

    `config.bound` is a loss that is minus a bound of log p(x), which not every training
    loss is; without it the held-out bound is not known. Read if they are there:
      private_encoder: of each modality's own latents, the `private` of the loss.
      joint_encoder: (inputs, where) -> posterior, the `joint` of the loss; it does not
        look at inputs that `where` lacks, which may hold anything finite.
      learned: modules without input, by the argument of the loss that each returns.
        With a `prior` of several components rows are assigned to them: "assign",
        "cluster_densities" and "cluster_weights".
      schedules: functions that return step -> factor, by the argument of the loss that
        is multiplied, which config.loss must give: KL warm-up, or `optim.cyclical`.
      thin: (keys, where) -> where, which modalities a row keeps while training.
      proposal: a posterior as of `config.posterior`, that of importance samples.
      likelihood_samples: importance samples of a call of `log_weights`, 16 by default.
      free_nats: of divergence from N(0, I), of each latent of each expert, see
        `losses.free_nats`: the mean over experts is added, as of `losses.moe_elbo`.

    Raises:
      ValueError: as `choices`.
    """
    c = choices(config)
    asked = [represent, represent_subsets, generate, log_weights, latents, decode]
    asked += [bound] if c.bound else []
    if "prior" in c.model.learned:
        asked += [assign, cluster_densities, cluster_weights]
    outputs = {f.__name__: functools.partial(f, c) for f in asked}
    init_fn, loss_fn = functools.partial(init, c), functools.partial(loss, c)
    return Experiment(init_fn, loss_fn, outputs)
