"""The experiment of two players: what each loss moves, and what comes of it."""

import jax
import jax.numpy as jnp
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
    params, extras = experiment.init(jax.random.key(0), batch)
    where = jnp.arange(16) < 12
    spoiled = jnp.where(where[:, None], batch["x"], jnp.nan)

    def value(params, loss, x):
        batch = {"x": x, "where": where}
        return loss(params, extras, batch, jax.random.key(1), 0)[0]

    for loss in experiment.loss.values():
        a, b = (jax.grad(value)(params, loss, x) for x in (batch["x"], spoiled))
        jax.tree.map(np.testing.assert_array_equal, a, b)


def test_the_penalty_is_of_the_gradient_at_real_rows(parts):
    _, batch = parts
    config = gan_ring.get_config("smoke")
    values = []
    for weight in (0.0, 2.0):
        config.penalty_weight = weight
        experiment = run.build(config).experiment
        params, extras = experiment.init(jax.random.key(0), batch)
        loss = experiment.loss["discriminator"]
        values.append(loss(params, extras, batch, jax.random.key(1), 0)[0])

    def logit(x):
        hidden, last = params["discriminator"].values()
        return jax.nn.relu(x @ hidden["kernel"] + hidden["bias"]) @ last["kernel"][:, 0]

    norms = [jnp.sum(jax.grad(logit)(x) ** 2) for x in batch["x"]]
    np.testing.assert_allclose(values[1] - values[0], np.mean(norms), rtol=1e-4)
