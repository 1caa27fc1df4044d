"""Checks of pretext tasks and of regularizers of representations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import DOWN, Check, checks_in
from experiments.papers.checks.toys import (
    apply,
    batch,
    descend,
    hidden,
    moved,
    training,
)
from repr_jax import losses, metrics
from repr_jax.data import permutations, pretext
from repr_jax.data.grouping import distinct_groups
from repr_jax.estimators import kmeans, logistic, ridge
from repr_jax.ops import determinantal, local_dimension
from repr_jax.ops.numerics import l2_normalize

CHECKS: list[Check] = []
check = checks_in(CHECKS)


@functools.cache
def _regularized():
    """(params, extras, seed) -> both: SimCLR and extras["weight"] times LDReg."""

    def loss(params, extras, key, step):
        keys = jax.random.split(key, 3)
        (some,) = batch(keys[0], toys.digits("train")[0])
        views = [moved(k, some) for k in keys[1:]]
        value = losses.nt_xent(*(apply(params, v) for v in views), temperature=0.2)
        spread = sum(
            losses.local_dimension(hidden(params, v), num_neighbors=64) for v in views
        )
        return value + extras["weight"] * spread, extras

    return training(loss, num_steps=300)


@check(
    "LDReg",
    "losses.local_dimension",
    "log of local dimensions, mean of test digits, 64 neighbors",
    beats="SimCLR alone",
)
def ldreg(seed):
    x = jnp.asarray(toys.digits("test")[0].reshape(-1, 196))
    found = []
    for weight in (0.01, 0.0):
        extras = {"weight": jnp.float32(weight)}
        params, _ = _regularized()(toys.encoder(seed), extras, seed)
        z = hidden(params, x)
        squares = jnp.sum((z[:500, None] - z[None]) ** 2, axis=-1)
        distances = jnp.sqrt(jnp.sort(squares, axis=1)[:, 1:65])
        found.append(float(jnp.mean(jnp.log(local_dimension.moments(distances)))))
    return tuple(found)


def _projected(seed, places, x):
    """[head, rows, 32] of random networks of these numbers."""
    keys = (jax.random.key(1_000 * (seed + 1) + place) for place in places)
    networks = [toys.dense(key, (196, 128, 32)) for key in keys]
    return jnp.stack([apply(network, x) for network in networks])


@functools.cache
def _lfr(heads):
    """(params, extras, seed) -> both after 400 steps towards that many projections."""

    def loss(params, extras, key, step):
        x, targets = batch(key, extras["x"], extras["targets"], size=64)
        z = hidden(params["encoder"], x)
        found = jnp.stack([apply(head, z) for head in params["heads"]])
        return losses.batch_barlow(found, jnp.moveaxis(targets, 1, 0)), extras

    return training(loss, num_steps=400)


def _probe(params):
    """`toys.probe` of the hidden layer: no view was seen, and digits are upright."""
    return toys.probe(
        lambda x: np.asarray(hidden(params, x.reshape(len(x), -1))), limit=1_000
    )


def _of_projections(seed, places):
    """Probe of an encoder of digits that predicts these random networks."""
    x = jnp.asarray(toys.digits("train")[0][:5_000].reshape(-1, 196))
    keys = jax.random.split(jax.random.key(seed), len(places))
    start = {
        "encoder": toys.encoder(seed),
        "heads": [toys.dense(key, (128, 64, 32)) for key in keys],
    }
    extras = {"x": x, "targets": jnp.moveaxis(_projected(seed, places, x), 0, 1)}
    params, _ = _lfr(len(places))(start, extras, seed)
    return _probe(params["encoder"])


@check(
    "LFR",
    "losses.batch_barlow",
    "linear probe of digits, 6 random projectors, images as they are",
    beats="an autoencoder of the same encoder",
)
def lfr(seed):
    x, _ = toys.digits("train")
    start = {
        "encoder": toys.encoder(seed),
        "decoder": toys.dense(jax.random.key(seed + 100), (128, 256, 196)),
    }

    def rebuild(params, key):
        some = batch(key, x[:5_000], size=64)[0].reshape(-1, 196)
        shown = apply(params["decoder"], hidden(params["encoder"], some))
        return jnp.mean((shown - some) ** 2)

    other = descend(rebuild, start, seed=seed, num_steps=400)
    return _of_projections(seed, range(6)), _probe(other["encoder"])


@check(
    "diverse projectors",
    "ops.determinantal.greedy",
    "linear probe of digits, 2 of 20 random projectors chosen by determinant",
    beats="the first 2, 2 others and 2 more, on average",
)
def diverse(seed):
    x = toys.digits("train")[0][:500].reshape(-1, 196)
    z = l2_normalize(_projected(seed, range(20), x))  # [20, 500, 32]
    grams = l2_normalize((z @ jnp.swapaxes(z, 1, 2)).reshape(20, -1))
    chosen = np.asarray(determinantal.greedy(grams @ grams.T, 2))
    others = [_of_projections(seed, pair) for pair in ((0, 1), (2, 3), (4, 5))]
    return _of_projections(seed, tuple(chosen)), np.mean(others)


def _refined(seed, labeled):
    """Risks of 20 labels on predictions of x_2: after refining x_1, and without it."""
    rng = np.random.default_rng(seed)
    mean_1, mean_2 = rng.normal(size=(2, 20)) / 20**0.5
    mix_1, mix_2 = rng.normal(size=(2, 2, 20))

    def draw(num):
        y = rng.integers(2, size=num)
        shared = rng.normal(size=(num, 2))  # of both parts whatever y is
        parts = [
            (2 * y - 1)[:, None] * 2 * mean
            + shared @ mix
            + 0.5 * rng.normal(size=(num, 20))
            for mean, mix in ((mean_1, mix_1), (mean_2, mix_2))
        ]
        return np.float32(parts[0]), np.float32(parts[1]), y

    x_1, x_2, _ = draw(5_000)
    known = draw(labeled)
    found = metrics.conditional_cross_covariance(*known, num_classes=2)
    left = np.linalg.svd(np.asarray(found))[0][:, :2]
    test, heads = draw(5_000), [draw(20) for _ in range(20)]
    risks = []
    for keep in (np.float32(np.eye(20) - left @ left.T), np.eye(20, dtype="f4")):
        predictor = ridge.fit(x_1 @ keep, x_2, penalty=1.0)
        z = np.asarray(ridge.predict(predictor, test[0] @ keep))
        wrong = []
        for a, _, y in heads:
            head = logistic.fit(ridge.predict(predictor, a @ keep), y, num_classes=2)
            wrong.append(np.mean(np.asarray(logistic.predict(head, z)) != test[2]))
        risks.append(np.mean(wrong))
    return tuple(risks)


@check(
    "refining a pretext",
    "metrics.conditional_cross_covariance",
    "error with 20 labels, directions removed by 1000 labels" + DOWN,
    beats="no refinement",
)
def refined(seed):
    return _refined(seed, 1_000)


@check(
    "refining with few labels",
    "metrics.conditional_cross_covariance",
    "error with 20 labels, no refinement" + DOWN,
    beats="directions removed by 10 labels",
)
def refined_by_few(seed):
    return _refined(seed, 10)[::-1]


def _tiles(images):
    """[rows, 14, 14] -> [rows, 4, 49], tiles row by row."""
    return jnp.moveaxis(images.reshape(-1, 2, 7, 2, 7), 3, 2).reshape(-1, 4, 49)


def _whole(tiles):
    """The inverse of `_tiles`, flat."""
    images = jnp.moveaxis(tiles.reshape(-1, 2, 2, 7, 7), 2, 3)
    return images.reshape(-1, 196)


@functools.cache
def _ordered(num_steps):
    """(params, extras, seed) -> both: which of some orders of tiles is it?"""

    def loss(params, extras, key, step):
        keys = jax.random.split(key, 3)
        (images,) = batch(keys[0], toys.digits("train")[0], size=64)
        tiles = _tiles(moved(keys[1], images))
        some, orders = extras["some"], extras["orders"]
        tiles, label = pretext.shuffled(keys[2], tiles, orders[some])
        logits = apply(params, _whole(tiles))
        return losses.cross_entropy(logits, some[label]), extras

    return training(loss, num_steps=num_steps)


@check(
    "maximal permutations",
    "data.permutations.maximal",
    "linear probe of moved digits, 6 orders of 4 tiles far from each other",
    beats="6 random orders",
)
def maximal(seed):
    rng = np.random.default_rng(seed)
    every = permutations.maximal(4, 24)
    chosen = permutations.maximal(4, 6, first=int(rng.integers(24)))
    found = []
    for orders in (chosen, every[rng.choice(24, 6, replace=False)]):
        extras = {"orders": jnp.asarray(orders), "some": jnp.arange(6)}
        params, _ = _ordered(400)(toys.encoder(seed, 6), extras, seed)
        found.append(toys.probe_of(params))
    return tuple(found)


@check(
    "learned permutations",
    "data.permutations.policy_step",
    "linear probe of moved digits, 6 groups of 4 orders drawn by the policy",
    beats="groups drawn uniformly",
)
def learned(seed):
    every = jnp.asarray(permutations.maximal(4, 24))
    key = jax.random.key(seed + 1_000)
    tiles = _tiles(toys.digits("test")[0][:500])
    tiles, labels = pretext.shuffled(key, tiles, every)
    shown = _whole(tiles)

    def trained(rate):
        rng = np.random.default_rng(seed)
        params, policy, baseline = toys.encoder(seed, 24), np.zeros(6), 0.0
        error = float(losses.cross_entropy(apply(params, shown), labels))
        for number in range(30):
            p = np.exp(policy - policy.max())
            group = int(rng.choice(6, p=p / p.sum()))
            extras = {"orders": every, "some": 4 * group + jnp.arange(4)}
            params, _ = _ordered(15)(params, extras, 30 * seed + number)
            now = float(losses.cross_entropy(apply(params, shown), labels))
            reward, error = error - now, now
            policy = permutations.policy_step(
                policy, group, reward, baseline=baseline, rate=rate
            )
            baseline = 0.8 * baseline + 0.2 * reward
        return toys.probe_of(params)

    return trained(0.5), trained(0.0)


@check(
    "G-SimCLR",
    "data.grouping.distinct_groups",
    "share of pairs of one digit in batches of 64, distinct clusters of 128" + DOWN,
    beats="uniform batches",
)
def distinct(seed):
    x, y = (each[:5_000] for each in toys.digits("train"))
    flat = jnp.asarray(x.reshape(len(x), -1))
    found = kmeans.fit(jax.random.key(seed), flat, num_clusters=128, max_steps=20)
    groups = np.asarray(kmeans.assign(found, flat))
    rng = np.random.default_rng(seed)

    def share(rows):
        same = y[rows][:, None] == y[rows][None]
        return (same.sum() - len(rows)) / (len(rows) * (len(rows) - 1))

    batches = (
        [distinct_groups(groups, 64, seed=seed, step=step) for step in range(100)],
        [rng.choice(len(x), 64, replace=False) for _ in range(100)],
    )
    return tuple(np.mean([share(rows) for rows in each]) for each in batches)
