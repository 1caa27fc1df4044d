"""Checks of losses that train a classifier to notice what it does not know."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

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
    knn_distance,
)
from repr_jax.ops import prototypes, uncertainty

CHECKS: list[Check] = []
check = checks_in(CHECKS)


KNOWN, EXPOSED, NEW = range(6), (6, 7), (8, 9)  # digits


AUROC = "AUROC, digits 8 and 9"


def _texts(seed):
    """Unit texts of 20 classes, texts of words, and images of rows known and not."""
    rng = np.random.default_rng(seed)
    classes, words = unit(rng.normal(size=(20, 32))), unit(rng.normal(size=(2_000, 32)))
    near = rng.integers(20, size=200)  # words that mean nearly a class
    words[:200] = unit(classes[near] + 0.1 * rng.normal(size=(200, 32)))
    gap = 0.7 * unit(rng.normal(size=(1, 32)))

    def images(texts):
        return unit(texts + gap + 0.12 * rng.normal(size=texts.shape))

    known = images(np.repeat(classes, 25, axis=0))
    return classes, words, known, images(unit(rng.normal(size=(500, 32))))


@check(
    "HFTT",
    "losses.textual_outliers",
    "AUROC, images of other texts",
    beats="largest softmax over the class texts",
)
def hftt(seed):
    classes, words, known, new = _texts(seed)

    def loss(w, key):
        some = batch(key, words, size=256)[0]
        return losses.textual_outliers(classes, some, classes, w, temperature=0.01)

    start = jax.random.normal(jax.random.key(seed), (10, 32))
    w = descend(loss, start, seed=seed, num_steps=300, rate=0.03)
    share = (
        metrics.textual_share(x, classes, w, temperature=0.01) for x in (known, new)
    )
    plain = (uncertainty.max_softmax(x @ classes.T / 0.01) for x in (known, new))
    return separation(*share), separation(*plain)


@functools.cache
def _digits(seed):
    """Rows to train on and to test, outliers shown and new ones; a classifier."""
    x, y = toys.some(*toys.digits("train"), KNOWN, 2_000)
    t, label = toys.some(*toys.digits("test"), KNOWN, 1_000)
    shown = toys.some(*toys.digits("train"), EXPOSED, 1_000)[0]
    new = toys.some(*toys.digits("test"), NEW, 1_000)[0]
    return x, y, t, label, shown, new, toys.classifier(seed, x, y)


def _exposed(seed, loss_of, score=uncertainty.max_softmax):
    """AUROC on new digits after 300 more steps of loss_of(params, x, y, o, key)."""
    x, y, t, _, shown, new, start = _digits(seed)

    def loss(params, key):
        keys = jax.random.split(key, 3)
        return loss_of(params, *batch(keys[0], x, y), *batch(keys[1], shown), keys[2])

    params = descend(loss, start, seed=seed, num_steps=300)
    return separation(*(score(apply(params, x)) for x in (t, new)))


@check(
    "outlier exposure",
    "losses.outlier_exposure",
    AUROC,
    beats="before it saw digits 6 and 7",
)
def exposure(seed):
    def loss(params, x, y, o, key):
        return losses.outlier_exposure(apply(params, x), y, apply(params, o))

    _, _, t, _, _, new, start = _digits(seed)
    return _exposed(seed, loss), msp(start, t, new)


@check(
    "MixOE", "losses.mixture_outlier_exposure", AUROC, beats="outliers without mixing"
)
def mixed(seed):
    def plain(params, x, y, o, key):
        return losses.outlier_exposure(apply(params, x), y, apply(params, o))

    def mixture(params, x, y, o, key):
        both, share = augment.mix(key, *(a[..., None, None] for a in (x, o)))
        logits = apply(params, both[..., 0, 0])
        return losses.mixture_outlier_exposure(apply(params, x), y, logits, share)

    return _exposed(seed, mixture), _exposed(seed, plain)


@check("energy margins", "losses.energy_margins", AUROC, beats="energy, without them")
def margins(seed):
    def loss(params, x, y, o, key):
        numbers = dict(inlier_margin=-12.0, outlier_margin=-5.0)
        return losses.energy_margins(apply(params, x), y, apply(params, o), **numbers)

    _, _, t, _, _, new, start = _digits(seed)
    before = separation(*(uncertainty.energy(apply(start, x)) for x in (t, new)))
    return _exposed(seed, loss, uncertainty.energy), before


@check(
    "MS-OOD",
    "metrics.model_specific_targets",
    "rise of AUROC of the largest softmax from new classes alone to all rejects",
    beats="the same rise of nearest neighbors",
)
def model_specific(seed):
    x, _, t, label, _, new, params = _digits(seed)
    rng = np.random.default_rng(seed)
    noisy = np.clip(t + 0.35 * rng.normal(size=t.shape), 0, 1).astype(np.float32)
    rows = np.concatenate([t, noisy, new])
    labels = np.concatenate([label, label, np.full(len(new), -1)])
    logits = apply(params, rows)
    rejects = metrics.model_specific_targets(jnp.argmax(logits, axis=1), labels)
    bank = knn_distance.fit(unit(hidden(params, x) + 1e-6))
    near = knn_distance.score(bank, unit(hidden(params, rows) + 1e-6))
    return tuple(
        float(metrics.auroc(s, rejects) - metrics.auroc(s, labels < 0))
        for s in (uncertainty.max_softmax(logits), near)
    )


@check(
    "SCONE",
    "losses.energy_margin_outliers",
    "accuracy on shifted rows, margin -10",
    beats="margin 0, which is WOODS",
)
def scone(seed):
    rng = np.random.default_rng(seed)
    centers = 3 * rng.normal(size=(4, 8))
    turned = centers + 1.8 * unit(rng.normal(size=(1, 8)))
    x, y = toys.gaussians(rng, 1_000, centers)
    shifted, _ = toys.gaussians(rng, 1_000, turned)
    new, _ = toys.gaussians(rng, 200, 3 * rng.normal(size=(3, 8)))
    wild = np.concatenate([x[:800], shifted[:1_000], new])
    start = toys.classifier(seed, x, y, num_steps=300)
    numbers = dict(multipliers=jnp.zeros(2), weights=jnp.ones(2))
    numbers["loss_tolerance"] = 2 * losses.cross_entropy(apply(start, x), y)

    def trained(margin):
        def loss(params, key):
            keys, (network, line) = jax.random.split(key), params
            own, labels = batch(keys[0], x, y)
            logits, other = (
                apply(network, rows) for rows in (own, *batch(keys[1], wild))
            )
            return losses.energy_margin_outliers(
                logits, labels, other, *line, margin=margin, **numbers
            )

        line = jnp.array(-1.0), jnp.array(0.0)
        network, _ = descend(loss, (start, line), seed=seed, num_steps=500)
        shown, labels = toys.gaussians(np.random.default_rng(seed + 1), 1_000, turned)
        predicted = jnp.argmax(apply(network, shown), axis=1)
        return metrics.accuracy(predicted, labels)

    return trained(-10.0), trained(0.0)


@check(
    "SSOD",
    "losses.background_outliers",
    "AUROC, other digits on a texture",
    beats="largest softmax of the same network",
)
def background(seed):
    rng = np.random.default_rng(seed)

    def scenes(x):
        noise = rng.uniform(size=(len(x), 16, 16)) * 0.5
        images = np.float32(noise * (np.indices((16, 16)).sum(0) % 4 < 2))
        for image, digit, (i, j) in zip(images, x, rng.integers(9, size=(len(x), 2))):
            image[i : i + 8, j : j + 8] = digit
        return images[..., None]

    (x, y), (t, label) = (toys.digits(split, 8) for split in ("train", "test"))
    rows, known, other = y < 5, label < 5, label >= 5
    x, y, t, new = (
        scenes(x[rows][:2_000]),
        y[rows][:2_000],
        *map(scenes, (t[known][:500], t[other][:500])),
    )
    keys = jax.random.split(jax.random.key(seed), 5)
    start = {
        "layers": [
            toys.dense(k, (9 * n, m))[0]
            for k, n, m in zip(keys, (1, 16, 32), (16, 32, 32))
        ],
        "head": toys.dense(keys[3], (32, 5)),
        "own": toys.dense(keys[4], (32, 1)),
    }

    def cells(params, x):
        for (kernel, bias), stride in zip(params["layers"], (1, 2, 1)):
            x = jax.nn.relu(toys.windows(x)[:, ::stride, ::stride] @ kernel + bias)
        return x

    def outputs(params, x):
        h = cells(params, x)
        pooled = h.mean((1, 2))
        return h, apply(params["head"], pooled), apply(params["own"], pooled)[:, 0]

    def fitting(weight):
        def loss(params, key):
            some, labels = batch(key, x, y, size=64)
            h, logits, _ = outputs(params, some)
            own = apply(params["own"], h)[..., 0]
            found = losses.background_outliers(
                apply(params["head"], h), own, labels, threshold=0.9
            )
            return losses.cross_entropy(logits, labels) + weight * found

        return loss

    params = descend(fitting(0.0), start, seed=seed, num_steps=400, rate=3e-3)
    params = descend(fitting(1.0), params, seed=seed, num_steps=300)
    found = [outputs(params, images)[1:] for images in (t, new)]
    ours = (jax.nn.sigmoid(own) * (uncertainty.max_softmax(z) - 1) for z, own in found)
    return separation(*ours), separation(
        *(uncertainty.max_softmax(z) for z, _ in found)
    )


@check(
    "PALM",
    "losses.palm",
    "AUROC of nearest neighbors, 3 prototypes a class",
    beats="1 prototype a class",
)
def palm(seed):
    rng = np.random.default_rng(seed)
    centers = 2.5 * rng.normal(size=(15, 8))  # three modes a class, class j % 5
    x, modes = toys.gaussians(rng, 3_000, centers)
    t, _ = toys.gaussians(rng, 600, centers)
    new, _ = toys.gaussians(rng, 600, 2.5 * rng.normal(size=(15, 8)))
    y = modes % 5

    def auroc(count):
        owners = np.arange(5 * count) % 5
        keys = jax.random.split(jax.random.key(seed))
        optimizer = optax.adam(1e-3)
        network = toys.dense(keys[0], (8, 64, 16))
        start = (
            network,
            jnp.asarray(unit(jax.random.normal(keys[1], (len(owners), 16)))),
        )

        def loss(network, held, some, labels):
            z = apply(network, some)
            weights = prototypes.assign(z, held, labels, owners)
            moved = prototypes.update(held, z, weights, decay=0.99)
            return losses.palm(z, moved, owners, weights), moved

        @jax.jit
        def step(i, state):
            network, held, moments = state
            some = batch(jax.random.fold_in(keys[0], i), x, y)
            grads, held = jax.grad(loss, has_aux=True)(network, held, *some)
            moves, moments = optimizer.update(grads, moments)
            held = jax.lax.stop_gradient(held)
            return optax.apply_updates(network, moves), held, moments

        state = *start, optimizer.init(network)
        network = jax.lax.fori_loop(0, 1_000, step, state)[0]
        bank = knn_distance.fit(unit(apply(network, x)))
        return separation(
            *(knn_distance.score(bank, unit(apply(network, r))) for r in (t, new))
        )

    return auroc(3), auroc(1)


@check(
    "evidential cross-entropy",
    "losses.evidential_cross_entropy",
    "AUROC of the vacuity, far rows",
    beats="largest softmax after cross-entropy",
)
def evidence(seed):
    rng = np.random.default_rng(seed)
    centers = 3 * rng.normal(size=(4, 4))
    x, y = toys.gaussians(rng, 2_000, centers)
    t, _ = toys.gaussians(rng, 500, centers)
    new = np.float32(4 * rng.normal(size=(500, 4)))

    def loss(params, key):
        some, labels = batch(key, x, y)
        evidence = jax.nn.softplus(apply(params, some))
        return losses.evidential_cross_entropy(evidence, labels)

    start = toys.dense(jax.random.key(seed), (4, 64, 64, 4))
    params = descend(loss, start, seed=seed, num_steps=600)
    vacuity = (uncertainty.vacuity(jax.nn.softplus(apply(params, x))) for x in (t, new))
    return separation(*vacuity), msp(toys.classifier(seed, x, y), t, new)
