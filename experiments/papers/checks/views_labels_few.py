"""Checks of learning from few labels, with rows that have none."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend, hidden
from repr_jax import losses
from repr_jax.data import augment
from repr_jax.estimators import label_propagation, low_density
from repr_jax.estimators import spectral_kernel as spectral
from repr_jax.ops import label_mixing, pseudo_labels

CHECKS: list[Check] = []
check = checks_in(CHECKS)


def _moons(rng, num, noise=0.1, dims=0):
    """[num, 2 + dims] half circles and dimensions of noise; classes in turn."""
    y = np.arange(num) % 2
    angle = np.pi * rng.uniform(size=num)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (1 - 2 * y[:, None])
    x = x + y[:, None] * np.array([1.0, 0.5]) + noise * rng.normal(size=(num, 2))
    return np.float32(np.concatenate([x, noise * rng.normal(size=(num, dims))], 1)), y


def _steep(eigenvalues, exponent):
    """Powers of eigenvalues of which the largest is 1."""
    return spectral.power(eigenvalues / eigenvalues.max(), exponent=exponent)


@functools.cache
def _spectral(seed):
    """Accuracies on moons, 8 labels, 10 draws: s = l, s = l^8, label propagation."""
    rng = np.random.default_rng(seed)
    found = []
    shapes = [functools.partial(_steep, exponent=n) for n in (1, 8)]
    for _ in range(10):
        x, y = _moons(rng, 300)
        labeled = np.arange(300) < 8
        t, label = _moons(rng, 500)
        signs = np.float32(2 * y - 1)[:, None]
        fits = [
            spectral.fit(x, labeled, signs, transform=shape, gamma=10.0, penalty=0.1)
            for shape in shapes
        ]
        right = [
            np.mean((np.asarray(spectral.predict(fitted, t))[:, 0] > 0) == label)
            for fitted in fits
        ]
        spread = label_propagation.fit(
            x, np.where(labeled, y, -1), num_classes=2, gamma=10.0
        )
        right.append(np.mean(np.asarray(label_propagation.predict(spread, t)) == label))
        found.append(right)
    return np.mean(found, axis=0)


@check(
    "spectrally transformed kernel",
    "estimators.spectral_kernel",
    "accuracy on two moons, 8 labels, mean of 10 draws",
    beats="kernel ridge regression",
)
def spectral_kernel(seed):
    return _spectral(seed)[1], _spectral(seed)[0]


@check(
    "label propagation",
    "estimators.label_propagation",
    "accuracy on two moons, 8 labels, mean of 10 draws",
    beats="kernel ridge regression",
)
def propagated(seed):
    return _spectral(seed)[2], _spectral(seed)[0]


@check(
    "low-density separation",
    "estimators.low_density",
    "accuracy, moons in 20 dimensions of noise, 10 labels, 3 rounds",
    beats="the network of 10 labels",
)
def low(seed):
    rng = np.random.default_rng(seed)
    x, y = _moons(rng, 1_000, dims=20)
    t, label = _moons(rng, 1_000, dims=20)
    labeled = np.arange(1_000) < 10
    numbers = dict(widths=(32, 32), num_steps=200)
    params = toys.classifier(seed, x[:10], y[:10], **numbers)
    start = toys.right(apply(params, t), label)
    for round_ in range(3):
        z = hidden(params, x)
        known = np.where(labeled, 2 * y - 1, 0)
        fitted = low_density.fit(z, known)
        scores = np.asarray(low_density.score(fitted, z))
        guessed = np.where(labeled, y, scores > 0)
        params = toys.classifier(seed + round_, x, guessed, **numbers)
    return toys.right(apply(params, t), label), start


@check(
    "robust self-training",
    "losses.robust_hinge",
    "accuracy, 200 dimensions, 10 labels, 1,000 shifted rows without",
    beats="the labels alone",
)
def robust(seed):
    rng = np.random.default_rng(seed)
    mean = toys.unit(rng.normal(size=(1, 200)))
    shift = 0.5 * toys.unit(rng.normal(size=(1, 200)))

    def rows(num, moved):
        x, y = toys.gaussians(rng, num, np.concatenate([-mean, mean]) + moved)
        return x, 2 * y - 1

    (x, y), (u, _), (t, label) = rows(10, 0.0), rows(1_000, shift), rows(4_000, 0.0)

    def fitted(start, weight, num_steps):
        def loss(w, key):
            norm = jnp.sqrt(jnp.sum(w**2) + 1e-12)
            own = losses.robust_hinge(y * (x @ w), norm, gamma=2.0)
            free = losses.robust_hinge(jnp.abs(u @ w), norm, gamma=2.0)
            return own + weight * free

        return descend(loss, start, seed=seed, num_steps=num_steps, rate=3e-3)

    start = 0.01 * jax.random.normal(jax.random.key(seed), (200,))
    own = fitted(start, 0.0, 500)
    _, vectors = np.linalg.eigh(np.cov(u.T))  # the sheet's start of the descent
    leading = vectors[:, -1] * np.sign(vectors[:, -1] @ (y @ x))
    both = fitted(jnp.asarray(np.float32(leading)), 1.0, 500)
    return tuple(
        float(np.mean(np.sign(t @ np.asarray(w)) == label)) for w in (both, own)
    )


SHIFTS = dict(brightness=0.0, contrast=0.0, fill=0.0)


def _views(key, x):
    """A weakly and a strongly moved copy of flat digits."""
    keys = jax.random.split(key, 3)
    images = x.reshape(-1, 14, 14, 1)
    weak = augment.jitter(keys[0], images, shift=0.05, zoom=0.0, **SHIFTS)
    strong = augment.jitter(keys[1], images, shift=0.15, zoom=0.2, **SHIFTS)
    strong = strong * (jax.random.uniform(keys[2], strong.shape) > 0.2)
    return weak.reshape(len(x), -1), strong.reshape(len(x), -1)


@functools.cache
def _few(seed, num=4):
    """`num` labeled digits a class; 4,000 without labels; 2,000 to test on."""
    x, y = toys.some(*toys.digits("train"), range(10), 6_000)
    rows = np.concatenate(
        [np.flatnonzero(y == c)[seed * num :][:num] for c in range(10)]
    )
    t, label = toys.some(*toys.digits("test"), range(10), 2_000)
    return x[rows], y[rows], x[2_000:], t, label


def _trained(seed, loss_of, own, labels, free, num_steps=400):
    """A classifier of loss_of(params, x, y, unlabeled, key), moved by augmentation."""

    def loss(params, key):
        keys = jax.random.split(key, 4)
        some, y = batch(keys[0], own, labels, size=64)
        weak, _ = _views(keys[1], some)
        return loss_of(params, weak, y, batch(keys[2], free)[0], keys[3])

    start = toys.dense(jax.random.key(seed), (196, 128, 64, 10))
    return descend(loss, start, seed=seed, num_steps=num_steps, rate=2e-3)


def _supervised(params, x, y, free, key):
    return losses.cross_entropy(apply(params, x), y)


def _fixmatch(params, x, y, free, key):
    weak, strong = (apply(params, v) for v in _views(key, free))
    return _supervised(params, x, y, free, key) + losses.fixmatch(weak, strong)


@check(
    "FixMatch",
    "losses.fixmatch",
    "accuracy on digits, 4 labels a class",
    beats="the labels alone, with the same views",
)
def fixmatch(seed):
    own, y, free, t, label = _few(seed)
    return tuple(
        toys.right(apply(_trained(seed, loss, own, y, free), t), label)
        for loss in (_fixmatch, _supervised)
    )


def _unmixmatch(params, x, y, free, key):
    """Mixup of the labeled rows with all, contrast of views, and turns."""
    keys = jax.random.split(key, 3)
    weak, strong = _views(keys[0], free)
    _, other = _views(keys[1], free)
    p = jax.nn.softmax(apply(params[0], weak))
    aligned = pseudo_labels.align(p, jnp.full(10, 0.1), p.mean(0))
    guess = jax.lax.stop_gradient(pseudo_labels.sharpen(aligned, 0.5))
    pool = jnp.concatenate([x, weak, strong, other])
    targets = jnp.concatenate([jax.nn.one_hot(y, 10), guess, guess, guess])
    mixed, targets = label_mixing.mixup(keys[2], pool, targets, alpha=0.75)[:2]
    supervised = losses.soft_cross_entropy(
        apply(params[0], mixed[: len(x)]), targets[: len(x)]
    )
    contrast = losses.nt_xent(
        apply(params[1], hidden(params[0], strong)),
        apply(params[1], hidden(params[0], other)),
        temperature=0.5,
    )
    images = free[:32].reshape(-1, 14, 14)
    turned = jnp.concatenate([jnp.rot90(images, k, axes=(1, 2)) for k in range(4)])
    turns = jnp.repeat(jnp.arange(4), 32)
    found = apply(params[2], hidden(params[0], turned.reshape(-1, 196)))
    return supervised + 0.1 * contrast + 0.5 * losses.cross_entropy(found, turns)


@check(
    "UnMixMatch",
    "ops.label_mixing.mixup",
    "accuracy, 4 labels a class, rows without labels of digits 0 to 2 and noise",
    beats="FixMatch",
)
def unmixmatch(seed):
    own, y, free, t, label = _few(seed)
    x, classes = toys.some(*toys.digits("train"), range(10), 18_000)
    chosen = np.flatnonzero((classes < 3) & (np.arange(len(x)) > 6_000))[:2_000]
    noise = np.random.default_rng(seed).uniform(size=(1_000, 196)) < 0.2
    free = np.concatenate([x[chosen], np.float32(noise)])  # unlike the labeled rows

    def loss(params, key):
        keys = jax.random.split(key, 4)
        some, labels = batch(keys[0], own, y, size=64)
        weak, _ = _views(keys[1], some)
        return _unmixmatch(params, weak, labels, batch(keys[2], free)[0], keys[3])

    keys = jax.random.split(jax.random.key(seed), 3)
    start = [
        toys.dense(k, widths)
        for k, widths in zip(keys, ((196, 128, 64, 10), (64, 32), (64, 4)))
    ]
    ours = descend(loss, start, seed=seed, num_steps=400, rate=2e-3)[0]
    other = _trained(seed, _fixmatch, own, y, free)
    return tuple(toys.right(apply(params, t), label) for params in (ours, other))


@check(
    "TAGLETS",
    "losses.soft_cross_entropy",
    "accuracy of one network taught by the mean of 3, 5 labels a class",
    beats="the best of the 3",
)
def taglets(seed):
    own, y, free, t, label = _few(seed, 5)
    turns = toys.simclr(seed, toys.digits("train")[0][2_000:6_000], 300)
    features = [  # of pixels, of a representation, of coarse pixels
        lambda x: x,
        lambda x: np.asarray(hidden(turns, x)),
        lambda x: x.reshape(-1, 7, 2, 7, 2).mean((2, 4)).reshape(len(x), -1),
    ]
    members = [
        toys.classifier(seed + i, f(own), y, num_steps=200)
        for i, f in enumerate(features)
    ]

    def outputs(rows):
        return [jax.nn.softmax(apply(m, f(rows))) for m, f in zip(members, features)]

    taught = np.mean(outputs(free), axis=0)
    every = np.concatenate([own, free])
    targets = np.float32(np.concatenate([np.eye(10)[y], taught]))

    def loss(params, key):
        some, wanted = batch(key, every, targets)
        return losses.soft_cross_entropy(apply(params, some), wanted)

    start = toys.dense(jax.random.key(seed), (196, 128, 64, 10))
    student = descend(loss, start, seed=seed, num_steps=500)
    best = max(toys.right(p, label) for p in outputs(t))
    return toys.right(apply(student, t), label), best
