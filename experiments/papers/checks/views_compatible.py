"""Checks of updated models whose features must work with those that are stored."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import DOWN, Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend, unit
from repr_jax import losses, metrics, optim
from repr_jax.ops import orthogonal, simplex

CHECKS: list[Check] = []
check = checks_in(CHECKS)


EXTRA = 8  # dimensions of the small head


def _cross(queries, gallery, labels) -> float:
    """Mean average precision of features of one model among those of another."""
    scores = unit(np.asarray(queries)) @ unit(np.asarray(gallery)).T
    same, others = labels[:, None] == labels, ~np.eye(len(labels), dtype=bool)
    return float(metrics.mean_average_precision(scores, same, where=others))


def _cosines(z, prototypes, scale=10.0):
    """Logits of a classifier of unit features."""
    norm = jnp.sqrt(jnp.sum(z**2, axis=1, keepdims=True) + 1e-12)
    return scale * (z / norm) @ prototypes.T


def _fitted(seed, x, y, dim, classes):
    """A network and the classifier of its unit features."""
    start = 0.1 * jax.random.normal(jax.random.key(seed), (classes, dim))

    def loss(z, labels, prototypes):
        return losses.cross_entropy(_cosines(z, prototypes), labels)

    return toys.embedding(seed, x, y, loss, widths=(128, dim), more=start)


@functools.cache
def _models(seed):
    """Digits; a model of 0 to 4 in 16 dimensions, one of all in 32, BT2 and BCT."""
    x, y = toys.some(*toys.digits("train"), range(10), 4_000)
    t, label = toys.some(*toys.digits("test"), range(10), 1_000)
    old, line = _fitted(seed, x[y < 5], y[y < 5], 16, 5)
    new, _ = _fitted(seed + 1, x, y, 32, 10)
    stored, reference = (np.asarray(apply(p, x)) for p in (old, new))
    keys = jax.random.split(jax.random.key(seed + 2), 5)
    classifier = 0.1 * jax.random.normal(keys[0], (10, 32))
    line = 10 * line  # of unit features

    def basis(params, rows):
        network, small, first, second, _ = params
        features = apply(network, rows)
        rotations = orthogonal.rotation(first), orthogonal.rotation(second)
        small = apply(small, rows)
        return features, orthogonal.transformed_basis(features, small, *rotations)

    def of_basis(params, key):
        some, labels, kept, wanted = batch(key, x, y, stored, reference)
        features, out = basis(params, some)
        return losses.backward_compatible(
            features, out[:, :16], labels, 10 * params[-1],
            old_features=kept, old_classifier=line, reference=wanted,
        )  # fmt: skip

    def of_features(params, key):  # BCT, in the first 16 dimensions
        network, classifier = params
        some, labels, kept, wanted = batch(key, x, y, stored, reference)
        z = apply(network, some)
        return losses.backward_compatible(
            z, z[:, :16], labels, 10 * classifier, old_features=kept,
            old_classifier=line, reference=wanted, old_weight=0.0, reference_weight=0.0,
        )  # fmt: skip

    start = (
        toys.dense(keys[1], (196, 128, 32)),
        toys.dense(keys[2], (196, 64, EXTRA)),
        0.1 * jax.random.normal(keys[3], (32, 32)),
        0.1 * jax.random.normal(keys[4], (16, 16)),
        classifier,
    )
    ours = descend(of_basis, start, seed=seed, num_steps=600)
    bct, _ = descend(of_features, (start[0], classifier), seed=seed, num_steps=600)
    found = dict(
        old=apply(old, t),
        new=apply(new, t),
        ours=basis(ours, t)[1],
        bct=apply(bct, t),
    )
    return {name: np.asarray(z) for name, z in found.items()}, label


@check(
    "BT2",
    "losses.backward_compatible",
    "mAP of new features alone, digits, 5 of 10 classes are new",
    beats="BCT",
)
def new_to_new(seed):
    found, label = _models(seed)
    return tuple(_cross(found[k], found[k], label) for k in ("ours", "bct"))


@check(
    "BT2 with stored features",
    "ops.orthogonal.transformed_basis",
    "mAP of new features among old ones",
    beats="old features among old ones",
)
def new_to_old(seed):
    found, label = _models(seed)
    return tuple(_cross(found[k][:, :16], found["old"], label) for k in ("ours", "old"))


@functools.cache
def _updating():
    """A compiled update: (network, learned, stored, numbers, key) -> both.

    Rows are in the order of their classes, so that a model of some has the first ones.
    Numbers: how many rows and classes, classes of the old model, whether the classifier
    is the simplex, and the weight of HOC.
    """
    x, y = toys.some(*toys.digits("train"), range(10), 4_000)
    order = np.argsort(y, kind="stable")
    x, y = x[order], y[order]
    vertices = jnp.asarray(simplex.vertices(32))[::-1][:10]
    optimizer = optim.adam_cosine(peak=1e-3, num_steps=250)

    @jax.jit
    def run(params, stored, numbers, key):
        num_rows, num_classes, seen, fixed, weight = numbers

        def loss(params, extras, key, step):
            network, learned = params
            rows = jax.random.randint(key, (128,), 0, num_rows)
            labels = jnp.asarray(y)[rows]
            z = apply(network, jnp.asarray(x)[rows])
            logits = _cosines(z, jnp.where(fixed, vertices, learned))
            logits = jnp.where((jnp.arange(10) < num_classes)[None] | fixed, logits, -9)
            hoc = losses.hoc(z, stored[rows], labels, where=labels < seen)
            found = losses.cross_entropy(logits, labels)
            return (1 - weight) * found + weight * hoc, extras

        state = optim.start_descent(params, optimizer, num_steps=250)
        return optim.descend(
            loss, state, key=key, optimizer=optimizer, until=250
        ).params

    return run, x, y


@functools.cache
def _updates(seed, fixed: bool, weight: float):
    """Average compatibility of models of 4, 6, 8 and 10 digits, by mAP."""
    run, x, y = _updating()
    t, label = toys.some(*toys.digits("test"), range(10), 600)
    keys = jax.random.split(jax.random.key(seed), 5)
    params = (
        toys.dense(keys[0], (196, 128, 31)),
        0.2 * jax.random.normal(keys[0], (10, 31)),
    )
    features, seen = [], 0
    for key, count in zip(keys[1:], (4, 6, 8, 10)):
        num_rows = int(np.sum(y < count))
        numbers = num_rows, count, seen, fixed, weight if seen else 0.0
        params = run(params, apply(params[0], x), numbers, key)
        features.append(apply(params[0], t))
        seen = count
    found = [[_cross(q, g, label) for g in features] for q in features]
    return float(metrics.average_compatibility(np.float32(found)))


@check(
    "d-Simplex and HOC",
    "losses.hoc",
    "average compatibility, 4 models of 4 to 10 digits",
    beats="learned classifiers",
)
def simplexes(seed):
    return _updates(seed, True, 0.9), _updates(seed, False, 0.0)


@check(
    "average compatibility",
    "metrics.average_compatibility",
    "share of updates that work with the older gallery, simplex alone",
    beats="learned classifiers",
)
def compatibility(seed):
    return _updates(seed, True, 0.0), _updates(seed, False, 0.0)


@functools.cache
def _adapters(seed):
    """Norms of W^T W - I and, of new classes and of old ones, mAP after an adapter.

    An adapter of features of all digits to those of 0 to 4, learned on 0 to 4 with a
    penalty: none, a threshold of 2, one of 0. Features of the same dimension.
    """
    x, y = toys.some(*toys.digits("train"), range(10), 4_000)
    t, label = toys.some(*toys.digits("test"), range(10), 1_000)
    old, _ = _fitted(seed, x[y < 5], y[y < 5], 16, 5)
    new, _ = _fitted(seed + 1, x, y, 16, 10)
    a, b = (unit(np.asarray(apply(p, x[y < 5]))) for p in (new, old))
    rows, kept = (unit(np.asarray(apply(p, t))) for p in (new, old))
    known = label < 5

    def adapted(penalty):
        def loss(params, key):
            w, bias = params
            some, wanted = batch(key, a, b)
            z = some @ w + bias[None]
            fit = jnp.mean(jnp.sum((z - wanted) ** 2, axis=1))
            return fit + 0.1 * penalty(w)

        start = jnp.eye(16), jnp.zeros(16)
        w, bias = descend(loss, start, seed=seed, num_steps=800, rate=3e-3)
        z = rows @ np.asarray(w) + np.asarray(bias)
        return (
            float(jnp.linalg.norm(w.T @ w - jnp.eye(16))),
            _cross(z[known], kept[known], label[known]),
            toys.retrieval(z[~known], label[~known]),
        )

    def soft(threshold):
        return adapted(lambda w: losses.soft_orthogonality(w, threshold=threshold))

    return adapted(lambda w: 0.0), soft(1.5), soft(0.0)


@check(
    "lambda-orthogonality",
    "losses.soft_orthogonality",
    "distance of W^T W from I, threshold 1.5" + DOWN,
    beats="an affine adapter",
)
def norms(seed):
    affine, middle, _ = _adapters(seed)
    return middle[0], affine[0]


@check(
    "lambda-orthogonality between models",
    "losses.soft_orthogonality",
    "mAP of adapted features among old ones, threshold 1.5",
    beats="threshold 0, an orthogonal adapter",
)
def between(seed):
    _, middle, orthogonal_one = _adapters(seed)
    return middle[1], orthogonal_one[1]


@check(
    "lambda-orthogonality of new classes",
    "losses.soft_orthogonality",
    "mAP of adapted features of new digits alone, threshold 1.5",
    beats="an affine adapter",
)
def zero_shot(seed):
    affine, middle, _ = _adapters(seed)
    return middle[2], affine[2]
