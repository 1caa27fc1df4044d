"""The experiment of two players: what each loss moves, and what comes of it."""

import jax
import numpy as np
import pytest

from configs.adversarial import gan_ring
from repr_jax import run
from repr_jax.data import mixtures


@pytest.fixture(scope="module")
def parts():
    config = gan_ring.get_config("smoke")
    return run.build(config).experiment, next(mixtures.ring().train(16))


def test_absent_rows_do_not_count(parts):
    experiment, batch = parts
    params, extras = jax.jit(experiment.init)(jax.random.key(0), batch)
    where = np.arange(16) < 12
    spoiled = np.where(where[:, None], batch["x"], np.float32(np.nan))

    def value(params, loss, x):
        batch = {"x": x, "where": where}
        return loss(params, extras, batch, jax.random.key(1), 0)[0]

    slope = jax.jit(jax.grad(value), static_argnums=1)
    for loss in experiment.loss.values():
        a, b = (slope(params, loss, x) for x in (batch["x"], spoiled))
        jax.tree.map(np.testing.assert_array_equal, a, b)


def test_the_penalty_is_of_the_gradient_at_real_rows(parts):
    _, batch = parts
    config = gan_ring.get_config("smoke")
    values = []
    for weight in (0.0, 2.0):
        config.penalty_weight = weight
        experiment = run.build(config).experiment
        params, extras = jax.jit(experiment.init)(jax.random.key(0), batch)
        loss = jax.jit(experiment.loss["discriminator"])
        values.append(float(loss(params, extras, batch, jax.random.key(1), 0)[0]))

    def logit(x):
        hidden, last = params["discriminator"].values()
        return jax.nn.relu(x @ hidden["kernel"] + hidden["bias"]) @ last["kernel"][:, 0]

    slopes = np.asarray(jax.jit(jax.vmap(jax.grad(logit)))(batch["x"]))
    norms = np.sum(slopes**2, axis=1)
    np.testing.assert_allclose(values[1] - values[0], np.mean(norms), rtol=1e-4)
