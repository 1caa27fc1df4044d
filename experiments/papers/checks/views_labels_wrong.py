"""Checks of learning with wrong labels and wrong pairs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import DOWN, Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend, hidden, unit
from repr_jax import losses, metrics
from repr_jax.estimators import (
    calibrated_gaussians,
    confident_learning,
    local_outlier,
    loss_mixture,
    relation_graph,
    separation,
)

CHECKS: list[Check] = []
check = checks_in(CHECKS)


def _auroc(scores, wrong) -> float:
    return float(metrics.auroc(np.float32(scores), wrong))


def _surprise(logits, labels):
    """[rows] cross-entropies."""
    return -np.asarray(jax.nn.log_softmax(logits))[np.arange(len(labels)), labels]


@functools.cache
def _noisy_gaussians(seed, num_steps):
    """Rows of 5 classes, 15 % of labels flipped; a network after so many steps."""
    rng = np.random.default_rng(seed)
    x, true = toys.gaussians(rng, 1_500, 1.5 * rng.normal(size=(5, 10)))
    y, wrong = toys.flipped(rng, true, 5, 0.15)
    params = toys.classifier(
        seed, x, y, widths=(128, 128), num_steps=num_steps, rate=3e-3
    )
    return x, y, wrong, params


@check(
    "relation graph",
    "estimators.relation_graph",
    "AUROC of wrong labels, 15 %, of a network that memorized them",
    beats="its cross-entropy",
)
def relations(seed):
    x, y, wrong, params = _noisy_gaussians(seed, 1_500)
    logits = apply(params, x)
    graph = relation_graph.fit(
        unit(np.asarray(hidden(params, x)) + 1e-6), jax.nn.softmax(logits)
    )
    scores = np.asarray(relation_graph.label_scores(graph, y).scores)
    return _auroc(-scores, wrong), _auroc(_surprise(logits, y), wrong)


def _f1(flagged, wrong) -> float:
    hits = np.sum(flagged & wrong)
    return float(2 * hits / max(flagged.sum() + wrong.sum(), 1))


@check(
    "confident learning",
    "estimators.confident_learning",
    "F1 of wrong labels, 40 % of one class called another",
    beats="rows whose prediction is not their label",
)
def confident(seed):
    rng = np.random.default_rng(seed)
    centers = 1.5 * rng.normal(size=(5, 10))
    x, true = toys.gaussians(rng, 3_000, centers)
    moved = (true == 0) & (rng.uniform(size=len(x)) < 0.4)
    y = np.where(moved, 1, true)
    halves = rng.uniform(size=len(x)) < 0.5
    p = np.zeros((len(x), 5), np.float32)  # out of sample, as the paper asks
    for half in (halves, ~halves):
        params = toys.classifier(seed, x[half], y[half], num_steps=300)
        p[~half] = np.asarray(jax.nn.softmax(apply(params, x[~half])))
    fitted = confident_learning.fit(p, y)
    found = np.asarray(confident_learning.suspected(fitted, p, y))
    return _f1(found, moved), _f1(p.argmax(1) != y, moved)


@functools.cache
def _noisy_digits(seed, rate=0.4):
    """2,000 digits, labels of which a share is flipped, the flipped; digits to test."""
    x, true = toys.some(*toys.digits("train"), range(10), 2_000)
    y, wrong = toys.flipped(np.random.default_rng(seed), true, 10, rate)
    return x, y, wrong, *toys.some(*toys.digits("test"), range(10), 1_000)


@check(
    "generalized cross-entropy",
    "losses.generalized_cross_entropy",
    "accuracy on digits, 40 % of labels wrong",
    beats="cross-entropy",
)
def generalized(seed):
    x, y, _, t, label = _noisy_digits(seed)

    def accuracy(function):
        def loss(z, labels, _):
            return function(z, labels)

        network, _ = toys.embedding(
            seed, x, y, loss, widths=(128, 64, 10), num_steps=1_000
        )
        return toys.right(apply(network, t), label)

    return accuracy(losses.generalized_cross_entropy), accuracy(losses.cross_entropy)


@functools.cache
def _pairs(seed):
    """Upper and lower halves of 3,000 digits, 40 % of pairs shuffled."""
    x, _ = toys.some(*toys.digits("train"), range(10), 3_000)
    t, _ = toys.some(*toys.digits("test"), range(10), 500)
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(rng.uniform(size=len(x)) < 0.4)
    partner = np.arange(len(x))
    partner[rows] = rng.permutation(rows)
    wrong = partner != np.arange(len(x))
    return x[:, :98], x[partner, 98:], wrong, t[:, :98], t[:, 98:]


def _matched(a, b, clean, ranking, start, num_steps):
    """Two encoders of halves trained by a ranking hinge with clean probabilities."""

    def loss(params, key):
        rows, others, weights = batch(key, a, b, np.float32(clean))
        z = (apply(p, r) for p, r in zip(params, (rows, others)))
        return ranking(*z, weights)

    return descend(loss, start, seed=0, num_steps=num_steps)


@functools.cache
def _warm(seed):
    """Encoders after a hinge of all pairs, of mean and not of hardest negatives."""
    a, b, *_ = _pairs(seed)
    keys = jax.random.split(jax.random.key(seed))
    start = [toys.dense(k, (98, 128, 32)) for k in keys]
    ranking = losses.soft_margin_ranking_average
    return _matched(a, b, np.ones(len(a)), ranking, start, 400)


def _cosines(networks, a, b):
    z = [unit(np.asarray(apply(n, r))) for n, r in zip(networks, (a, b))]
    return np.sum(z[0] * z[1], axis=1)


def _recalls(params, a, b) -> float:
    """Sum of recalls at 1, 5 and 10, both ways."""
    z = [unit(np.asarray(apply(p, r))) for p, r in zip(params, (a, b))]
    scores = z[0] @ z[1].T
    ranks = [np.sum(s > np.diag(s)[:, None], axis=1) for s in (scores, scores.T)]
    return float(sum(np.mean(r < k) for r in ranks for k in (1, 5, 10)))


@check(
    "PC2 soft margins",
    "losses.soft_margin_ranking",
    "sum of 6 recalls, halves of digits, 40 % of pairs shuffled",
    beats="the hinge of one margin for all pairs",
)
def soft_margins(seed):
    a, b, _, t, u = _pairs(seed)
    warm, ones = _warm(seed), np.ones(len(a))
    far = -_cosines(warm, a, b)  # large of wrong pairs
    clean = np.asarray(loss_mixture.clean_probability(loss_mixture.fit(far), far))
    soft, plain = (
        _matched(a, b, c, losses.soft_margin_ranking, warm, 300) for c in (clean, ones)
    )
    return _recalls(soft, t, u), _recalls(plain, t, u)


@check(
    "PC2 pseudo-classes",
    "losses.pseudo_class",
    "AUROC of shuffled pairs by how classes of the halves agree, ranking added",
    beats="their cosine after the ranking alone",
)
def pseudo_classes(seed):
    a, b, wrong, _, _ = _pairs(seed)
    ones = np.ones(128)

    def loss(params, key):
        networks, head = params
        rows, others = batch(key, a, b)
        z = [apply(p, r) for p, r in zip(networks, (rows, others))]
        ranking = losses.soft_margin_ranking_average(*z, ones)
        return ranking + losses.pseudo_class(*(v @ head for v in z))

    keys = jax.random.split(jax.random.key(seed), 3)
    networks = [toys.dense(k, (98, 128, 32)) for k in keys[:2]]
    start = networks, 0.2 * jax.random.normal(keys[2], (32, 16))
    networks, head = descend(loss, start, seed=seed, num_steps=400)
    p, q = (jax.nn.softmax(apply(n, r) @ head) for n, r in zip(networks, (a, b)))
    agree = np.asarray(jnp.sum(p * q, axis=1))
    return _auroc(-agree, wrong), _auroc(-_cosines(_warm(seed), a, b), wrong)


@check(
    "LSA",
    "estimators.separation",
    "AUROC of rows from outside, by a boundary in contrastive features",
    beats="the losses that it starts from",
)
def separated(seed):
    x, y = toys.some(*toys.digits("train"), range(6), 1_500)
    other, _ = toys.some(*toys.digits("train"), (6, 7, 8, 9), 600)
    rng = np.random.default_rng(seed)
    rows = np.concatenate([x, other])
    labels = np.concatenate([y, rng.integers(6, size=len(other))])
    outside = np.arange(len(rows)) >= len(x)
    features = hidden(toys.simclr(seed, rows.reshape(-1, 14, 14)), rows)
    params = toys.classifier(seed, rows, labels, num_steps=250)
    surprise = np.float32(_surprise(apply(params, rows), labels))
    fitted = separation.fit(np.asarray(features), surprise)
    scores = np.asarray(separation.score(fitted, features))
    return _auroc(scores, outside), _auroc(surprise, outside)


def _mean_errors(seed):
    """Errors of class means, 400 to 20 rows, 40 % flipped: typical rows, and all."""
    rng = np.random.default_rng(seed)
    centers = 2.5 * rng.normal(size=(4, 8))
    counts = np.array([400, 150, 60, 20])
    true = np.repeat(np.arange(4), counts)
    x = np.float32(centers[true] + rng.normal(size=(len(true), 8)))
    y = true.copy()
    for c, n in enumerate(counts):  # 40 % of the rows of each label are of others
        rows = np.flatnonzero(true == c)[: int(0.4 * n)]
        others = (c + rng.integers(1, 4, size=len(rows))) % 4
        x[rows] = centers[others] + rng.normal(size=(len(rows), 8))
    fitted = calibrated_gaussians.fit(x, y, num_classes=4, head_size=50)
    naive = np.stack([x[y == c].mean(0) for c in range(4)])
    return tuple(
        np.mean(np.linalg.norm(np.asarray(m) - centers, axis=1)[:3])
        for m in (fitted.means, naive)
    )


@check(
    "RCAL",
    "estimators.calibrated_gaussians",
    "error of the means of head classes, 40 % of labels wrong" + DOWN,
    beats="the means of all rows",
)
def calibrated(seed):
    return _mean_errors(seed)


@check(
    "local outlier factor",
    "estimators.local_outlier",
    "AUROC of rows near the denser of two clusters",
    beats="distance to the nearest rows",
)
def factors(seed):
    rng = np.random.default_rng(seed)
    dense, wide = 0.1 * rng.normal(size=(300, 2)), 2 * rng.normal(size=(300, 2)) + 10
    angle = rng.uniform(0, 2 * np.pi, size=30)
    near = 1.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.float32(np.concatenate([dense, wide, near]))
    outside = np.arange(len(x)) >= 600
    scores = np.asarray(local_outlier.fit(x, num_neighbors=40).scores)
    squares = ((x[:, None] - x) ** 2).sum(2)
    plain = np.sqrt(np.sort(squares, axis=1)[:, 40])
    return _auroc(scores, outside), _auroc(plain, outside)
