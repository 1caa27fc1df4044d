"""Several modalities around one latent space: a VAE per modality, fused by the loss.

MVAE, MMVAE, MMVAE+, MoPoE, mmJSD, MVTCAE and JMVAE are this file. They differ in
`config.loss` and in `config.posterior`, how the experts of the modalities at hand
become one posterior, a mixture of one component or more.

A batch has an array for each of `config.modalities`, and may have `where` [batch], the
rows that are present, and `present` [batch, modality], the modalities that are.
"""

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax.config import bind
from repr_jax.models.multimodal_vae import MultimodalVAE
from repr_jax.ops import gaussian, likelihood, mixture, subsets
from repr_jax.ops.batch import by_row, masked_mean, present, row_keys
from repr_jax.ops.mixture import Mixture
from repr_jax.train import Experiment

PRIVATE, THIN = 2**32 - 1, 2**31  # folded into keys that rows fold in too


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
    """An encoder and a decoder for each modality, and what else the config names."""
    own = "private_encoder" in config or "private_encoders" in config
    joint = "joint_encoder" in config
    learned = {
        name: bind(choice, f"config.learned.{name}")()
        for name, choice in config.get("learned", {}).items()
    }
    return MultimodalVAE(
        encoders=_of_each(config, "encoder"),
        decoders=_of_each(config, "decoder"),
        private_encoders=_of_each(config, "private_encoder") if own else (),
        joint_encoder=bind(config.joint_encoder)() if joint else None,
        learned=learned,
    )


def make(config) -> Experiment:
    """Reads modalities, encoder, decoder, loss, posterior and bound.

    `config.bound` is a loss that is minus a bound of log p(x), which not every training
    loss is; without it the held-out bound is not known. Read if they are there:
      private_encoder: of each modality's own latents, the `private` of the loss.
      joint_encoder: (inputs, where) -> posterior, the `joint` of the loss.
      learned: modules without input, by the argument of the loss that each returns.
      schedules: functions that return step -> factor, by the argument of the loss that
        is multiplied, which config.loss must give: KL warm-up.
      thin: (keys, where) -> where, which modalities a row keeps while training.
      proposal: a posterior as of `config.posterior`, that of importance samples.
      likelihood_samples: importance samples of a call of `log_weights`, 16 by default.

    Raises:
      ValueError: a schedule of an argument that config.loss does not give.
    """
    names = tuple(config.modalities)
    model, loss_fn = _model(config), bind(config.loss, "config.loss")
    bound_fn = bind(config.bound, "config.bound") if "bound" in config else None
    subset_posterior = bind(config.posterior, "config.posterior")
    proposal = subset_posterior
    if "proposal" in config:
        proposal = bind(config.proposal, "config.proposal")
    thin = bind(config.thin, "config.thin") if "thin" in config else None
    schedules = {
        name: bind(choice, f"config.schedules.{name}")()
        for name, choice in config.get("schedules", {}).items()
    }
    unknown = sorted(set(schedules) - set(loss_fn.keywords))
    if unknown:
        raise ValueError(
            f"config.schedules: expected arguments that config.loss gives; got "
            f"{', '.join(unknown)}."
        )
    distribution = loss_fn.keywords.get("distribution", gaussian)
    log_likelihood = loss_fn.keywords.get("log_likelihood", likelihood.laplace)
    log_likelihoods = (
        [log_likelihood] * len(names) if callable(log_likelihood) else log_likelihood
    )
    means = [likelihood.mean_of(one) for one in log_likelihoods]
    num_samples = config.get("likelihood_samples", 16)

    def apply(params, method, *arrays, train):
        return model.apply({"params": params}, *arrays, train=train, method=method)

    def decoding(params, *, train):
        def decode(z, w=()):
            return apply(params, "decode", z, w, train=train)

        return decode

    def arguments(params, inputs, where, *, train):
        """What a loss takes by keyword, of the networks that the config names."""
        found = dict(model.apply({"params": params}, method="learned_arguments"))
        if model.private_encoders:
            found["private"] = apply(params, "encode_private", inputs, train=train)
        if model.joint_encoder:
            found["joint"] = apply(params, "encode_joint", inputs, where, train=train)
        return found

    def objective(function, params, batch, key, *, train, **scaled):
        inputs, where = observed(batch, names)
        posterior = apply(params, "encode", inputs, train=train)
        keywords = arguments(params, inputs, where, train=train) | scaled
        decode = decoding(params, train=train)
        value = function(key, inputs, *posterior, decode, where=where, **keywords)
        return value, posterior, where

    def prior(params, dim):
        """p(z) as a mixture [component, dim], and the log-variance of p(w)."""
        given = loss_fn.keywords | dict(
            model.apply({"params": params}, method="learned_arguments")
        )
        log_var, zero = given.get("prior_log_var", 0.0), jnp.zeros((1, dim))
        standard = Mixture(zero, jnp.broadcast_to(log_var, zero.shape), zero[:, 0])
        return given.get("prior") or standard, log_var

    def infer(fuse, params, batch, given):
        """From given [modality, batch]: q(z) and all q(w), priors for what is not."""
        inputs, where = observed(batch, names)
        given = where & given
        inputs = tuple(present(x, here) for x, here in zip(inputs, given))
        experts = apply(params, "encode", inputs, train=False)
        keywords = arguments(params, inputs, given, train=False)
        joint = {name: x for name, x in keywords.items() if name == "joint"}
        p, log_var = prior(params, experts.mean.shape[-1])
        posterior = or_prior(fuse(*experts, where=given, **joint), p, given)
        private = [
            (present(mean, here), jnp.where(here[:, None], own_log_var, log_var))
            for mean, own_log_var, here in zip(
                *keywords.get("private", ((), ())), given
            )
        ]
        return posterior, private, p, log_var

    def draw(fuse, params, batch, key, given, num_samples):
        """(z, w_1, ...) [sample, batch, dim], and log p - log q of them."""
        posterior, private, p, log_var = infer(fuse, params, batch, given)
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

    def init(key, batch):
        inputs, where = observed(batch, names)
        return model.init(key, inputs, where, train=False)["params"], {}

    def loss(params, extras, batch, key, step):
        if thin:
            _, where = observed(batch, names)
            keys = row_keys(jax.random.fold_in(key, THIN), jnp.any(where, axis=0))
            batch = {**batch, "present": thin(keys, where).T}
        scaled = {
            name: loss_fn.keywords[name] * factor(step)
            for name, factor in schedules.items()
        }
        value, posterior, where = objective(
            loss_fn, params, batch, key, train=True, **scaled
        )
        prior_log_var = loss_fn.keywords.get("prior_log_var", 0.0)
        divergence = distribution.kl(*posterior, 0.0, prior_log_var)
        terms = {
            f"kl/{name}": masked_mean(divergence[m], where=where[m])
            for m, name in enumerate(names)
        }
        return value, (extras, terms)

    def represent(params, extras, batch, key):
        return mixture.mean(infer(subset_posterior, params, batch, True)[0])

    def shown(params, z, w):
        """{name: [batch, ...]}, the mean of each modality."""
        decoded = decoding(params, train=False)(z, tuple(w))
        return {name: mean(x) for name, mean, x in zip(names, means, decoded)}

    def generate(params, extras, batch, key):
        samples, _ = draw(subset_posterior, params, batch, key, True, 1)
        z, *w = (x[0] for x in samples)
        return shown(params, z, w)

    def latents(params, extras, batch, key):
        """[batch, dim], shared and private latents side by side."""
        samples, _ = draw(subset_posterior, params, batch, key, True, 1)
        return jnp.concatenate([x[0] for x in samples], axis=-1)

    def decode(params, extras, batch, key):
        """Of the entry "z", as `latents` gives it."""
        posterior, private, *_ = infer(subset_posterior, params, batch, True)
        sizes = [x.shape[-1] for x in (posterior.mean, *(mean for mean, _ in private))]
        z, *w = jnp.split(batch["z"], np.cumsum(sizes)[:-1], axis=-1)
        return shown(params, z, w)

    def log_weights(params, extras, batch, key):
        inputs, where = observed(batch, names)
        given = batch["given"].T if "given" in batch else where
        samples, log_ratio = draw(proposal, params, batch, key, given, num_samples)
        decode = decoding(params, train=False)
        decoded = by_row(lambda z, *w: decode(z, w), *samples)
        log_p = map(likelihood.by_row, log_likelihoods, inputs, decoded, where)
        return {"log_likelihood": jnp.stack([*log_p], axis=1), "log_ratio": log_ratio}

    def bound(params, extras, batch, key):
        return -objective(bound_fn, params, batch, key, train=False)[0]

    outputs = {"represent": represent, "generate": generate, "log_weights": log_weights}
    outputs |= {"latents": latents, "decode": decode}
    if bound_fn:
        outputs["bound"] = bound
    return Experiment(init, loss, outputs)
