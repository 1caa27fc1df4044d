"""Checks of contrast with stored rows, of relations and of clients, on digits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import DOWN, Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend, moved, training
from repr_jax import losses
from repr_jax.estimators import kmeans
from repr_jax.losses.contrastive_memory import instance_normalizer
from repr_jax.ops import ema, pairs, queue

CHECKS: list[Check] = []
check = checks_in(CHECKS)


BANK, CLUSTERS, NEGATIVES = 2_000, 50, 64  # of InterCLR


@functools.cache
def _inter(pool):
    """(params, extras, seed) -> both after 200 steps of MoCo and InterCLR."""

    def loss(params, extras, key, step):
        keys = jax.random.split(key, 4)
        index = jax.random.choice(keys[0], BANK, (64,), replace=False)
        images, bank = extras["x"][index], extras["bank"]
        z, other = (
            apply(p, moved(k, images))
            for p, k in zip((params, extras["target"]), keys[1:])
        )
        mined = queue.semi_hard(
            keys[3],
            *(z, bank, jnp.argmax(bank @ extras["centroids"].T, axis=1), index),
            num_negatives=NEGATIVES,
            pool_size=pool,
        )
        inter = losses.inter_instance(
            *(z, bank, mined.positive, mined.negative),
            margin=extras["margin"],
            negative_where=mined.where,
        )
        stored = extras["queue"]
        options = dict(temperature=0.2, queue_where=stored.where)
        intra = losses.moco(z, other, stored.rows, **options)
        extras = extras | {
            "bank": queue.update_bank(bank, index, z),
            "queue": queue.push(stored, other),
        }
        return (1 - extras["weight"]) * intra + extras["weight"] * inter, extras

    def after_update(params, extras, step):
        target = ema.update(extras["target"], params, decay=0.99)
        return params, extras | {"target": target}

    return training(loss, num_steps=200, after_update=after_update)


@functools.lru_cache(1)
def _moco(seed):
    """Parameters and extras after MoCo, with clusters of its bank."""
    rng, params = np.random.default_rng(seed), toys.encoder(seed)
    extras = {
        "x": jnp.asarray(toys.digits("train")[0][:BANK]),
        "target": params,
        "bank": jnp.asarray(toys.unit(rng.normal(size=(BANK, 32)))),
        "queue": queue.empty(512, 32),
        "centroids": jnp.zeros((CLUSTERS, 32)),
        "weight": jnp.float32(0),
        "margin": jnp.float32(0),
    }
    params, extras = _inter(256)(params, extras, seed)
    found = kmeans.fit(jax.random.key(seed), extras["bank"], num_clusters=CLUSTERS)
    return params, extras | {"centroids": found.centroids}


@functools.lru_cache(4)
def _inter_clr(seed, pool=256, weight=0.25, margin=-0.5):
    """Accuracy of 20 neighbors after 200 steps more from `_moco`."""
    params, extras = _moco(seed)
    numbers = {"weight": jnp.float32(weight), "margin": jnp.float32(margin)}
    params, _ = _inter(pool)(params, extras | numbers, seed + 1)
    return toys.nearest_digits(params)


@check(
    "InterCLR",
    "losses.inter_instance",
    "20 neighbors of moved digits, a quarter of other rows of the cluster",
    beats="MoCo alone",
)
def inter_clr(seed):
    return _inter_clr(seed), _inter_clr(seed, weight=0.0)


@check(
    "margin of InterCLR",
    "losses.inter_instance",
    "20 neighbors of moved digits, margin -0.5",
    beats="margin 0.5",
)
def inter_margin(seed):
    return _inter_clr(seed), _inter_clr(seed, margin=0.5)


@check(
    "semi-hard negatives",
    "ops.queue.semi_hard",
    "20 neighbors of moved digits, 64 of the 256 most similar",
    beats="the 64 most similar",
)
def semi_hard(seed):
    return _inter_clr(seed), _inter_clr(seed, pool=NEGATIVES)


@functools.lru_cache(1)
def _instances():
    """(params, extras, seed) -> both after 600 steps of NPID with 256 of noise.

    Outputs are standardized over the batch, or all rows chase the bank together.
    """

    def loss(params, extras, key, step):
        keys = jax.random.split(key, 3)
        x, bank = extras["x"], extras["bank"]
        index = jax.random.choice(keys[0], len(x), (64,), replace=False)
        z = apply(params, moved(keys[1], x[index]))
        z = (z - z.mean(0, keepdims=True)) / z.std(0, keepdims=True)
        noise = jax.random.randint(keys[2], (64, 256), 0, len(x))
        rows = z, bank, index, noise
        options = dict(temperature=0.1)
        first = instance_normalizer(*rows, **options)
        normalizer = jnp.where(step == 0, first, extras["normalizer"])
        value = losses.instance_nce(*rows, normalizer=normalizer, **options)
        total = value + extras["weight"] * losses.byol(z, bank[index])
        return total, extras | {
            "bank": queue.update_bank(bank, index, z, decay=extras["decay"]),
            "normalizer": normalizer,
            "values": extras["values"].at[step].set(value),
        }

    return training(loss, num_steps=600)


def _npid(seed, weight, decay):
    """Parameters after it, and the losses of all steps."""
    rng = np.random.default_rng(seed)
    extras = {
        "x": jnp.asarray(toys.digits("train")[0][:1_000]),
        "bank": jnp.asarray(toys.unit(rng.normal(size=(1_000, 32)))),
        "normalizer": jnp.float32(1),
        "weight": jnp.float32(weight),
        "decay": jnp.float32(decay),
        "values": jnp.zeros(600),
    }
    params, extras = _instances()(toys.encoder(seed), extras, seed)
    return params, np.asarray(extras["values"])


@check(
    "NPID with noise",
    "losses.instance_nce",
    "20 neighbors of moved digits",
    beats="a network that was not trained",
)
def npid(seed):
    params, _ = _npid(seed, 0.0, 0.5)
    return tuple(toys.nearest_digits(p) for p in (params, toys.encoder(seed)))


@check(
    "proximal term",
    "losses.instance_nce",
    "standard deviation of the loss of NPID, last 200 steps" + DOWN,
    beats="without the term, bank of newest rows in both",
)
def proximal(seed):
    return tuple(_npid(seed, weight, 0.0)[1][-200:].std() for weight in (5.0, 0.0))


def _related(seed, views, items):
    """An encoder of 300 steps that tells views of an example from those of two."""
    x, _ = toys.digits("train")

    def loss(params, key):
        keys = jax.random.split(key, views + 1)
        (some,) = batch(keys[0], x[:5_000], size=items)
        z = jnp.stack([apply(params["encoder"], moved(k, some)) for k in keys[1:]])
        found = pairs.relation_pairs(z)
        logits = apply(params["head"], found.x)[:, 0]
        return losses.focal_binary(logits, found.targets)

    head = toys.dense(jax.random.key(seed + 100), (64, 64, 1))
    start = {"encoder": toys.encoder(seed), "head": head}
    return descend(loss, start, seed=seed, num_steps=300)["encoder"]


@functools.lru_cache(1)
def _relational(seed):
    return toys.probe_of(_related(seed, 4, 32))


@check(
    "relational reasoning",
    "ops.pairs.relation_pairs",
    "linear probe of moved digits, 4 views of 32",
    beats="rotations of 32 moved digits",
)
def relations(seed):
    return _relational(seed), toys.probe_of(toys.rotating(seed, 300))


@check(
    "more views to relate",
    "ops.pairs.relation_pairs",
    "linear probe of moved digits, 4 views of 32",
    beats="2 views of 64",
)
def more_views(seed):
    return _relational(seed), toys.probe_of(_related(seed, 2, 64))


CLIENTS, ROUNDS = 5, 10


@check(
    "FedX",
    "losses.relational_js",
    "linear probe of moved digits, 5 clients of a few classes each, 10 rounds",
    beats="federated SimCLR",
)
def fed_x(seed):
    x, y = toys.digits("train")
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(0.5 * np.ones(CLIENTS), 10)  # [class, client]
    client = np.array([rng.choice(CLIENTS, p=shares[label]) for label in y[:5_000]])
    data = [
        jnp.asarray(x[rng.choice(np.flatnonzero(client == c), 1_000)])
        for c in range(CLIENTS)
    ]
    start = {
        "encoder": toys.encoder(seed),
        "predictor": toys.dense(jax.random.key(seed + 100), (32, 64, 32)),
    }

    def loss(params, extras, key, step):
        keys = jax.random.split(key, 5)
        some, others = (batch(k, extras["x"], size=64)[0] for k in keys[:2])
        views = [moved(k, some) for k in keys[2:4]]
        a, b = (apply(params["encoder"], view) for view in views)
        simclr = losses.nt_xent(a, b, temperature=0.1)
        relations = apply(params["encoder"], moved(keys[4], others))
        known = [apply(extras["target"], z) for z in (views[1], others.reshape(64, -1))]
        predicted = [apply(params["predictor"], z) for z in (a, b)]
        fed_x = (
            losses.relational_js(a, b, relations)
            + losses.nt_xent(predicted[0], jax.lax.stop_gradient(known[0]),
                             temperature=0.1)
            + losses.relational_js(*predicted, jax.lax.stop_gradient(known[1]))
        )  # fmt: skip
        return simclr + extras["weight"] * fed_x, extras

    run = training(loss, num_steps=20)

    def trained(weight):
        params = start
        for number in range(ROUNDS):
            extras = {"target": params["encoder"], "weight": jnp.float32(weight)}
            locals_ = [
                run(params, extras | {"x": rows}, seed + CLIENTS * number + c)[0]
                for c, rows in enumerate(data)
            ]
            params = jax.tree.map(lambda *leaves: sum(leaves) / CLIENTS, *locals_)
        return toys.probe_of(params["encoder"])

    return trained(1.0), trained(0.0)
