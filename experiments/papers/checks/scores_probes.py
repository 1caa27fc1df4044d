"""Checks of probes of representations, and of what pretraining gives."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import DOWN, Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend, hidden
from repr_jax import losses, metrics
from repr_jax.data import augment, pretext
from repr_jax.estimators import (
    logistic,
    naive_bayes,
)
from repr_jax.evaluators import linear_probe

CHECKS: list[Check] = []
check = checks_in(CHECKS)


@check(
    "naive Bayes probe",
    "estimators.naive_bayes",
    "test error, 32 rows of 64 independent features" + DOWN,
    beats="logistic regression",
)
def naive(seed):
    rng = np.random.default_rng(seed)
    centers = np.stack([-np.ones(64), np.ones(64)]) * 0.2
    found = []
    for _ in range(5):
        x, y = toys.gaussians(rng, 32, centers)
        t, label = toys.gaussians(rng, 2_000, centers)
        bayes = naive_bayes.fit(x, y, num_classes=2)
        line = logistic.fit(x, y, num_classes=2)
        predicted = naive_bayes.predict(bayes, t), logistic.predict(line, t)
        found.append([np.mean(np.asarray(p) != label) for p in predicted])
    return tuple(np.mean(found, axis=0))


def _blocks(rng, x, y):
    """Digits 0 and 1 above or below a block that tells nothing; which rows it has."""
    rows = np.flatnonzero(y < 2)
    digit, below = x[rows], rng.integers(2, size=len(rows)).astype(bool)
    null = np.zeros((14, 14), np.float32)
    null[5:9, 5:9] = 1
    null = np.broadcast_to(null, digit.shape)
    parts = (
        np.where(below[:, None, None], null, digit),
        np.where(below[:, None, None], digit, null),
    )
    mask = np.zeros((len(rows), 28, 14), bool)
    mask[~below, 14:], mask[below, :14] = True, True
    images = np.concatenate(parts, axis=1).reshape(len(rows), -1)
    return images, y[rows], mask.reshape(len(rows), -1)


def _robust(seed, x, y, size):
    """A classifier trained on examples moved by signs of the gradient, four steps."""

    def loss(params, key):
        some, labels = batch(key, x, y)

        def of_moved(moved):
            return losses.cross_entropy(apply(params, moved), labels)

        moved = some
        for _ in range(4):
            moved = moved + size / 2 * jnp.sign(jax.grad(of_moved)(moved))
            moved = some + jnp.clip(moved - some, -size, size)
        return of_moved(jax.lax.stop_gradient(moved))

    start = toys.dense(jax.random.key(seed), (x.shape[1], 64, 64, 2))
    return descend(loss, start, seed=seed, num_steps=500)


def _slopes(params, x, y):
    """[rows, pixels] gradients of the logit of the label."""

    def logit(row, label):
        return apply(params, row[None])[0, label]

    return jax.vmap(jax.grad(logit))(jnp.asarray(x), jnp.asarray(y))


@check(
    "leakage",
    "metrics.leakage",
    "share of gradients on the null block, robust training" + DOWN,
    beats="plain training",
)
def leaks(seed):
    rng = np.random.default_rng(seed)
    x, y, _ = _blocks(rng, *toys.digits("train"))
    t, label, mask = _blocks(rng, *toys.digits("test"))
    networks = _robust(seed, x, y, 0.25), toys.classifier(seed, x, y)
    return tuple(
        float(jnp.mean(metrics.leakage(_slopes(params, t, label), mask)))
        for params in networks
    )


@check(
    "DiffROAR",
    "metrics.keep_masks",
    "accuracy retrained on the top tenth less on the bottom tenth, robust training",
    beats="plain training",
)
def roar(seed):
    rng = np.random.default_rng(seed)
    x, y, _ = _blocks(rng, *toys.digits("train"))
    t, label, _ = _blocks(rng, *toys.digits("test"))
    mean = x.mean(0)

    def difference(params):
        masks = [
            metrics.keep_masks(_slopes(params, *rows), fraction=0.1)
            for rows in ((x, y), (t, label))
        ]
        right = []
        for own, other in zip(*masks):
            kept, shown = np.where(own, x, mean), np.where(other, t, mean)
            again = toys.classifier(seed, kept, y, num_steps=300)
            predicted = np.argmax(np.asarray(apply(again, shown)), axis=1)
            right.append(np.mean(predicted == label))
        return right[0] - right[1]

    return difference(_robust(seed, x, y, 0.25)), difference(
        toys.classifier(seed, x, y)
    )


@check(
    "share of variance",
    "metrics.variance_share",
    "share of an easy feature, both are learned",
    beats="share of a hard one, parity of four bits",
)
def shares(seed):
    rng = np.random.default_rng(seed)
    x = np.sign(rng.normal(size=(6_000, 12))).astype(np.float32)
    features = np.stack([x[:, 0], x[:, 1:5].prod(1)], axis=1).astype(np.float32)

    def loss(params, key):
        some, wanted = batch(key, x[:5_000], features[:5_000])
        return jnp.mean((apply(params, some) - wanted) ** 2)

    start = toys.dense(jax.random.key(seed), (12, 128, 64, 2))
    params = descend(loss, start, seed=seed, num_steps=1_500)
    z = hidden(params, x[5_000:])
    return tuple(metrics.variance_share(z, features[5_000:]))


@check(
    "inductive bias in bits",
    "metrics.bias_information",
    "distance to the bits of 200,000 samples, from 2,000" + DOWN,
    beats="a Gaussian law of the errors",
)
def bias(seed):
    from scipy.stats import norm

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 8))
    squares = ((x[:, None] - x[None]) ** 2).sum(-1)
    kernel = np.exp(-squares / 32) + 1e-8 * np.eye(60)
    own, other = slice(0, 20), slice(20, None)
    gain = kernel[other, own] @ np.linalg.inv(kernel[own, own])
    y = np.sin(x @ rng.normal(size=8) / 2)
    mean = gain @ y[own]
    factor = np.linalg.cholesky(
        kernel[other, other] - gain @ kernel[own, other] + 1e-9 * np.eye(40)
    )

    def errors(num):
        draws = mean + rng.normal(size=(num, 40)) @ factor.T
        return ((draws - y[other]) ** 2).mean(1)

    many, few = errors(200_000), errors(2_000)
    target = np.quantile(many, 0.001)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = metrics.bias_information(few, target).bits
    bits = -np.log2(0.001)
    simple = -norm(few.mean(), few.std()).logcdf(target) / np.log(2)
    return abs(found - bits), abs(simple - bits)


@check(
    "rotations as a pretext",
    "data.pretext.rotations",
    "linear probe of 100 digits, hidden layer",
    beats="a network that was not trained",
)
def rotations(seed):
    x, _ = toys.digits("train")

    def loss(params, key):
        some = batch(key, x[100:5_000], size=32)[0][..., None]
        images, turns = pretext.rotations(some)
        return losses.cross_entropy(
            apply(params, images.reshape(len(turns), -1)), turns
        )

    start = toys.dense(jax.random.key(seed), (196, 128, 64, 4))
    params = descend(loss, start, seed=seed, num_steps=1_000)

    def features(params):
        return lambda x: np.asarray(
            jax.nn.relu(x.reshape(len(x), -1) @ params[0][0] + params[0][1])
        )

    return toys.probe(features(params), 100), toys.probe(features(start), 100)


@check(
    "rotation probe",
    "evaluators.rotation_probe",
    "rank correlation with a probe of labels, 6 policies of SimCLR",
    beats="that of minus the contrastive loss",
)
def rotation_probe(seed):
    (x, _), (t, _) = (toys.digits(split) for split in ("train", "test"))
    policies = [
        dict(shift=s, zoom=z, contrast=c)
        for s, z, c in (
            (0.0, 0.0, 0.1),
            (0.05, 0.0, 0.0),
            (0.15, 0.1, 0.0),
            (0.3, 0.2, 0.0),
            (0.6, 0.5, 0.0),
            (0.1, 0.3, 0.9),
        )
    ]
    found = []
    for policy in policies:
        params = toys.simclr(seed, x[:4_000], 200, **policy)

        def features(images, params=params):
            return np.asarray(hidden(params, images.reshape(len(images), -1)))

        turned = [pretext.rotations(a[..., None]) for a in (x[:250], t[:250])]
        rows = [features(np.asarray(images)) for images, _ in turned]
        turns = [np.asarray(turn) for _, turn in turned]
        score = linear_probe.score(rows[0], turns[0], rows[1], turns[1]).accuracy
        a, b = (
            apply(
                params,
                augment.jitter(k, t[:256, ..., None], fill=0.0, **policy).reshape(
                    -1, 196
                ),
            )
            for k in jax.random.split(jax.random.key(seed))
        )
        loss = float(losses.nt_xent(a, b, temperature=0.2))
        found.append((toys.probe(features), score, -loss))
    labels, turns, loss = np.float32(found).T
    return metrics.spearman(labels, turns), metrics.spearman(labels, loss)


@check(
    "label utility",
    "metrics.label_utility",
    "utility of SimCLR on digits, 20 labels",
    beats="320 labels",
)
def utility(seed):
    x, _ = toys.digits("train")
    params = toys.simclr(seed, x[:4_000])
    counts = [20, 40, 80, 160, 320, 640, 1_280, 2_560]

    def curve(features):
        return [toys.probe(features, n) for n in counts]

    pretrained = curve(lambda x: np.asarray(hidden(params, x.reshape(len(x), -1))))
    scratch = curve(lambda x: x.reshape(len(x), -1))
    found = metrics.label_utility(counts, scratch, pretrained)
    return found[0], found[4]


@check(
    "SSLMem",
    "metrics.memorization",
    "mean memorization of rows that one encoder saw",
    beats="of rows that both saw",
)
def memorized(seed):
    x, _ = toys.digits("train")
    shared, own, other = x[:400], x[400:500], x[500:600]
    f = toys.simclr(seed, np.concatenate([shared, own]), 1_000)
    g = toys.simclr(seed, np.concatenate([shared, other]), 1_000)
    rows = np.concatenate([own, shared])[..., None]
    views = [
        augment.jitter(k, rows, shift=0.1, zoom=0.1, brightness=0.0, contrast=0.0,
                       fill=0.0).reshape(len(rows), -1)
        for k in jax.random.split(jax.random.key(seed), 5)
    ]  # fmt: skip
    flat = rows.reshape(len(rows), -1)
    outputs = [
        (apply(p, flat), jnp.stack([apply(p, v) for v in views])) for p in (f, g)
    ]
    found = np.asarray(metrics.memorization(*outputs[0], *outputs[1]))
    return found[:100].mean(), found[100:].mean()
