"""Checks of calibration and uncertainty: sets, temperatures, priors, far away."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import DOWN, Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend, hidden, separation
from repr_jax import losses, metrics
from repr_jax.data import priors
from repr_jax.estimators import (
    conformal_sets,
    knn_distance,
    quantile_region,
    sdm,
    temperature_scaling,
)
from repr_jax.models.set_transformer import SetTransformer
from repr_jax.ops import buckets, calibration_targets, quantiles, uncertainty

CHECKS: list[Check] = []
check = checks_in(CHECKS)


def overtrained(seed, data_dir="", num=2_000):
    """Logits and labels of digits to fit on, and of as many to test; 400 trained on.

    data_dir: see `toys.digits`. num: of both, at most.
    """
    read = functools.partial(toys.digits, data_dir=data_dir)
    x, y = toys.some(*read("train"), range(10), 400)
    t, label = toys.some(*read("test"), range(10), num)
    params = toys.classifier(seed, x, y, num_steps=1_500)
    order, half = np.random.default_rng(seed).permutation(len(t)), len(t) // 2
    logits, label = np.asarray(apply(params, t))[order], label[order]
    return logits[:half], label[:half], logits[half:], label[half:]


@check(
    "temperature scaling",
    "estimators.temperature_scaling",
    "calibration error of a classifier of 400 digits" + DOWN,
    beats="without it",
)
def temperature(seed):
    logits, label, new, truth = overtrained(seed)
    fitted = temperature_scaling.fit(logits, label)

    def error(z):
        p = jax.nn.softmax(z)
        return metrics.expected_calibration_error(p.max(1), p.argmax(1) == truth)

    return error(temperature_scaling.logits(fitted, new)), error(new)


def _coverage(seed, score):
    """|coverage - 0.9| and four standard errors of it, of 20 splits."""
    z, y, new, truth = overtrained(seed)
    logits, labels = np.concatenate([z, new]), np.concatenate([y, truth])
    found = []
    for n in range(20):
        rows = np.random.default_rng(n).permutation(2_000)
        own, other = rows[:500], rows[500:]
        fitted = conformal_sets.fit(
            logits[own], labels[own], miscoverage=0.1, score=score
        )
        inside = conformal_sets.sets(fitted, logits[other], score=score)
        found.append(np.asarray(inside)[np.arange(1_500), labels[other]].mean())
    error = np.std(found) / np.sqrt(20)
    return max(0.9 - np.mean(found), np.mean(found) - 0.9 - 1 / 501, 0), 4 * error


@check(
    "LAC sets",
    "estimators.conformal_sets",
    "distance of coverage from [0.9, 0.9 + 1 / 501]" + DOWN,
    beats="four standard errors",
)
def least_ambiguous(seed):
    return _coverage(seed, conformal_sets.least_ambiguous)


@check(
    "APS sets",
    "estimators.conformal_sets.cumulated",
    "least coverage of a class of digits",
    beats="LAC, whose sets are smaller",
)
def cumulated(seed):
    z, y, new, truth = overtrained(seed)

    def least(score):
        fitted = conformal_sets.fit(z, y, miscoverage=0.1, score=score)
        inside = np.asarray(conformal_sets.sets(fitted, new, score=score))
        right = inside[np.arange(len(new)), truth]
        return min(right[truth == k].mean() for k in range(10))

    return least(conformal_sets.cumulated), least(conformal_sets.least_ambiguous)


@check(
    "conformal quantile",
    "ops.quantiles.conformal",
    "misses beyond 10 % of the next draw, of 20" + DOWN,
    beats="the empirical quantile",
)
def conformal(seed):
    draws = np.random.default_rng(seed).normal(size=(20_000, 20)).astype(np.float32)
    own, following = draws[:, :19], draws[:, 19]
    limit = jax.vmap(lambda s: quantiles.conformal(s, miscoverage=0.1))(own)
    plain = np.quantile(own, 0.9, axis=1)
    return tuple(abs(np.mean(following > cut) - 0.1) for cut in (limit, plain))


@check(
    "CaPE",
    "ops.calibration_targets",
    "squared error of p(y = 1)" + DOWN,
    beats="temperature scaling of the net trained on",
)
def cape(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4_000, 20)).astype(np.float32)
    p = 1 / (1 + np.exp(-2 * np.sin(x[:, 0] * 2) - x[:, 1]))
    y = (rng.uniform(size=4_000) < p).astype(np.int32)
    own, held, test = slice(0, 2_000), slice(2_000, 3_000), slice(3_000, None)

    def error(z):
        return float(np.mean((np.asarray(jax.nn.softmax(z))[:, 1] - p[test]) ** 2))

    early = toys.classifier(seed, x[own], y[own], widths=(128,), num_steps=150)
    late = toys.classifier(seed, x[own], y[own], widths=(128,), num_steps=1_500)
    fitted = temperature_scaling.fit(apply(late, x[held]), y[held])
    other = error(temperature_scaling.logits(fitted, apply(late, x[test])))
    params, best = early, (np.inf, None)
    for cycle in range(8):  # each ends where the loss on held-out rows is judged
        share = jax.nn.softmax(apply(params, x[own]))[:, 1]
        soft = calibration_targets.binned(share, y[own])
        targets = jnp.stack([1 - soft, soft], axis=1)

        def loss(params, key, targets=targets):
            some, wanted, labels = batch(key, x[own], targets, y[own])
            hard = jax.nn.one_hot(labels, 2)
            rare = jax.random.uniform(key) < 1 / 6  # one epoch of six
            wanted = jnp.where(rare, wanted, hard)
            return losses.soft_cross_entropy(apply(params, some), wanted)

        params = descend(loss, params, seed=cycle, num_steps=96)
        held_loss = float(losses.cross_entropy(apply(params, x[held]), y[held]))
        if held_loss < best[0]:
            best = held_loss, params
    return error(apply(best[1], x[test])), other


@check(
    "prior-fitted network",
    "losses.bucketed_nll",
    "nats above the exact Gaussian process, 10 points" + DOWN,
    beats="Gaussian of the context's mean and variance",
)
def prior_fitted(seed):
    key = jax.random.key(seed)
    _, y = priors.gaussian_process(key, 2_000, 5)
    borders = buckets.borders_of(y.ravel(), 50)
    network = SetTransformer(50, dim=32, num_layers=2)
    x, y = priors.gaussian_process(key, 2, 11)
    seen = jnp.arange(11)[None] < 10
    start = network.init(key, x, y, jnp.broadcast_to(seen, y.shape))

    def loss(params, key):
        keys = jax.random.split(key)
        x, y = priors.gaussian_process(keys[0], 32, 12)
        count = jax.random.randint(keys[1], (), 2, 12)
        context = jnp.broadcast_to(jnp.arange(12)[None] < count, y.shape)
        logits = network.apply(params, x, y, context).reshape(-1, 50)
        return losses.bucketed_nll(logits, y.ravel(), borders, where=~context.ravel())

    params = descend(loss, start, seed=seed, num_steps=1_500, rate=2e-3)
    x, y = priors.gaussian_process(jax.random.key(seed + 1_000), 500, 11)
    context = jnp.broadcast_to(seen, y.shape)
    logits = jax.jit(network.apply)(params, x, y, context)[:, 10]
    ours = -np.mean(buckets.log_prob(logits, y[:, 10], borders))
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    parts = zip(x, y)
    exact = np.mean(
        [priors.exact_nll(a[:10], b[:10], a[10:], b[10:])[0] for a, b in parts]
    )
    mean, var = y[:, :10].mean(1), y[:, :10].var(1, ddof=1)
    plain = np.log(2 * np.pi * var) / 2 + (y[:, 10] - mean) ** 2 / (2 * var)
    return ours - exact, np.mean(plain) - exact


@check(
    "SDM",
    "estimators.sdm",
    "share of digits 8 and 9 accepted at 95 %" + DOWN,
    beats="temperature scaling, largest softmax at least 0.95",
)
def similarity(seed):
    known = range(8)
    x, y = toys.some(*toys.digits("train"), known, 3_000)
    held, label = toys.some(*toys.digits("test"), known, 1_600)
    new, _ = toys.some(*toys.digits("test"), (8, 9), 400)
    params = toys.classifier(seed, x, y)
    predicted = jnp.argmax(apply(params, x), axis=1)
    fitted = sdm.fit(hidden(params, x), y, predicted, num_classes=8)

    def measured(rows):
        logits = apply(params, rows)
        q, d = sdm.measure(fitted, hidden(params, rows), jnp.argmax(logits, axis=1))
        p = np.asarray(sdm.probabilities(logits, q, d))
        return np.log(2 + np.asarray(q)) * np.asarray(d), p

    region = sdm.fit_region(*measured(held), label, confidence=0.95)
    ours = sdm.accept(region, *measured(new)).mean()
    scaled = temperature_scaling.fit(apply(params, held), label)
    z = temperature_scaling.logits(scaled, apply(params, new))
    return ours, np.mean(np.asarray(jax.nn.softmax(z)).max(1) >= 0.95)


def _moons(rng, num):
    """Two half circles, and their classes."""
    labels = np.arange(num) % 2
    angle = np.pi * rng.uniform(size=num)
    x = np.c_[np.cos(angle), np.sin(angle)] * np.where(labels, -1, 1)[:, None]
    x += np.where(labels[:, None], [1.0, 0.5], [0.0, 0.0])
    return np.float32(x + 0.1 * rng.normal(size=x.shape)), labels


@check(
    "slopes along rays",
    "metrics.ray_slopes",
    "rays whose slopes foretell the class 1,000 times as far",
    beats="its class where it is",
)
def rays(seed):
    rng = np.random.default_rng(seed)
    params = toys.classifier(seed, *_moons(rng, 1_000))
    x = np.float32(rng.normal(size=(1_000, 2)))

    def classes(scale):
        return jnp.argmax(apply(params, scale * x), axis=1)

    slopes = metrics.ray_slopes(lambda x: apply(params, x), x, scale=100.0)
    ours = jnp.mean(jnp.argmax(slopes, axis=1) == classes(1_000.0))
    return ours, jnp.mean(classes(1.0) == classes(1_000.0))


@check(
    "far from the data",
    "evaluators.rays",
    "AUROC of nearest neighbors, rows 100 times as far",
    beats="better of entropy and mutual information of three networks",
)
def far(seed):
    rng = np.random.default_rng(seed)
    x, y = _moons(rng, 1_000)
    t, _ = _moons(rng, 500)
    away = 100 * np.float32(rng.normal(size=(500, 2)))
    members = [toys.classifier(10 * seed + n, x, y) for n in range(3)]
    logits = [jnp.stack([apply(p, rows) for p in members]) for rows in (t, away)]
    entropy = separation(*(uncertainty.entropy(z[0]) for z in logits))
    between = separation(*(uncertainty.mutual_information(z) for z in logits))
    bank = knn_distance.fit(x)
    near = (knn_distance.score(bank, rows, num_neighbors=5) for rows in (t, away))
    return separation(*near), max(entropy, between)


@check(
    "ST-DQR",
    "estimators.quantile_region",
    "area of regions of a banana that cover 90 %" + DOWN,
    beats="boxes of the same coverage",
)
def region(seed):
    rng = np.random.default_rng(seed)

    def banana(z):  # as a decoder would: of noise, the same for every input
        return np.float32(np.stack([z[..., 0], z[..., 0] ** 2 + 0.3 * z[..., 1]], -1))

    y = banana(rng.normal(size=(2_000, 2)))
    grid = np.float32(np.stack(np.meshgrid(*[np.linspace(-4, 4, 50)] * 2), -1))
    grid = grid.reshape(-1, 2)
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    sides = grid @ np.stack([np.cos(angles), np.sin(angles)])
    inside = quantile_region.in_half_spaces(sides, np.full(64, -1.9, np.float32))
    decoded = banana(grid)

    def spread(rows):
        count = len(rows)
        tiled = np.broadcast_to(decoded, (count, *decoded.shape))
        return tiled, np.broadcast_to(np.asarray(inside), (count, len(decoded)))

    own = y[:500]
    fitted = quantile_region.fit(own, *spread(own), miscoverage=0.1)
    plane = np.stack(np.meshgrid(np.linspace(-5, 5, 60), np.linspace(-3, 15, 60)), -1)
    plane = np.float32(plane.reshape(-1, 2))
    covers = [
        np.asarray(quantile_region.contains(fitted, part, *spread(part)))
        for part in np.split(plane, 12)
    ]
    cell = (10 / 59) * (18 / 59)
    center, scale = own.mean(0), own.std(0)
    away = np.float32(np.abs((own - center) / scale).max(1))
    side = 2 * float(quantiles.conformal(away, miscoverage=0.1)) * scale
    return cell * np.concatenate(covers).sum(), side.prod()


@check(
    "Inv-Entropy",
    "metrics.inverse_entropy",
    "share of 200 items that rise as answers disperse",
    beats="chance",
)
def inverse_entropy(seed):
    rng = np.random.default_rng(seed)

    def value(spread):
        x, y = (np.ones(8) + s * rng.normal(size=(200, 10, 8)) for s in (1.0, spread))
        return jax.vmap(metrics.inverse_entropy)(np.float32(x), np.float32(y))

    return np.mean(np.asarray(value(1.5)) > np.asarray(value(0.3))), 0.5
