"""Checks of anomaly detection in rows: events, guided features, queries."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import DOWN, Check, checks_in
from experiments.papers.checks.toys import (
    apply,
    batch,
    descend,
    separation,
    unit,
)
from repr_jax import losses, metrics
from repr_jax.estimators import (
    deep_svdd,
    diverse_query,
    event_embedding,
    knn_distance,
)
from repr_jax.ops import concepts

CHECKS: list[Check] = []
check = checks_in(CHECKS)


@check(
    "APE",
    "estimators.event_embedding",
    "AUROC, 2 % illegal pairs of frequent entities",
    beats="better of rare pairs and rare entities",
)
def events(seed):
    rng, num, half = np.random.default_rng(seed), 4_000, 40
    x = rng.zipf(1.4, size=(num, 4)) % half
    group = rng.integers(4, size=(2, half))  # types 1 and 2 go together by group
    allowed = [np.flatnonzero(group[1] == group[0][a]) for a in x[:, 1]]
    x[:, 2] = [rng.choice(c) if len(c) else 0 for c in allowed]
    bad = rng.permutation(num)[: num // 50]
    for row in bad:
        others = np.flatnonzero(group[1] != group[0][x[row, 1]])
        x[row, 2] = others[rng.integers(len(others))]
    illegal = np.isin(np.arange(num), bad)
    fitted = event_embedding.fit(jax.random.key(seed), x, num_entities=half)
    scores = event_embedding.score(fitted, x)

    def rarity(*columns):
        table = np.ravel_multi_index([x[:, c] for c in columns], (half,) * len(columns))
        _, place, count = np.unique(table, return_inverse=True, return_counts=True)
        return -np.log(count[place])

    pairs = [rarity(i, j) for i in range(4) for j in range(i)]
    single = sum(rarity(i) for i in range(4))
    found = (metrics.auroc(s, illegal) for s in (scores, sum(pairs), single))
    ours, *others = (float(value) for value in found)
    return ours, max(others)


def _shapes_and_colors(seed):
    """Embeddings of rows of each (shape, color), in equal parts; prompts of both."""
    rng = np.random.default_rng(seed)
    shapes, colors = rng.normal(size=(2, 4, 32))

    def rows(shape, color):
        noise = 0.5 * rng.normal(size=(200, 32))
        return unit(shapes[shape] + colors[color] + noise)

    prompts = unit(shapes + 0.1 * rng.normal(size=(4, 32)))
    return rows(0, 0), rows(0, 0), rows(1, 0), rows(0, 1), prompts


def _neighbors(train, *others):
    """Mean cosine distance to 30 rows, as half of the squared distance."""
    fitted = knn_distance.fit(unit(np.asarray(train)))
    return [
        knn_distance.mean_score(fitted, unit(np.asarray(x)), num_neighbors=30)
        for x in others
    ]


@check(
    "LAFT",
    "ops.concepts",
    "AUROC of new shapes against new colors, guided by shape",
    beats="features as they are",
)
def guided(seed):
    train, _, shapes, colors, prompts = _shapes_and_colors(seed)
    basis = concepts.basis(concepts.pairwise_directions(prompts), 3)
    guided = (concepts.onto(x, basis) for x in (train, colors, shapes))
    return separation(*_neighbors(*guided)), separation(
        *_neighbors(train, colors, shapes)
    )


@check(
    "mean-shifted contrast",
    "losses.mean_shifted",
    "AUROC of nearest neighbors, one class in a narrow cone",
    beats="NT-Xent",
)
def shifted(seed):
    rng = np.random.default_rng(seed)
    cone = 2 * unit(rng.normal(size=(1, 32)))
    mix = rng.normal(size=(32, 32)) / 6

    def rows(num, center):
        return unit(cone + (center + rng.normal(size=(num, 32)) * 0.5) @ mix)

    normal, other = 0.5 * rng.normal(size=(2, 32))
    train, t, new = rows(1_000, normal), rows(300, normal), rows(300, other)
    center = train.mean(0)

    def trained(loss_of):
        def loss(matrix, key):
            keys = jax.random.split(key, 3)
            some = batch(keys[0], train)[0]
            noise = 0.05 * jax.random.normal(keys[1], (2, *some.shape))
            return loss_of(*(unit_of((some + n) @ matrix) for n in noise))

        matrix = descend(loss, jnp.eye(32), seed=seed, num_steps=300, rate=1e-3)
        return separation(*_neighbors(*(x @ matrix for x in (train, t, new))))

    def unit_of(x):
        return x / jnp.linalg.norm(x, axis=1, keepdims=True)

    ours = trained(lambda a, b: losses.mean_shifted(a, b, center))
    return ours, trained(lambda a, b: losses.nt_xent(a, b, temperature=0.25))


def _table(seed):
    """Rows of a table of which a tenth are anomalies, of several kinds."""
    rng = np.random.default_rng(seed)
    x, _ = toys.gaussians(rng, 900, 2 * rng.normal(size=(4, 8)))
    bad, _ = toys.gaussians(rng, 100, 5 * rng.normal(size=(10, 8)), 0.3)
    return np.concatenate([x, bad]), np.arange(1_000) >= 900


@check(
    "diverse queries",
    "estimators.diverse_query",
    "share of kinds of anomalies among 20 queries",
    beats="random queries",
)
def queries(seed):
    x, bad = _table(seed)
    kinds = np.where(bad, np.arange(1_000) % 10, -1)
    ours = diverse_query.fit(jax.random.key(seed), x, num_queries=20).rows
    random = np.random.default_rng(seed).permutation(1_000)[:20]
    return tuple(
        len(set(kinds[np.asarray(rows)]) - {-1}) / 10 for rows in (ours, random)
    )


@check(
    "contamination",
    "estimators.diverse_query.contamination",
    "median error of the share of anomalies, 20 queries" + DOWN,
    beats="the share among the queries",
)
def contamination(seed):
    errors = []
    for n in range(5):
        x, bad = _table(100 * seed + n)
        center = x.mean(0)
        scores = np.log(((x - center) ** 2).sum(1))
        rows = diverse_query.fit(jax.random.key(n), x, num_queries=20).rows
        labels = jnp.asarray(bad)[rows]
        left = (100 - int(labels.sum())) / 980
        found = diverse_query.contamination(scores, rows, labels)
        errors.append((abs(float(found) - left), abs(float(labels.mean()) - left)))
    return tuple(np.median(errors, axis=0))


@check(
    "SOEL",
    "losses.soft_outlier",
    "AUROC of a one-class network, a tenth of its rows anomalies",
    beats="all rows taken as normal",
)
def soft_outliers(seed):
    x, bad = _table(seed)
    x = (x - x.mean(0)) / x.std(0)
    start = toys.dense(jax.random.key(seed), (8, 32, 8))
    center = apply(start, x).mean(0)

    def trained(ratio):
        def loss(params, key):
            away = ((apply(params, batch(key, x)[0]) - center) ** 2).sum(1)
            return losses.soft_outlier(away, 1 / (away + 1e-3), ratio=ratio)

        params = descend(loss, start, seed=seed, num_steps=500)
        return metrics.auroc(((apply(params, x) - center) ** 2).sum(1), bad)

    return trained(0.1), trained(0.0)


@check(
    "Deep SVDD",
    "estimators.deep_svdd",
    "AUROC, digits other than 0",
    beats="distance to the mean of principal components",
)
def one_class(seed):
    (x, y), (t, label) = (toys.digits(split, 8) for split in ("train", "test"))
    x, t = x[y == 0].reshape(-1, 64), t.reshape(-1, 64)
    fitted = deep_svdd.fit(jax.random.key(seed), x, num_steps=500)
    axes = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:16]
    away = (((t - x.mean(0)) @ axes.T) ** 2).sum(1)
    scores = (np.asarray(deep_svdd.score(fitted, t)), away)
    return tuple(separation(s[label == 0], s[label != 0]) for s in scores)


@check(
    "combined scores",
    "metrics.minmax_combine",
    "AUROC of both kinds of defects",
    beats="better of two scores alone",
)
def combined(seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(2, 900))
    scores[0, 300:600] += 3  # each score sees one kind, on a scale of its own
    scores[1, 600:] += 3
    scores = np.float32(scores * [[1.0], [50.0]])
    lows, highs = np.quantile(scores[:, :150], [0.0, 1.0], axis=1).astype(np.float32)
    both = metrics.minmax_combine(scores[:, 150:], lows, highs)
    found = [both, *scores[:, 150:]]
    ours, *alone = (separation(s[:150], s[150:]) for s in found)
    return ours, max(alone)
