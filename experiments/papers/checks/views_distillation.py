"""Checks of self-distillation without negatives, on digits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import Check, checks_in
from experiments.papers.checks.toys import apply, batch, hidden, moved, training
from repr_jax import losses, metrics
from repr_jax.ops import center, ema, predictors
from repr_jax.ops.numerics import l2_normalize
from repr_jax.ops.sinkhorn import balanced_assignment
from repr_jax.ops.targets import consolidated

CHECKS: list[Check] = []
check = checks_in(CHECKS)

PROTOTYPES = 64


@functools.cache
def _byol():
    """(params, extras, seed) -> both after 400 steps, by predictor extras["which"]."""

    def loss(params, extras, key, step):
        keys = jax.random.split(key, 3)
        (some,) = batch(keys[0], toys.digits("train")[0])
        a, b = (moved(k, some) for k in keys[1:])
        z, targets = apply(params, a), apply(extras["target"], b)
        running = ema.update(extras["running"], predictors.moment(z), decay=0.3)
        found = jax.lax.switch(
            extras["which"],
            [
                lambda: jnp.eye(16),
                lambda: predictors.ridge(z, targets),
                lambda: predictors.polar(z, targets),
                lambda: predictors.newton_schulz(z, targets),
                lambda: predictors.projector(z, rank=8),
                lambda: predictors.direct(running),
            ],
        )
        return losses.byol(z @ found, targets), extras | {"running": running}

    def after_update(params, extras, step):
        target = ema.update(extras["target"], params, decay=0.99)
        return params, extras | {"target": target}

    return training(loss, num_steps=400, after_update=after_update)


@functools.lru_cache(8)
def _byol_rank(seed, which):
    """Effective rank of projections of test digits, away from their mean."""
    params = toys.encoder(seed, 16)
    extras = {
        "target": params,
        "running": jnp.zeros((16, 16)),
        "which": jnp.int32(which),
    }
    params, _ = _byol()(params, extras, seed)
    z = apply(params, toys.digits("test")[0].reshape(-1, 196))
    return float(metrics.effective_rank(z - z.mean(0, keepdims=True)))


for _place, _name in enumerate(
    ("ridge", "polar", "newton_schulz", "projector", "direct"), start=1
):

    @check(
        f"{_name.replace('_', '-')} predictor",
        f"ops.predictors.{_name}",
        "effective rank of 16 dimensions by BYOL",
        beats="no predictor",
    )
    def byol(seed, place=_place):
        return _byol_rank(seed, place), _byol_rank(seed, 0)


@functools.cache
def _dino(kind):
    """(params, extras, seed) -> both after 300 steps; kind: how targets are made."""

    def loss(params, extras, key, step):
        keys = jax.random.split(key, 3)
        (some,) = batch(keys[0], toys.digits("train")[0])
        views = jnp.concatenate([moved(k, some) for k in keys[1:]])
        online = _logits(params, views).reshape(2, -1, PROTOTYPES)
        targets = _logits(extras["target"], views).reshape(2, -1, PROTOTYPES)
        spread = sum(
            losses.koleo(z) for z in jnp.split(hidden(params["encoder"], views), 2)
        )
        value = extras["weight"] * spread
        middle = center.add(extras["center"], targets)
        if kind == "balanced":
            soft = [balanced_assignment(view, epsilon=0.04) for view in targets]
            value += losses.cross_view(online, jnp.stack(soft))
        elif kind == "centered":
            value += losses.dino(online, targets, extras["center"].mean)
        else:
            value += losses.dino(online, targets, jnp.zeros(PROTOTYPES))
        return value, extras | {"center": middle}

    def after_update(params, extras, step):
        target = ema.update(extras["target"], params, decay=0.99)
        middle = center.move(extras["center"])
        return params, extras | {"target": target, "center": middle}

    return training(loss, num_steps=300, after_update=after_update)


def _logits(params, x):
    """[rows, 64] cosines with prototypes."""
    return (
        l2_normalize(apply(params["encoder"], x)) @ l2_normalize(params["prototypes"]).T
    )


def _start(seed):
    rng = np.random.default_rng(seed)
    prototypes = jnp.asarray(np.float32(rng.normal(size=(PROTOTYPES, 32))))
    return {"encoder": toys.encoder(seed), "prototypes": prototypes}


@functools.lru_cache(4)
def _distilled(seed, kind, weight=0.0):
    """Parameters after it, and logits of the target network for test digits."""
    params = _start(seed)
    extras = {
        "target": params,
        "center": center.start(PROTOTYPES),
        "weight": jnp.float32(weight),
    }
    params, extras = _dino(kind)(params, extras, seed)
    x = toys.digits("test")[0].reshape(-1, 196)
    return params, _logits(extras["target"], x) - extras["center"].mean[None] * (
        kind == "centered"
    )


def _usage(logits):
    """Entropy of how often each prototype is the first, over that of equal use."""
    counts = np.bincount(np.argmax(logits, axis=1), minlength=PROTOTYPES)
    shares = counts[counts > 0] / counts.sum()
    return np.sum(shares * np.log(1 / shares)) / np.log(PROTOTYPES)


@check(
    "DINO",
    "losses.dino",
    "entropy of the use of 64 prototypes, centered targets",
    beats="targets not centered",
)
def dino(seed):
    return tuple(_usage(_distilled(seed, kind)[1]) for kind in ("centered", "raw"))


@check(
    "balanced DINO",
    "losses.cross_view",
    "entropy of the use of 64 prototypes, targets by Sinkhorn",
    beats="targets not balanced",
)
def balanced_dino(seed):
    return tuple(_usage(_distilled(seed, kind)[1]) for kind in ("balanced", "raw"))


@check(
    "KoLeo",
    "losses.koleo",
    "mean distance to the nearest of 2000 digits, DINO with a tenth of it",
    beats="DINO alone",
)
def koleo(seed):
    x = toys.digits("test")[0].reshape(-1, 196)

    def away(params):
        z = l2_normalize(hidden(params["encoder"], x))
        alike = np.array(z @ z.T)
        np.fill_diagonal(alike, -1)
        return np.sqrt(np.maximum(2 - 2 * alike.max(axis=1), 0)).mean()

    return tuple(away(_distilled(seed, "centered", w)[0]) for w in (0.1, 0.0))


@functools.cache
def _swav(balanced):
    """(params, extras, seed) -> both after 300 steps, codes balanced or softmax."""

    def loss(params, extras, key, step):
        keys = jax.random.split(key, 3)
        (some,) = batch(keys[0], toys.digits("train")[0])
        views = jnp.concatenate([moved(k, some) for k in keys[1:]])
        z = apply(params["encoder"], views).reshape(2, -1, 32)
        if balanced:
            return losses.swav(z, params["prototypes"]), extras
        scores = l2_normalize(z) @ l2_normalize(params["prototypes"]).T
        codes = jax.nn.softmax(scores / 0.05, axis=-1)
        return losses.cross_view(scores, codes), extras

    return training(loss, num_steps=300)


@functools.lru_cache(2)
def _swav_params(seed, balanced):
    return _swav(balanced)(_start(seed), (), seed)[0]


@check(
    "SwAV",
    "losses.swav",
    "linear probe of moved digits",
    beats="a network that was not trained",
)
def swav(seed):
    params = _swav_params(seed, True), _start(seed)
    return tuple(toys.probe_of(p["encoder"]) for p in params)


@check(
    "balanced codes of SwAV",
    "losses.swav",
    "entropy of the use of 64 prototypes",
    beats="codes by softmax",
)
def swav_usage(seed):
    x = toys.digits("test")[0].reshape(-1, 196)
    return tuple(_usage(_logits(_swav_params(seed, b), x)) for b in (True, False))


def _quadrants(images):
    """[rows, 14, 14] -> [rows, 4, 49]."""
    parts = images.reshape(-1, 2, 7, 2, 7)
    return jnp.moveaxis(parts, 3, 2).reshape(-1, 4, 49)


@check(
    "iBOT",
    "losses.ibot",
    "linear probe of moved digits, two of four quadrants hidden",
    beats="a network that was not trained",
)
def ibot(seed):
    start = toys.encoder(seed, 4 * 32)

    def loss(params, extras, key, step):
        keys = jax.random.split(key, 3)
        (some,) = batch(keys[0], toys.digits("train")[0])
        whole = moved(keys[1], some).reshape(-1, 2, 7, 2, 7)
        order = jnp.argsort(jax.random.uniform(keys[2], (len(whole), 4)), axis=1)
        mask = order < 2
        shown = ~mask.reshape(-1, 2, 1, 2, 1)
        online = apply(params, (whole * shown).reshape(-1, 196))
        target = apply(extras["target"], whole.reshape(-1, 196))
        online, target = (z.reshape(-1, 4, 32) for z in (online, target))
        soft = jax.vmap(balanced_assignment, in_axes=1, out_axes=1)(
            l2_normalize(target)
        )
        return losses.ibot(l2_normalize(online), soft, mask), extras

    def after_update(params, extras, step):
        return params, {"target": ema.update(extras["target"], params, decay=0.99)}

    run = training(loss, num_steps=400, after_update=after_update)
    params, _ = run(start, {"target": start}, seed)
    return toys.probe_of(params), toys.probe_of(start)


def _canvases(rng, split, num):
    """[num, 4, 196]: in each quadrant a digit, or nothing; two digits to four."""
    x, _ = toys.digits(split)
    shown = np.argsort(rng.uniform(size=(num, 4)), 1) < rng.integers(2, 5, (num, 1))
    return np.float32(x[rng.integers(len(x), size=(num, 4))] * shown[..., None, None])


@check(
    "UDI",
    "ops.targets.consolidated",
    "entropy in nats of what a token of consolidated targets says of 2 to 4 digits",
    beats="the token of the class alone, in the same network",
)
def udi(seed):
    rng = np.random.default_rng(seed)
    x, test = _canvases(rng, "train", 4_000), _canvases(rng, "test", 1_000)
    keys = jax.random.split(jax.random.key(seed), 5)
    start = {
        "patch": toys.dense(keys[0], (196, 128, 32)),
        "token": toys.dense(keys[1], (4 * 32, 128, 64)),
        "heads": [
            _start(seed + i) | {"encoder": toys.dense(key, (dim, 64, 32))}
            for i, (key, dim) in enumerate(zip(keys[2:], (64, 64, 32)))
        ],
    }

    def outputs(params, canvases):
        """Logits of both tokens [rows, 64] and of patches [rows, 4, 64]."""
        z = jax.nn.relu(apply(params["patch"], canvases.reshape(-1, 196)))
        token = jax.nn.relu(apply(params["token"], z.reshape(-1, 4 * 32)))
        head, head_plus, head_patch = params["heads"]
        patches = _logits(head_patch, z).reshape(-1, 4, PROTOTYPES)
        return _logits(head, token), _logits(head_plus, token), patches

    def loss(params, extras, key, step):
        keys = jax.random.split(key, 4)
        (some,) = batch(keys[0], x, size=64)
        views = [moved(k, some.reshape(-1, 14, 14)) for k in keys[1:3]]
        online, target = (
            [jnp.stack(z) for z in zip(*(outputs(p, view) for view in views))]
            for p in (params, extras["target"])
        )
        sampled = jax.random.bernoulli(keys[3], 0.5, (64, 4))
        both = [consolidated(*z, sampled) for z in zip(target[0], target[2])]
        online[2], patches = (
            z.reshape(2, -1, PROTOTYPES) for z in (online[2], target[2])
        )
        targets = [target[0], jnp.stack(both), patches]
        centers = [center.add(c, z) for c, z in zip(extras["centers"], targets)]
        levels = [
            losses.dino(z, goal, c.mean)
            for z, goal, c in zip(online, targets, extras["centers"])
        ]
        return sum(levels) / 3, extras | {"centers": centers}

    def after_update(params, extras, step):
        target = ema.update(extras["target"], params, decay=0.99)
        centers = [center.move(c) for c in extras["centers"]]
        return params, {"target": target, "centers": centers}

    extras = {"target": start, "centers": [center.start(PROTOTYPES)] * 3}
    run = training(loss, num_steps=300, after_update=after_update)
    params, _ = run(start, extras, seed)

    def entropy(logits):
        p = jax.nn.softmax(logits / 0.1, axis=1)
        return float(-jnp.mean(jnp.sum(p * jnp.log(p + 1e-12), axis=1)))

    token, plus, _ = outputs(params, test)
    return entropy(plus), entropy(token)
