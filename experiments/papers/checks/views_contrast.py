"""Checks of contrastive losses on generated rows: theory, guides, gates, sequences."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import DOWN, Check, checks_in
from experiments.papers.checks.toys import apply, batch, training
from repr_jax import losses, metrics
from repr_jax.models.pair_gate import PairGate
from repr_jax.ops import class_statistics

CHECKS: list[Check] = []
check = checks_in(CHECKS)

PRIORS = np.array([0.3, 0.25, 0.15, 0.12, 0.1, 0.08])


def _latent_classes(rng, centers, block, num):
    """Classes drawn by PRIORS: anchors, positives, negatives [num, (block,) dim]."""
    own, other = (rng.choice(6, num, p=PRIORS) for _ in range(2))

    def rows(labels, *shape):
        noise = rng.normal(size=(num, *shape, centers.shape[1]))
        return np.float32(centers[labels].reshape(num, *[1] * len(shape), -1) + noise)

    return rows(own), rows(own, block), rows(other, block)


def _curl(seed, block):
    """A network trained on blocks of so many similar and other rows; the centers."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(6, 10))
    data = _latent_classes(rng, centers, block, 2_000)

    def loss(params, key):
        some = batch(key, *data)
        return losses.block_contrastive(*(apply(params, x) for x in some))

    start = toys.dense(jax.random.key(seed), (10, 64, 16))
    return toys.descend(loss, start, seed=seed, num_steps=600), centers, start


def _labeled(rng, centers, num):
    """Rows of the classes of PRIORS."""
    labels = rng.choice(6, num, p=PRIORS)
    return np.float32(centers[labels] + rng.normal(size=(num, 10))), labels


@check(
    "CURL",
    "losses.block_contrastive",
    "accuracy of the mean classifier, 6 classes, blocks of 8",
    beats="blocks of 1, as many anchors",
)
def curl(seed):
    found = []
    for block in (8, 1):
        params, centers, _ = _curl(seed, block)
        rng = np.random.default_rng(seed + 100)
        (x, y), (t, label) = (_labeled(rng, centers, 3_000) for _ in range(2))
        x, t = apply(params, x), np.asarray(apply(params, t))
        _, means = class_statistics.class_means(x, y, num_classes=6)
        found.append(np.mean(np.argmax(t @ np.asarray(means).T, axis=1) == label))
    return tuple(found)


def _unsupervised(x, labels):
    """[] in bits: the loss of one negative over all tuples of rows, by PRIORS."""
    products, total = np.asarray(x @ x.T, np.float64), 0.0
    for own in range(6):
        rows = np.flatnonzero(labels == own)
        alike = products[np.ix_(rows, rows)]
        for other in range(6):
            others = products[np.ix_(rows, np.flatnonzero(labels == other))]
            gaps = alike[:, :, None] - others[:, None]
            total += PRIORS[own] * PRIORS[other] * np.logaddexp(0, -gaps).mean()
    return total / np.log(2)


@check(
    "bound of the mean classifier",
    "metrics.mean_classifier_bound",
    "its loss where closest to the bound: raw rows, a start, a trained network" + DOWN,
    beats="the bound",
)
def classifier_bound(seed):
    params, centers, start = _curl(seed, 1)
    rng = np.random.default_rng(seed + 100)
    labels = np.arange(300) % 6
    x = np.float32(centers[labels] + rng.normal(size=(300, 10)))
    found = []
    for z in (x, apply(start, x), apply(params, x)):
        loss = metrics.mean_classifier_loss(z, labels, PRIORS)
        unsupervised = _unsupervised(np.asarray(z), labels)
        bound = metrics.mean_classifier_bound(unsupervised, np.sum(PRIORS**2))
        found.append((float(loss), float(bound)))
    return min(found, key=lambda pair: pair[1] - pair[0])


def _guided(rng, kernels, labels, centers):
    """Rows of these classes with noise of their own, and the latents behind them."""
    latents = centers[labels] + 0.5 * rng.normal(size=(len(labels), 8))
    inputs = np.concatenate([latents, rng.normal(size=(len(labels), 8))], axis=1)
    return np.float32(np.tanh(inputs @ kernels[0]) @ kernels[1]), np.float32(latents)


@check(
    "GISTEmbed",
    "losses.gist",
    "20 neighbors, pairs of 8 classes in batches of 128, guided by the latents",
    beats="NT-Xent",
)
def gist(seed):
    rng = np.random.default_rng(seed)
    centers, labels = rng.normal(size=(8, 8)), rng.integers(8, size=4_000)
    kernels = rng.normal(size=(16, 32)) / 3, rng.normal(size=(32, 24))
    (a, guide_a), (b, guide_b) = (
        _guided(rng, kernels, labels, centers) for _ in range(2)
    )
    test_labels = rng.integers(8, size=1_000)
    test, _ = _guided(rng, kernels, test_labels, centers)

    def guided(params, key):
        *some, some_guide_a, some_guide_b = batch(key, a, b, guide_a, guide_b)
        z = (apply(params, x) for x in some)
        return losses.gist(*z, some_guide_a, some_guide_b, temperature=0.1)

    def unguided(params, key):
        some = batch(key, a, b)
        return losses.nt_xent(*(apply(params, x) for x in some), temperature=0.1)

    found = []
    for loss in (guided, unguided):
        start = toys.dense(jax.random.key(seed), (24, 64, 16))
        params = toys.descend(loss, start, seed=seed, num_steps=600)
        rows = apply(params, a), apply(params, test)
        found.append(toys.nearest(rows[0], labels, rows[1], test_labels))
    return tuple(found)


ATTRIBUTES = 8


def _attributes(rng):
    """[16, 8] of -1 and 1, a row a class, all different."""
    codes = rng.choice(2**ATTRIBUTES, 16, replace=False)
    return 2 * (codes[:, None] >> np.arange(ATTRIBUTES) & 1) - 1


def _gates(encode, labels, a, b, dim):
    """(params, extras, seed) -> both trained: an encoder and gates of pairs."""
    model = PairGate(num_classes=16, dim=dim, embedding_dim=64, hidden=128)

    def loss(params, extras, key, step):
        rows, order = jax.random.split(key)
        some_a, some_b, y = batch(rows, a, b, labels)
        partners = jax.random.permutation(order, y)
        gates, stats = model.apply(
            {"params": params["gates"], "batch_stats": extras},
            *(y, partners),
            train=True,
            mutable=["batch_stats"],
        )
        z = (encode(params["encoder"], x) for x in (some_a, some_b))
        value = losses.gated_pairs(*z, gates, y, partners, temperature=0.1)
        return value, stats["batch_stats"]

    return model, training(loss, num_steps=500)


@check(
    "gates of SimLAP",
    "models.pair_gate.PairGate",
    "AUROC of gates for the attributes that two classes share, encoder given",
    beats="gates that are not trained",
)
def gates(seed):
    rng = np.random.default_rng(seed)
    attributes, labels = _attributes(rng), rng.integers(16, size=4_000)
    a, b = (
        np.float32(attributes[labels] + 0.5 * rng.normal(size=(4_000, 8)))
        for _ in range(2)
    )
    model, run = _gates(lambda params, x: x, labels, a, b, ATTRIBUTES)
    own, other = (each.ravel() for each in np.indices((16, 16)))
    pairs = (own[own != other], other[own != other])
    start = model.init(jax.random.key(seed), *pairs, train=False)
    params, stats = run(
        {"gates": start["params"], "encoder": ()}, start["batch_stats"], seed
    )
    shared = (attributes[pairs[0]] == attributes[pairs[1]]).ravel()
    trained = {"params": params["gates"], "batch_stats": stats}
    return tuple(
        float(
            metrics.auroc(
                np.asarray(model.apply(v, *pairs, train=False)).ravel(), shared
            )
        )
        for v in (trained, start)
    )


@check(
    "SimLAP",
    "losses.gated_pairs",
    "effective rank of projections, 16 classes of 8 attributes",
    beats="supervised contrast",
)
def simlap(seed):
    rng = np.random.default_rng(seed)
    attributes, labels = _attributes(rng), rng.integers(16, size=4_000)
    kernel = rng.normal(size=(8, 32))
    a, b = (
        np.float32(
            np.tanh(attributes[labels] @ kernel) + 0.5 * rng.normal(size=(4_000, 32))
        )
        for _ in range(2)
    )
    start = toys.dense(jax.random.key(seed), (32, 64, 32))
    model, run = _gates(apply, labels, a, b, 32)
    first = model.init(jax.random.key(seed), labels[:2], labels[:2], train=False)
    params, _ = run(
        {"gates": first["params"], "encoder": start}, first["batch_stats"], seed
    )

    def supervised(params, key):
        some_a, some_b, y = batch(key, a, b, labels)
        z = jnp.concatenate([apply(params, some_a), apply(params, some_b)])
        return losses.sup_con(z, jnp.concatenate([y, y]), temperature=0.1)

    other = toys.descend(supervised, start, seed=seed, num_steps=500)
    return tuple(
        float(metrics.effective_rank(toys.unit(np.asarray(apply(p, a[:1_000])))))
        for p in (params["encoder"], other)
    )
