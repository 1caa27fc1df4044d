"""Checks of measures of representations and images, and of unlearning."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import DOWN, Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend, hidden
from repr_jax import losses, metrics
from repr_jax.evaluators import few_labels, linear_probe

CHECKS: list[Check] = []
check = checks_in(CHECKS)


@check(
    "EEE and VRM",
    "metrics.eigenvalue_enrichment",
    "change under a shift of all rows" + DOWN,
    beats="change of the mean cosine",
)
def spread(seed):
    x = np.float32(np.random.default_rng(seed).normal(size=(1_000, 20)))
    return tuple(
        abs(float(f(x + 10)) - float(f(x)))
        for f in (metrics.eigenvalue_enrichment, metrics.average_cosine)
    )


@check(
    "persistence score",
    "metrics.persistence_score",
    "minus the rank correlation with the Fisher ratio, sets of any scale",
    beats="that of the mean distance of rows",
)
def persistence(seed):
    rng = np.random.default_rng(seed)
    centers = 3 * rng.normal(size=(4, 8))
    spreads = np.geomspace(2.0, 0.05, 12)
    scales = rng.uniform(0.2, 5, size=12)  # features have no unit
    sets = [
        c * toys.gaussians(rng, 200, centers, s)[0] for c, s in zip(scales, spreads)
    ]
    scores = np.float32([metrics.persistence_score(x) for x in sets])
    distance = np.float32([np.linalg.norm(x[:, None] - x, axis=2).mean() for x in sets])
    fisher = np.float32(1 / spreads)
    return tuple(-metrics.spearman(s, fisher) for s in (scores, distance))


@check(
    "uMSE",
    "metrics.unsupervised_mse",
    "relative distance to the true error, 20,000 pixels" + DOWN,
    beats="the error to another noisy copy",
)
def denoised(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(1, 20_000))
    y, a, b, c = np.float32(x + 0.3 * rng.normal(size=(4, 1, 20_000)))
    found = np.float32(0.8) * y + np.float32(0.1)
    true = np.mean((found - x) ** 2)
    ours = float(metrics.unsupervised_mse(found, a, b, c))
    return abs(ours / true - 1), abs(np.mean((found - a) ** 2) / true - 1)


@check(
    "uniformity gap",
    "metrics.uniformity_gap",
    "rank correlation with the skew, 9 images a prompt",
    beats="that of the share of the first attribute",
)
def gap(seed):
    rng = np.random.default_rng(seed)
    skews = np.linspace(0, 0.6, 15)
    gaps, firsts = [], []
    for skew in skews:
        shares = np.full((40, 4), (1 - skew) / 4)
        shares[np.arange(40), rng.integers(4, size=40)] += skew
        counts = np.stack([rng.multinomial(9, p) for p in shares])
        gaps.append(metrics.uniformity_gap(counts).mean())
        firsts.append(counts[:, 0].mean())
    return tuple(
        metrics.spearman(np.float32(values), np.float32(skews))
        for values in (gaps, firsts)
    )


@check(
    "few labels",
    "evaluators.few_labels",
    "gain of SimCLR over pixels, 1 % of 2,000 labels",
    beats="100 % of them",
)
def few(seed):
    (x, y), (t, label) = (toys.digits(split) for split in ("train", "test"))
    x, y = x[:2_000], y[:2_000]
    params = toys.simclr(seed, x, 400)

    def accuracies(features):
        found = {}
        for fraction in (0.01, 1.0):
            rows = few_labels.rows_of_fraction(y, fraction, seed)
            score = linear_probe.score(features(x[rows]), y[rows], features(t), label)
            found[str(fraction)] = score.accuracy
        return found

    ours = accuracies(lambda x: np.asarray(hidden(params, x.reshape(len(x), -1))))
    gains = few_labels.gaps(ours, accuracies(lambda x: x.reshape(len(x), -1)))
    return gains["0.01"], gains["1.0"]


@check(
    "AUPRO",
    "metrics.aupro",
    "drop where small regions are missed",
    beats="drop of the AUROC of pixels",
)
def aupro(seed):
    rng = np.random.default_rng(seed)
    masks = np.zeros((20, 32, 32), bool)
    masks[:, 2:18, 2:18] = True  # a large region, and three small ones
    small = np.zeros_like(masks)
    for row in (22, 25, 28):
        small[:, row : row + 2, 26:28] = True
    regions = metrics.regions(masks | small)
    noise = rng.normal(size=masks.shape)

    def both(found):
        maps = np.float32(noise + 4 * found)
        pixels = metrics.auroc(maps.ravel(), regions.ravel() > 0)
        return metrics.aupro(maps, regions), float(pixels)

    (all_pro, all_pixels), (pro, pixels) = both(masks | small), both(masks)
    return all_pro - pro, all_pixels - pixels


@check(
    "LAF",
    "losses.forget_extract",
    "accuracy on other digits less that on the forgotten 3",
    beats="before forgetting",
)
def forgotten(seed):
    x, y = toys.some(*toys.digits("train"), range(10), 2_000)
    t, label = toys.some(*toys.digits("test"), range(10), 1_000)
    params = toys.classifier(seed, x, y)
    keep, drop = x[y != 3], x[y == 3]
    scale = float(hidden(params, x).max())

    def features(params, rows):
        return hidden(params, rows) / scale

    def autoencoder(rows, width=8):  # of noisy codes, in place of a VAE
        z = features(params, rows)

        def loss(coder, key):
            some = batch(key, z)[0]
            noise = 0.1 * jax.random.normal(key, (len(some), width))
            code = apply(coder[0], some) + noise
            return jnp.mean((jax.nn.sigmoid(apply(coder[1], code)) - some) ** 2)

        keys = jax.random.split(jax.random.key(seed))
        start = [toys.dense(keys[0], (64, 64, width))]
        start += [toys.dense(keys[1], (width, 64, 64))]
        coder = descend(loss, start, seed=seed, num_steps=500, rate=3e-3)
        return lambda z: jax.nn.sigmoid(apply(coder[1], apply(coder[0], z)))

    of_keep, of_drop = autoencoder(keep), autoencoder(drop)

    def loss(moved, key):
        keys = jax.random.split(key)
        kept, lost = batch(keys[0], keep)[0], batch(keys[1], drop)[0]
        g, f = features(moved, kept), features(moved, lost)
        extract = losses.forget_extract(g, of_keep(g), f, of_drop(f))
        old = (features(params, rows) for rows in (kept, lost))
        (g0, f0) = old
        return extract + losses.forget_align(g, g0, f, f0)

    moved = descend(loss, params, seed=seed, num_steps=300, rate=3e-4)

    def gap(params):
        right = np.argmax(np.asarray(apply(params, t)), axis=1) == label
        return right[label != 3].mean() - right[label == 3].mean()

    return gap(moved), gap(params)


@check(
    "unlearning in representations",
    "evaluators.unlearning",
    "CKA to the original after forgetting in the head alone",
    beats="a network trained without digit 3",
)
def representations(seed):
    x, y = toys.some(*toys.digits("train"), range(10), 2_000)
    params = toys.classifier(seed, x, y)
    rest = y != 3
    again = toys.classifier(seed, x[rest], y[rest])

    def loss(head, key):
        some, labels = batch(key, x[rest], y[rest])
        z = apply([*params[:-1], head], some)
        return losses.cross_entropy(z, labels) + jnp.mean(jnp.exp(z[:, 3]))

    head = descend(loss, params[-1], seed=seed, num_steps=200)
    original = hidden(params, x)
    return tuple(
        metrics.linear_cka(original, hidden(other, x))
        for other in ([*params[:-1], head], again)
    )
