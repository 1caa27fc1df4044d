"""Checks of metric learning: pairs, triplets, proxies and classes with margins."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend, unit
from repr_jax import losses, metrics

CHECKS: list[Check] = []
check = checks_in(CHECKS)


UNSEEN = "mAP of digits 5 to 9, trained on 0 to 4"


@functools.cache
def _digits():
    """2,000 digits 0 to 4 to train on, and 1,000 digits 5 to 9 to retrieve."""
    x, y = toys.some(*toys.digits("train"), range(5), 2_000)
    return x, y, *toys.some(*toys.digits("test"), range(5, 10), 1_000)


def _unseen(seed, loss, num_proxies=0):
    """Mean average precision of classes that the network did not see."""
    x, y, t, label = _digits()
    start = jax.random.normal(jax.random.key(seed), (num_proxies, 32))
    network, _ = toys.embedding(seed, x, y, loss, more=start)
    return toys.retrieval(apply(network, t), label)


def _nearest(z, y, queries, labels) -> float:
    """Accuracy of the vote of the 5 nearest rows, by Euclidean distance."""
    z, queries = (np.asarray(a, np.float64) for a in (z, queries))
    squares = (z**2).sum(1) - 2 * queries @ z.T
    near = y[np.argsort(squares, axis=1)[:, :5]]
    votes = np.eye(int(y.max()) + 1)[near].sum(axis=1)
    return float(np.mean(votes.argmax(axis=1) == labels))


@check(
    "triplet network",
    "losses.triplet_ratio",
    "5-NN accuracy, 8 x 8 digits, 1,000 to train on",
    beats="pairs with a margin, same network",
)
def triplets(seed):
    x, y = toys.some(*toys.digits("train", 8), range(10), 1_000)
    t, label = toys.some(*toys.digits("test", 8), range(10), 1_000)

    def ratio(z, labels, _):  # all triplets of a batch, as all its pairs are below
        a, p, n = jnp.indices((32, 32, 32)).reshape(3, -1)
        same = labels[:, None] == labels
        where = same[a, p] & ~same[a, n] & (a != p)
        return losses.triplet_ratio(z[a], z[p], z[n], where=where)

    def pairs(z, labels, _):
        return losses.contrastive_margin(z, labels)

    def accuracy(loss):
        network, _ = toys.embedding(seed, x, y, loss, size=32)
        return _nearest(apply(network, x), y, apply(network, t), label)

    return accuracy(ratio), accuracy(pairs)


def _siamese(z, labels, _):
    return losses.contrastive_margin(unit_rows(z), labels)


def unit_rows(z):
    """Rows of length 1, with a gradient."""
    return z / jnp.sqrt(jnp.sum(z**2, axis=1, keepdims=True) + 1e-12)


@functools.cache
def _pairs(seed):
    """Of unit rows, so that margins mean the same to all."""
    return _unseen(seed, _siamese)


@check(
    "multi-similarity",
    "losses.multi_similarity",
    UNSEEN,
    beats="pairs with a margin on the sphere",
)
def multi_similarity(seed):
    def loss(z, labels, _):
        return losses.multi_similarity(z, labels)

    return _unseen(seed, loss), _pairs(seed)


@check("circle", "losses.circle", UNSEEN, beats="pairs with a margin on the sphere")
def circle(seed):
    def loss(z, labels, _):
        return losses.circle(z, labels)

    return _unseen(seed, loss), _pairs(seed)


@check(
    "proxy anchor",
    "losses.proxy_anchor",
    UNSEEN,
    beats="pairs with a margin on the sphere",
)
def proxy_anchor(seed):
    return _unseen(seed, losses.proxy_anchor, 5), _pairs(seed)


@functools.cache
def _plain(seed):
    """CosFace without a margin: a softmax of cosines."""
    return _unseen(seed, functools.partial(losses.cosface, margin=0.0, scale=16.0), 5)


@check("CosFace", "losses.cosface", UNSEEN, beats="margin 0")
def cosface(seed):
    loss = functools.partial(losses.cosface, scale=16.0)
    return _unseen(seed, loss, 5), _plain(seed)


@check("ArcFace", "losses.arcface", UNSEEN, beats="margin 0")
def arcface(seed):
    loss = functools.partial(losses.arcface, scale=16.0)
    return _unseen(seed, loss, 5), _plain(seed)


@functools.cache
def _faces(seed, num, noise=0.0):
    """Rows of 500 identities through a random network, and others of 200 new ones."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(16, 64)), rng.normal(size=(64, 48)) / 8

    def rows(num, centers):
        z, y = toys.gaussians(rng, num, centers, 0.5)
        return np.float32(np.tanh(z @ first / 4) @ second), y

    x, y = rows(num, rng.normal(size=(500, 16)))
    if noise:
        y = toys.flipped(rng, y, 500, noise)[0]
    return x, y, *rows(1_000, rng.normal(size=(200, 16)))


def _verified(seed, loss, noise=0.0):
    """Of new identities: pairs accepted at a false accept rate of a thousandth."""
    x, y, t, label = _faces(seed, 5_000, noise)
    by_class = np.argsort(y, kind="stable")
    starts = np.searchsorted(y[by_class], np.arange(501))
    sizes = np.diff(starts)

    def objective(params, key):
        keys = jax.random.split(key)
        classes = jax.random.randint(keys[0], (32, 1), 0, 500)
        places = jax.random.randint(keys[1], (32, 3), 0, 1 << 20)
        places = places % jnp.asarray(sizes)[classes] + jnp.asarray(starts)[classes]
        rows = jnp.asarray(by_class)[places.ravel()]  # 32 identities, 3 rows of each
        z = apply(params[0], jnp.asarray(x)[rows])
        return loss(z, jnp.asarray(y)[rows], params[1])

    keys = jax.random.split(jax.random.key(seed))
    start = toys.dense(keys[0], (48, 128, 32)), jax.random.normal(keys[1], (500, 32))
    network, _ = descend(objective, start, seed=seed, num_steps=600, rate=3e-3)
    z = unit(np.asarray(apply(network, t)))
    pairs = np.triu_indices(len(z), 1)
    scores, same = (z @ z.T)[pairs], label[pairs[0]] == label[pairs[1]]
    return float(metrics.tar_at_far(scores[same], scores[~same], rate=1e-3))


@check(
    "UNPG",
    "losses.unified_negatives",
    "true accepts at 1e-3 false ones, 200 new identities",
    beats="CosFace of the same margin",
)
def unified(seed):
    numbers = dict(margin=0.35, scale=16.0)
    return tuple(
        _verified(seed, functools.partial(loss, **numbers))
        for loss in (losses.unified_negatives, losses.cosface)
    )


@check(
    "UNPG with wrong labels",
    "losses.unified_negatives",
    "true accepts at 1e-3 false ones, 20 % of labels wrong",
    beats="negative pairs without a filter",
)
def filtered(seed):
    return tuple(
        _verified(
            seed,
            functools.partial(
                losses.unified_negatives, margin=0.35, scale=16.0, whisker=whisker
            ),
            noise=0.2,
        )
        for whisker in (1.5, 1e6)
    )


@check(
    "MadaCos",
    "losses.madacos",
    "mAP of 200 new identities, no number tuned",
    beats="the best CosFace of 4 margins",
)
def madacos(seed):
    x, y, t, label = _faces(seed, 5_000)
    margins = jnp.array([0.0, 0.15, 0.35, 0.5])

    def grid(z, labels, prototypes):  # networks side by side; Adam keeps them apart
        def one(z, prototypes, margin):
            return losses.cosface(z, labels, prototypes, margin=margin, scale=32.0)

        return jnp.sum(jax.vmap(one)(z, prototypes, margins))

    def trained(loss, copies):
        keys = jax.random.split(jax.random.key(seed))
        start = (
            toys.dense(keys[0], (48, 128, 32)),
            jax.random.normal(keys[1], (500, 32)),
        )
        if copies:
            start = jax.tree.map(lambda a: jnp.stack([a] * copies), start)

        def outputs(network, rows):
            return jax.vmap(apply, (0, None))(network, rows)

        outputs = outputs if copies else apply

        def objective(params, key):
            rows, labels = batch(key, x, y)
            return loss(outputs(params[0], rows), labels, params[1])

        params = descend(objective, start, seed=seed, num_steps=600, rate=3e-3)
        return outputs(params[0], t)

    ours = toys.retrieval(trained(losses.madacos, 0), label)
    return ours, max(toys.retrieval(z, label) for z in trained(grid, len(margins)))


@check(
    "CFCD local triplets",
    "losses.local_triplet",
    "mAP by matched local descriptors, two thirds of them clutter",
    beats="triplets of mean descriptors, same network",
)
def local(seed):
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=(80, 4, 8))  # of 60 classes to train on and 20 new ones
    mix = rng.normal(size=(16, 24)) / 4

    def images(classes):
        own = parts[classes] + 0.3 * rng.normal(size=(len(classes), 4, 8))
        clutter = rng.normal(size=(len(classes), 8, 8))
        seen = np.concatenate([own, clutter], axis=1)
        nuisance = 0.7 * rng.normal(size=seen.shape)  # of the image's light, say
        return np.float32(np.concatenate([seen, nuisance], axis=2) @ mix)

    classes = np.repeat(np.arange(60), 10)
    x = jnp.asarray(images(classes))
    new = np.repeat(np.arange(60, 80), 10)
    t = images(new)

    def of_parts(a, p, n):
        attention = jnp.ones(p.shape[:2])
        return losses.local_triplet(a, p, n, attention)

    def of_means(a, p, n):
        return losses.triplet(*(unit_rows(z.mean(1)) for z in (a, p, n)), margin=0.1)

    def precision(loss):
        def objective(network, key):
            keys = jax.random.split(key, 4)
            a, other = jax.random.randint(keys[0], (2, 64), 0, 60)
            other = jnp.where(other == a, (a + 1) % 60, other)
            rows = [
                10 * c + jax.random.randint(k, (64,), 0, 10)
                for c, k in zip((a, a, other), keys[1:])
            ]
            return loss(*(apply(network, x[r]) for r in rows))

        start = toys.dense(jax.random.key(seed), (24, 64, 16))
        network = descend(objective, start, seed=seed, num_steps=300)
        z = np.asarray(apply(network, t))
        z = z / np.linalg.norm(z, axis=2, keepdims=True)
        cosines = np.einsum("aid,bjd->abij", z, z).max(axis=3)
        best = np.sort(cosines, axis=2)[..., -4:].mean(axis=2)  # the best four matches
        others = ~np.eye(len(new), dtype=bool)
        same = new[:, None] == new
        return float(metrics.mean_average_precision(best, same, where=others))

    return precision(of_parts), precision(of_means)
