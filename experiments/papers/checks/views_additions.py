"""Checks of what outsiders look for: representations of two views of a digit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend, hidden
from repr_jax import losses
from repr_jax.ops.numerics import l2_normalize

CHECKS: list[Check] = []
check = checks_in(CHECKS)


PROBE = "linear probe of 200 digits, two moved views"


def _probe(params) -> float:
    return toys.probe(lambda x: np.asarray(hidden(params, x.reshape(len(x), -1))), 200)


def _views(key, shift):
    """Two moved copies of 128 digits, flat."""
    keys = jax.random.split(key, 3)
    (some,) = batch(keys[0], toys.digits("train")[0][2_000:8_000])
    return [toys.moved(k, some, shift=shift, zoom=shift) for k in keys[1:]]


def _trained(seed, loss, shift=0.15):
    def objective(params, key):
        a, b = (apply(params, v) for v in _views(key, shift))
        return loss(a, b)

    return descend(objective, toys.encoder(seed), seed=seed, num_steps=300)


@functools.cache
def _untrained(seed):
    return _probe(toys.encoder(seed))


@check("Barlow Twins", "losses.barlow_twins", PROBE, beats="the network not trained")
def barlow(seed):
    return _probe(_trained(seed, losses.barlow_twins)), _untrained(seed)


@check("VICReg", "losses.vicreg", PROBE, beats="the network not trained")
def vicreg(seed):
    return _probe(_trained(seed, losses.vicreg)), _untrained(seed)


@check(
    "BYOL",
    "losses.byol",
    PROBE,
    beats="the same loss without a predictor and with a gradient on both sides",
)
def byol(seed):
    keys = jax.random.split(jax.random.key(seed))
    start = toys.encoder(seed), toys.dense(keys[1], (32, 128, 32))

    def loss(params, key):  # of two branches of one network: SimSiam
        network, predictor = params
        z = [apply(network, v) for v in _views(key, 0.15)]
        p = [apply(predictor, v) for v in z]
        return (losses.byol(p[0], z[1]) + losses.byol(p[1], z[0])) / 2

    def both(a, b):
        return jnp.mean(jnp.sum((l2_normalize(a) - l2_normalize(b)) ** 2, axis=1))

    ours, _ = descend(loss, start, seed=seed, num_steps=300)
    return _probe(ours), _probe(_trained(seed, both))


@check(
    "NNCLR",
    "losses.nnclr",
    "linear probe of 200 digits, hardly moved views",
    beats="the same without neighbors",
)
def nnclr(seed):
    keys = jax.random.split(jax.random.key(seed))
    start = toys.encoder(seed), toys.dense(keys[1], (32, 128, 32))
    x = toys.digits("train")[0][2_000:8_000].reshape(-1, 196)

    def trained(neighbors):
        def loss(params, key):
            network, predictor = params
            a, b = (apply(network, v) for v in _views(key, 0.03))
            p, q = apply(predictor, a), apply(predictor, b)
            if neighbors:  # of rows embedded now, in place of a queue of old ones
                bank = jax.lax.stop_gradient(
                    apply(network, batch(jax.random.fold_in(key, 1), x, size=512)[0])
                )
                return (losses.nnclr(p, b, bank) + losses.nnclr(q, a, bank)) / 2
            return (losses.info_nce(b, p) + losses.info_nce(a, q)) / 2

        return descend(loss, start, seed=seed, num_steps=300)[0]

    return _probe(trained(True)), _probe(trained(False))
