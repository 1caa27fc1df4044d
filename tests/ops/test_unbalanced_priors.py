"""Samplers with exact networks of rare classes are less fair than with balanced ones.

Three classes on a line: what training on enough of such data would end with.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import metrics
from repr_jax.ops import ddrm, langevin, measurement, mixture_posterior
from repr_jax.ops.diffusion import linear_alpha_bars

CENTERS, SPREAD, EACH = np.array([-2.0, 0.0, 2.0]), 0.6, 200
BALANCED, UNBALANCED = (1 / 3,) * 3, (0.8, 0.1, 0.1)


def law_of(weights):
    covariances = np.full((3, 1, 1), SPREAD**2)
    return mixture_posterior.make(weights, CENTERS[:, None], covariances)


def by_ddrm(law, operator, y):
    alpha_bars = linear_alpha_bars()

    def predict_noise(x, time):
        alpha_bar = jnp.asarray(alpha_bars, jnp.float32)[time]
        return mixture_posterior.predict_noise(law, x, alpha_bar)

    keys = jax.random.split(jax.random.key(0), len(y))
    options = dict(alpha_bars=alpha_bars, noise=1.0)
    return ddrm.sample(keys, predict_noise, operator, y, **options)


def by_langevin(law, operator, y):
    keys = jax.random.split(jax.random.key(0), len(y))
    levels = langevin.geometric_levels(largest=5.0, smallest=0.1, num_levels=60)
    found = langevin.sample(
        keys,
        lambda x, sigma: mixture_posterior.score(law, x, sigma**2),
        jnp.zeros((len(y), 1)),
        levels=levels,
        num_inner=5,
        step_size=3e-3,
        operator=operator,
        y=y,
        noise=1.0,
    )
    return found.x


def made(method, weights, operator, y):
    """Classes of what is made of y, by the class of the nearest center."""
    law = law_of(weights)
    x = jax.jit(lambda y: method(law, operator, y))(jnp.asarray(y, jnp.float32))
    return np.argmin(np.abs(np.asarray(x) - CENTERS[None]), axis=1)


@pytest.mark.parametrize("method", [by_ddrm, by_langevin])
def test_rare_classes_are_made_more_rarely(method):
    labels = np.repeat(np.arange(3), EACH)
    noise = np.random.default_rng(0).normal(size=(2, len(labels)))
    y = CENTERS[labels] + SPREAD * noise[0] + noise[1]
    inputs = {  # what is asked for, and inputs that tell nothing
        "pr": (measurement.dense(np.ones((1, 1))), y[:, None], metrics.pr),
        "ucpr": (
            measurement.dense(np.zeros((1, 1))),
            np.zeros((len(labels), 1)),
            metrics.ucpr,
        ),
    }
    for name, (operator, y, notion) in inputs.items():
        found = {}
        for weights in (BALANCED, UNBALANCED):
            classes = made(method, weights, operator, y)
            table = metrics.contingency(labels, classes, num_clusters=3, num_classes=3)
            found[weights] = notion(table, num_draws=50)
            if weights == UNBALANCED:
                assert np.argmax(table.sum(axis=0)) == 0
        assert found[UNBALANCED]["chi2/low"] > found[BALANCED]["chi2"], name
        assert found[UNBALANCED]["p_value"] < 1e-6
