"""Checks of scores of inputs that a model does not know."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import Check, checks_in
from experiments.papers.checks.toys import (
    apply,
    batch,
    descend,
    hidden,
    msp,
    separation,
    unit,
)
from repr_jax import losses, metrics
from repr_jax.data import augment
from repr_jax.estimators import (
    class_boundary,
    ecod,
    gaussian_mixture,
    gradient_separation,
    invariants,
    logistic,
    mahalanobis,
)
from repr_jax.models.flows import MaskedAutoregressiveFlow
from repr_jax.ops import gaussian, mixture_posterior, uncertainty
from repr_jax.ops.linear_gradients import of_cross_entropy, of_predicted_class

CHECKS: list[Check] = []
check = checks_in(CHECKS)


@check(
    "BEYOND",
    "metrics.neighbor_consistency",
    "AUROC, FGSM examples",
    beats="each of its two cues alone",
)
def beyond(seed):
    (x, y), (t, label) = (toys.digits(split) for split in ("train", "test"))
    x, y, t, label = x[:3_000, ..., None], y[:3_000], t[:100, ..., None], label[:100]
    deployed = toys.classifier(seed, x.reshape(len(x), -1), y)

    def views(key, images):
        return augment.jitter(key, images, shift=0.15, zoom=0.1, fill=0.0)

    def loss(params, key):
        keys = jax.random.split(key, 3)
        images = batch(keys[0], x)[0].reshape(-1, 14, 14, 1)
        a, b = (apply(params, views(k, images).reshape(-1, 196)) for k in keys[1:])
        return losses.nt_xent(a, b, temperature=0.2)

    start = toys.dense(jax.random.key(seed), (196, 256, 128, 32))
    encoder = descend(loss, start, seed=seed, num_steps=300)
    flat = t.reshape(len(t), -1)
    slope = jax.grad(lambda z: losses.cross_entropy(apply(deployed, z), label))(flat)
    attacked = np.clip(flat + 0.15 * np.sign(slope), 0, 1)
    probe = logistic.fit(
        hidden(encoder, x.reshape(len(x), -1)), y, num_classes=10, max_steps=8
    )
    keys = jax.random.split(jax.random.key(seed), 25)

    def cues(images):
        h = jax.jit(
            jax.vmap(lambda k: views(k, images.reshape(-1, 14, 14, 1)).reshape(-1, 196))
        )(keys)
        logits = jnp.stack([logistic.logits(probe, hidden(encoder, v)) for v in h])
        return apply(encoder, images), apply(encoder, h), logits

    clean = (*cues(flat), jnp.argmax(apply(deployed, flat), axis=1))
    other = (*cues(attacked), jnp.argmax(apply(deployed, attacked), axis=1))

    def auroc(weight):
        score = functools.partial(
            metrics.neighbor_consistency, label_weight=weight, rank=10
        )
        return separation(score(*clean), score(*other))

    return auroc(0.8), max(auroc(0.0), auroc(1.0))


@check(
    "class boundaries",
    "estimators.class_boundary",
    "AUROC, unseen classes",
    beats="largest softmax of the same cosines",
)
def boundaries(seed):
    rng = np.random.default_rng(seed)
    centers = unit(rng.normal(size=(20, 16)))
    spread = rng.uniform(0.05, 0.35, size=(20, 1))  # classes differ in width
    labels = np.arange(4_000) % 20
    z = unit(centers[labels] + spread[labels] * rng.normal(size=(4_000, 16)))
    seen, train = labels < 15, np.arange(4_000) < 2_000
    rows = seen & train
    fitted = class_boundary.fit(centers[:15], z[rows], labels[rows])
    tests = z[seen & ~train], z[~seen & ~train]
    gate = separation(*(class_boundary.score(fitted, x) for x in tests))
    logits = (x @ centers[:15].T / 0.1 for x in tests)
    return gate, separation(*(uncertainty.max_softmax(x) for x in logits))


@check(
    "FlowCon",
    "losses.flow_con",
    "AUROC, between the classes",
    beats="largest softmax of a classifier",
)
def flow_con(seed):
    rng, dim = np.random.default_rng(seed), 8
    centers = 2.5 * rng.normal(size=(4, dim))

    def curved(x):
        return np.float32(x + np.c_[0.3 * x[:, 1:] ** 2, np.zeros(len(x))])

    x, y = toys.gaussians(rng, 2_000, centers)
    t, _ = toys.gaussians(rng, 500, centers)
    near, _ = toys.gaussians(rng, 500, (centers + np.roll(centers, 1, axis=0)) / 2)
    x, t, near = curved(x) / 4, curved(t) / 4, curved(near) / 4
    flow = MaskedAutoregressiveFlow(dim, hidden=(64, 64))
    keys = jax.random.split(jax.random.key(seed))
    start = {
        "flow": flow.init(keys[0], x[:2], method="to_noise"),
        "head": toys.dense(keys[1], (dim // 2, 32, 2 * dim)),
    }

    def predicted(params, x):
        z, log_det = flow.apply(params["flow"], x, method="to_noise")
        mean, log_sd = jnp.split(apply(params["head"], z[:, : dim // 2]), 2, axis=1)
        return z, log_det, mean, 2 * jnp.tanh(log_sd)

    def loss(params, key):
        some, labels = batch(key, x, y, size=64)
        z, log_det, mean, log_sd = predicted(params, some)
        each = jnp.broadcast_to(z[:, None], (len(z), *z.shape))
        pairs = gaussian.log_prob(each, mean[None], 2 * log_sd[None])
        bits = dim * jnp.log(2)  # of each dimension, in one nat of all
        nll = -jnp.mean(jnp.diagonal(pairs) + log_det) / bits
        return losses.flow_con(pairs / bits, labels) + 0.07 * nll

    params = descend(loss, start, seed=seed, num_steps=3_000)
    _, _, mean, log_sd = predicted(params, x)
    own = [(mean[y == k].mean(0), 2 * log_sd[y == k].mean(0)) for k in range(4)]

    def score(x):
        z = predicted(params, x)[0]
        return -jnp.max(jnp.stack([gaussian.log_prob(z, *k) for k in own]), axis=0)

    return separation(score(t), score(near)), msp(toys.classifier(seed, x, y), t, near)


@check(
    "MSMA",
    "metrics.score_norms",
    "AUROC, tighter blobs at the same modes",
    beats="minus the exact log density",
)
def multiscale(seed):
    means = 4 * np.random.default_rng(seed).normal(size=(5, 2))
    law = mixture_posterior.make(np.ones(5), means, np.tile(np.eye(2), (5, 1, 1)))
    tight = mixture_posterior.make(
        np.ones(5), means, np.tile(0.01 * np.eye(2), (5, 1, 1))
    )
    sigma = jnp.geomspace(0.01, 1.0, 10)
    keys = jax.random.split(jax.random.key(seed), 4)

    def norms(x):
        scores = jax.vmap(lambda s: mixture_posterior.score(law, x, s**2))(sigma)
        return jnp.log(metrics.score_norms(scores, sigma) + 1e-6)

    train, test = (mixture_posterior.draw(k, law, 1_000)[0] for k in keys[:2])
    new, _ = mixture_posterior.draw(keys[2], tight, 1_000)
    center, scale = norms(train).mean(0), norms(train).std(0)
    fitted = gaussian_mixture.fit(
        keys[3], (norms(train) - center) / scale, num_components=5, ridge=1e-3
    )
    found = (
        gaussian_mixture.score(fitted, (norms(x) - center) / scale) for x in (test, new)
    )
    density = (
        -jax.nn.logsumexp(mixture_posterior.logits(law, x), axis=1) for x in (test, new)
    )
    return separation(*found), separation(*density)


@check(
    "SAL",
    "estimators.gradient_separation",
    "AUROC, a blob among wild rows",
    beats="largest softmax",
)
def separate(seed):
    rng = np.random.default_rng(seed)
    centers = 3 * np.eye(3, 8)
    x, y = toys.gaussians(rng, 1_500, centers)
    inside, _ = toys.gaussians(rng, 700, centers)
    blob, _ = toys.gaussians(rng, 300, [[-2.0] * 8])
    params, wild = toys.classifier(seed, x, y), np.concatenate([inside, blob])
    mean = of_cross_entropy(apply(params, x), hidden(params, x), y)
    gradients = of_predicted_class(apply(params, wild), hidden(params, wild))
    mean, gradients = (a.reshape(len(a), -1) for a in (mean, gradients))
    fitted = gradient_separation.fit(gradients, mean.mean(0))
    scores = gradient_separation.score(fitted, gradients)
    return separation(scores[:700], scores[700:]), msp(params, inside, blob)


@check(
    "ECOD",
    "estimators.ecod",
    "AUROC, rows in one tail of a few columns",
    beats="distance to the mean, columns standardized",
)
def tails(seed):
    rng = np.random.default_rng(seed)
    x = rng.exponential(size=(2_000, 10)).astype(np.float32) ** 2
    new = rng.exponential(size=(200, 10)).astype(np.float32) ** 2
    new[:, :3] = np.float32(1e-3 * rng.uniform(size=(200, 3)))  # the short tail
    rows = np.concatenate([x, new])
    away = (((rows - x.mean(0)) / x.std(0)) ** 2).sum(1)
    scores = ecod.score(ecod.fit(x), rows)
    return separation(*np.split(scores, [2_000])), separation(*np.split(away, [2_000]))


@check(
    "NL-Invs",
    "estimators.invariants",
    "AUROC, spheres of other radii than 1",
    beats="Mahalanobis distance",
)
def constant(seed):
    rng = np.random.default_rng(seed)
    x, t, new = (unit(rng.normal(size=(num, 3))) for num in (1_000, 400, 400))
    new = new * np.float32(rng.choice([0.5, 0.75, 1.25, 1.5], size=(400, 1)))
    fitted = invariants.fit(jax.random.key(seed), x, residual=0.4, num_steps=1_000)
    gaussian = mahalanobis.fit(x, np.zeros(1_000, int), num_classes=1)
    ours = (invariants.score(fitted, rows) for rows in (t, new))
    return separation(*ours), separation(
        *(mahalanobis.score(gaussian, rows) for rows in (t, new))
    )
