"""Checks of learning with rare labels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import DOWN, Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend, hidden
from repr_jax import losses, metrics, optim
from repr_jax.estimators import logistic, ordinal
from repr_jax.ops import class_statistics, class_weights, ema, label_mixing
from repr_jax.ops.numerics import l2_normalize

CHECKS: list[Check] = []
check = checks_in(CHECKS)


COUNTS = np.round(1_000 * 0.01 ** (np.arange(10) / 9)).astype(int)  # 1,000 to 10
BALANCED = "balanced accuracy on digits, 1,000 to 10 rows a class"


@functools.cache
def _digits(seed):
    """Digits of `COUNTS`, which class is rare being drawn, and digits to test on."""
    x, y = toys.some(*toys.digits("train"), range(10), 18_000)
    order = np.random.default_rng(seed).permutation(10)
    rows = [np.flatnonzero(y == order[c])[: COUNTS[c]] for c in range(10)]
    t, label = toys.some(*toys.digits("test"), range(10), 2_000)
    place = np.argsort(order)
    rows = np.concatenate(rows)
    return x[rows], place[y[rows]], t, place[label]


def _fitted(seed, loss, **descent):
    x, y, *_ = _digits(seed)
    numbers = dict(widths=(128, 64, 10), num_steps=600) | descent
    return toys.embedding(seed, x, y, loss, **numbers)[0]


@functools.cache
def _plain(seed):
    """A network trained by cross-entropy."""
    return _fitted(seed, lambda z, y, _: losses.cross_entropy(z, y))


def _balanced(seed, logits):
    _, _, t, label = _digits(seed)
    return toys.balanced(logits(t), label)


@check("logit adjustment", "losses.logit_adjusted", BALANCED, beats="cross-entropy")
def adjusted(seed):
    params = _fitted(seed, lambda z, y, _: losses.logit_adjusted(z, y, COUNTS))
    return tuple(
        _balanced(seed, functools.partial(apply, p)) for p in (params, _plain(seed))
    )


@check("LDAM", "losses.ldam", BALANCED, beats="the same cosines without margins")
def margins(seed):
    def cosines(z, prototypes):
        return l2_normalize(z) @ l2_normalize(prototypes).T

    def accuracy(margin):
        def loss(z, y, prototypes):
            found = cosines(z, prototypes)
            return losses.ldam(found, y, COUNTS, margin=margin)

        x, y, t, label = _digits(seed)
        start = jax.random.normal(jax.random.key(seed), (10, 64))
        network, prototypes = toys.embedding(
            seed, x, y, loss, widths=(128, 64), more=start, num_steps=600
        )
        return toys.balanced(cosines(apply(network, t), prototypes), label)

    return accuracy(0.5), accuracy(0.0)


@check(
    "binary focal loss",
    "losses.focal_binary",
    "average precision, 1 positive in 200",
    beats="binary cross-entropy",
)
def focal(seed):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(20, 8))  # of the background, and of what is sought
    sought = centers[:2] + 1.2 * toys.unit(rng.normal(size=(2, 8)))

    def rows(num):
        y = np.arange(num) % 200 == 0
        x, _ = toys.gaussians(rng, num, centers, 0.5)
        x[y] = toys.gaussians(rng, int(y.sum()), sought, 0.3)[0]
        return x, y

    (x, y), (t, label) = rows(20_000), rows(20_000)

    def precision(gamma, alpha):
        def loss(z, labels, _):
            return losses.focal_binary(z[:, 0], labels, gamma=gamma, alpha=alpha)

        network, _ = toys.embedding(
            seed, x, y, loss, widths=(64, 64, 1), num_steps=800, size=512
        )
        scores = np.asarray(apply(network, t))[:, 0]
        return float(metrics.mean_average_precision(scores[None], label[None]))

    return precision(2.0, 0.25), precision(0.0, None)


def _moments(z, y):
    """Means and unbiased covariances of the classes."""
    means = class_statistics.class_means(z, y, num_classes=10)[1]
    return means, class_statistics.class_covariances(
        z, y, num_classes=10, unbiased=True
    )


def _head(seed, means, covariances):
    """A linear head of equally many draws of each class, ridge 0.01."""
    rng = np.random.default_rng(seed)
    draws = [
        rng.multivariate_normal(m, c + 0.01 * np.eye(len(m)), 100)
        for m, c in zip(np.float64(means), np.float64(covariances))
    ]
    line = logistic.fit(
        np.float32(np.concatenate(draws)),
        np.repeat(np.arange(10), 100),
        num_classes=10,
        max_steps=10,
    )
    return jnp.asarray(line.weights), jnp.asarray(line.bias)


@functools.cache
def _lmd(seed):
    """Balanced accuracies: cross-entropy, its refitted head, both stages of LMD."""
    x, y, t, label = _digits(seed)
    plain = _plain(seed)

    def refitted(network):
        head = _head(seed, *_moments(hidden(network, x), y))
        return [*network[:-1], head]

    def first(params, target, key, step):  # target: a moving average
        some, labels = batch(key, x, y)
        z, wanted = hidden(params, some), hidden(target, some)
        logits, other = apply(params, some), apply(target, some)
        channels = losses.relation_distillation(z.T, wanted.T) * 64 / len(z)
        return (
            losses.cross_entropy(logits, labels)
            + 5 * losses.soft_cross_entropy(logits, jax.nn.softmax(other))
            + 10 * losses.relation_distillation(z, wanted)
            + 10 * channels
        ), target

    optimizer = optim.adam_cosine(peak=1e-3, num_steps=300)

    @jax.jit
    def distilled(network, key):
        return optim.descend(
            first,
            optim.start_descent(network, optimizer, num_steps=300, extras=network),
            key=key,
            optimizer=optimizer,
            until=300,
            after_update=lambda params, target, step: (
                params,
                ema.update(target, params, decay=0.99),
            ),
        ).params

    start = _fitted(seed, lambda z, y, _: losses.cross_entropy(z, y), num_steps=300)
    stage = refitted(distilled(start, jax.random.key(seed)))
    means, covariances = _moments(hidden(stage, x), y)

    def second(encoder, key):
        some, labels = batch(key, x, y)
        network = [*encoder, stage[-1]]
        own = losses.gaussian_affinity(
            hidden(network, some), labels, means, covariances
        )
        logits = apply(network, some)
        return losses.generalized_cross_entropy(logits, labels) + 1e-4 * own

    encoder = descend(second, stage[:-1], seed=seed, num_steps=100, rate=3e-4)
    stage = refitted([*encoder, stage[-1]])
    return [toys.balanced(apply(p, t), label) for p in (plain, refitted(plain), stage)]


@check("LMD", "losses.relation_distillation", BALANCED, beats="cross-entropy")
def lmd(seed):
    found = _lmd(seed)
    return found[2], found[0]


@check(
    "LMD beyond its head",
    "losses.gaussian_affinity",
    BALANCED,
    beats="cross-entropy with its head refitted on draws",
)
def lmd_encoder(seed):
    found = _lmd(seed)
    return found[2], found[1]


@check(
    "FASSL",
    "losses.rare_prototypes",
    "accuracy of a probe on the 4 rarest digits, prototypes weighed",
    beats="prototypes of one weight",
)
def rare(seed):
    x, y, t, label = _digits(seed)
    start = toys.simclr(seed, x.reshape(-1, 14, 14), 300)
    keys = jax.random.split(jax.random.key(seed))
    prototypes = jax.random.normal(keys[0], (24, 32))

    def moved(params, key):
        some = batch(key, x)[0]
        shifted = [
            jnp.roll(some.reshape(-1, 14, 14), s, axis=a).reshape(-1, 196)
            for s, a in ((1, 1), (-1, 2))
        ]
        return [apply(params, v) for v in shifted]

    def logits(z, prototypes):
        return l2_normalize(z) @ l2_normalize(prototypes).T

    def first(prototypes, key):  # of a frozen network, without equal parts
        a, b = (logits(z, prototypes) for z in moved(start, key))
        found = jax.nn.softmax(b / 0.05)
        return losses.cross_view(jnp.stack([b, a]), found[None])

    prototypes = descend(first, prototypes, seed=seed, num_steps=300, rate=1e-2)
    shares = jax.nn.softmax(logits(apply(start, x), prototypes) / 0.05)
    usage = jnp.mean(shares, axis=0)

    weights = jnp.stack([usage, jnp.ones(24)])
    start = jax.tree.map(lambda a: jnp.stack([a, a]), start)

    def second(params, usage, key):
        a, b = moved(params, key)
        found = jax.nn.softmax(logits(b, prototypes) / 0.05)
        own = losses.rare_prototypes(logits(a, prototypes), found, usage)
        return own + losses.nt_xent(a, b, temperature=0.2)

    def loss(params, key):  # networks side by side; Adam keeps them apart
        return jnp.sum(jax.vmap(second, (0, 0, None))(params, weights, key))

    def accuracy(params):
        z, other = (np.asarray(hidden(params, rows)) for rows in (x, t))
        counts = np.bincount(y, minlength=10)
        line = logistic.fit(z, y, num_classes=10, weights=np.float32(1 / counts[y]))
        tail = label >= 6
        predicted = np.asarray(logistic.predict(line, other))
        return float(np.mean(predicted[tail] == label[tail]))

    both = descend(loss, start, seed=seed, num_steps=300)
    ours, plain = (jax.tree.map(lambda a, i=i: a[i], both) for i in range(2))
    return accuracy(ours), accuracy(plain)


@check(
    "PRESTO",
    "estimators.ordinal",
    "error of the probability of the rarest class, about 9 of 1,500 rows" + DOWN,
    beats="logistic regression of that class alone",
)
def presto(seed):
    rng = np.random.default_rng(seed)
    slopes = rng.normal(size=10) / 3
    slopes = np.stack([slopes, slopes + 0.1 * (rng.uniform(size=10) < 0.3)])
    cuts = np.array([1.0, 5.2])

    def shares(x):
        below = np.sort(1 / (1 + np.exp(-(cuts + x @ slopes.T))), axis=1)
        return np.diff(np.pad(below, ((0, 0), (1, 1)), constant_values=(0, 1)))[:, :3]

    x, t = np.float32(rng.normal(size=(2, 1_500, 10)))
    below = np.cumsum(shares(x), axis=1)[:, :2]
    y = np.sum(rng.uniform(size=(1_500, 1)) > below, axis=1)
    truth = 1 - np.cumsum(shares(t), axis=1)[:, 1]
    penalties = 0.001, 0.003, 0.01
    fit = functools.partial(ordinal.fit, num_classes=3, max_steps=1_000)
    fits = [fit(x, y, penalty=c) for c in penalties]
    folds = np.arange(1_500) % 3  # choose the penalty
    scores = []
    for penalty in penalties:
        held = 0.0
        for fold in range(3):
            fitted = fit(x[folds != fold], y[folds != fold], penalty=penalty)
            p = np.asarray(ordinal.log_probabilities(fitted, x[folds == fold]))
            held += np.sum(np.maximum(p, -20)[np.arange(len(p)), y[folds == fold]])
        scores.append(held)
    best = fits[int(np.argmax(scores))]
    ours = np.exp(np.asarray(ordinal.log_probabilities(best, t))[:, 2])
    line = logistic.fit(x, (y == 2).astype(int), num_classes=2, penalty=1.0)
    z = t @ np.asarray(line.weights) + np.asarray(line.bias)
    plain = np.asarray(jax.nn.softmax(z))[:, 1]
    return tuple(float(np.sqrt(np.mean((p - truth) ** 2))) for p in (ours, plain))


@check(
    "BRL",
    "ops.label_mixing.rebalanced_share",
    "balanced accuracy, sequences of joints, 1,000 to 10 rows a class",
    beats="the same mixtures by the fixed share",
)
def spliced(seed):
    rng = np.random.default_rng(seed)
    phases = rng.normal(size=(10, 8, 3))  # of 8 joints: amplitude, frequency, phase
    time = np.linspace(0, 2 * np.pi, 10)

    def rows(counts):
        y = np.repeat(np.arange(10), counts)
        own = phases[y] + 0.35 * rng.normal(size=(len(y), 8, 3))
        a, f, p = np.moveaxis(own, 2, 0)[..., None]
        return np.float32(a * np.sin((1 + f) * time + p)), y

    (x, y), (t, label) = rows(COUNTS), rows(np.full(10, 100))
    upper = jnp.arange(8) < 4

    def accuracy(ratio):
        def loss(params, key):
            keys = jax.random.split(key, 2)
            (some, labels), (other, others) = (batch(k, x, y) for k in keys)
            mixed = label_mixing.splice(some, other, upper, axis=1)
            logits = apply(params, mixed.reshape(128, -1))
            share = label_mixing.rebalanced_share(COUNTS, labels, others, ratio=ratio)
            p = share[:, None] * jax.nn.one_hot(labels, 10)
            p = p + (1 - share[:, None]) * jax.nn.one_hot(others, 10)
            clean = losses.cross_entropy(apply(params, some.reshape(128, -1)), labels)
            return clean + losses.soft_cross_entropy(logits, p)

        start = toys.dense(jax.random.key(seed), (80, 128, 10))
        params = descend(loss, start, seed=seed, num_steps=800)
        return toys.balanced(apply(params, t.reshape(len(t), -1)), label)

    return accuracy(5.0), accuracy(1e6)


@check(
    "action-aware weights",
    "ops.class_weights.beta_by_count",
    BALANCED,
    beats="effective numbers of one beta",
)
def weighed(seed):
    def accuracy(beta):
        weights = class_weights.effective_number(COUNTS, beta)

        def loss(z, y, _):
            return jnp.mean(weights[y] * -jax.nn.log_softmax(z)[jnp.arange(128), y])

        return _balanced(seed, functools.partial(apply, _fitted(seed, loss)))

    return accuracy(class_weights.beta_by_count(COUNTS)), accuracy(0.99)
