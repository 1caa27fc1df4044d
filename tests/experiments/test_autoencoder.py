"""The plain autoencoder: its loss by hand, absent rows, and what it is asked for."""

import flax.linen as nn
import jax
import ml_collections
import numpy as np
import pytest

from experiments import autoencoder
from repr_jax.ops import likelihood

IMAGES = np.random.default_rng(0).normal(size=(6, 5)).astype("f")
KEY = jax.random.key(0)


class Line(nn.Module):
    """A linear layer, after batch normalization if it is the encoder."""

    width: int
    batch_norm: bool = False

    @nn.compact
    def __call__(self, x, *, train):
        if self.batch_norm:
            x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
        return nn.Dense(self.width)(x)


@pytest.fixture(scope="module")
def experiment():
    config = ml_collections.ConfigDict(
        {
            "encoder": dict(fn=Line, width=2, batch_norm=True),
            "decoder": dict(fn=Line, width=5),
            "log_likelihood": dict(fn=likelihood.gaussian, scale=1.0),
        }
    )
    return autoencoder.make_deterministic(config)


def test_the_loss_is_half_the_squared_error_and_a_constant(experiment):
    params, extras = jax.jit(experiment.init)(KEY, {"image": IMAGES})
    loss = jax.jit(experiment.loss)
    value, (moved, _) = loss(params, extras, {"image": IMAGES}, KEY, 0)
    x = (IMAGES - IMAGES.mean(axis=0)) / np.sqrt(IMAGES.var(axis=0) + 1e-5)
    for part in ("encoder", "decoder"):
        dense = params[part]["Dense_0"]
        x = x @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
    errors = np.sum((x - IMAGES) ** 2, axis=1)
    expected = np.mean(errors) / 2 + 2.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    means = moved["batch_stats"]["encoder"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(means, IMAGES.mean(axis=0) / 2, rtol=1e-5, atol=1e-7)


def test_absent_rows_have_neither_loss_nor_gradient(experiment):
    params, extras = jax.jit(experiment.init)(KEY, {"image": IMAGES})
    where = np.arange(6) != 2
    other = np.where(where[:, None], IMAGES, np.nan)

    def loss(images):
        batch = {"image": images, "where": where}
        return experiment.loss(params, extras, batch, KEY, 0)[0]

    evaluate = jax.jit(jax.value_and_grad(loss))
    value, gradient = map(np.asarray, evaluate(IMAGES))
    assert evaluate(other)[0] == value
    assert np.all(gradient[2] == 0) and np.all(np.any(gradient[where] != 0, axis=1))


def test_it_represents_by_the_encoder_as_it_is_in_evaluation(experiment):
    params, extras = jax.jit(experiment.init)(KEY, {"image": IMAGES})
    represent = jax.jit(experiment.outputs["represent"])
    found = represent(params, extras, {"image": IMAGES}, KEY)
    dense = jax.tree.map(np.asarray, params["encoder"]["Dense_0"])
    x = IMAGES / np.sqrt(1 + 1e-5)  # running statistics are 0 and 1
    np.testing.assert_allclose(found, x @ dense["kernel"] + dense["bias"], rtol=1e-5)
