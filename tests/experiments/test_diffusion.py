"""Diffusion as an experiment: networks of known Gaussians in place of trained ones."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from experiments import diffusion
from repr_jax import losses
from repr_jax.ops import measurement
from repr_jax.ops.diffusion import linear_alpha_bars
from repr_jax.ops.langevin import geometric_levels

SPREAD = 0.05  # of pixels about 0.5


class Denoiser(nn.Module):
    """The exact noise in independent pixels N(0, (2 SPREAD)^2), of [-1, 1]."""

    @nn.compact
    def __call__(self, x, level, *, train):
        gain = self.param("gain", nn.initializers.ones_init(), ())
        a = jnp.asarray(linear_alpha_bars(), jnp.float32)[level.astype(int)]
        a = a[:, None, None, None]
        return gain * x * jnp.sqrt(1 - a) / (a * 4 * SPREAD**2 + 1 - a)


class Score(nn.Module):
    """The exact score of pixels N(0.5, SPREAD^2) plus noise, times sigma."""

    @nn.compact
    def __call__(self, x, level, *, train):
        gain = self.param("gain", nn.initializers.ones_init(), ())
        sigma = jnp.exp(level / 100)[:, None, None, None]
        away = x * jnp.sqrt(sigma**2 + 0.25)
        return -gain * sigma * away / (sigma**2 + SPREAD**2)


def ddpm():
    config = ml_collections.ConfigDict()
    config.network = dict(fn=Denoiser)
    config.loss = dict(fn=losses.noise_prediction)
    config.alpha_bars = dict(fn=linear_alpha_bars)
    config.operator = dict(fn=measurement.average_pool, factor=4)
    config.sampler = dict(num_steps=1000, eta=1.0)
    config.restorer = dict(num_steps=20, eta=0.85, eta_b=1.0)
    return diffusion.make_ddpm(config)


def ncsn():
    config = ml_collections.ConfigDict()
    config.network = dict(fn=Score)
    config.loss = dict(fn=losses.score_matching)
    config.levels = dict(fn=geometric_levels, largest=1.0, smallest=0.01, num_levels=60)
    config.operator = dict(fn=measurement.average_pool, factor=4)
    config.sampler = dict(num_inner=5, step_size=2e-5)
    return diffusion.make_ncsn(config)


def images(rows=64):
    x = 0.5 + SPREAD * np.random.default_rng(0).normal(size=(rows, 8, 8, 1))
    return {"image": np.clip(x, 0, 1).astype("f")}


def asked(experiment, output, batch, seed=1):
    params, extras = jax.jit(experiment.init)(jax.random.key(0), batch)
    key = jax.random.key(seed)
    return np.asarray(jax.jit(experiment.outputs[output])(params, extras, batch, key))


def check_restored(experiment, tolerance):
    """What is made has the measurement, and the spread of the law beside it."""
    batch = images()
    pool = measurement.average_pool(4)
    forward = jax.jit(pool.forward)
    made = asked(experiment, "restore", batch)
    y = np.asarray(forward(batch["image"]))
    np.testing.assert_allclose(forward(made), y, atol=tolerance)
    inverse = jax.jit(partial(measurement.pseudo_inverse, pool))
    beside = made - np.asarray(inverse(forward(made)))
    rest = np.std(beside) / SPREAD
    assert np.abs(np.mean(made) - 0.5) < 0.01
    given = asked(experiment, "restore", {**batch, "y": y + 0.1})
    np.testing.assert_allclose(forward(given), y + 0.1, atol=tolerance)
    other = asked(experiment, "restore", batch, seed=2)
    assert np.abs(other - made).max() > 0.01
    return rest


def test_a_ddpm_restores_what_was_measured():
    rest = check_restored(ddpm(), tolerance=0.01)
    assert 0.4 < rest < 1.0  # DDRM's spread is too small


def test_langevin_dynamics_restores_what_was_measured():
    rest = check_restored(ncsn(), tolerance=0.02)
    assert 0.85 < rest < 1.15


def test_both_generate_the_law_of_their_network():
    for experiment in (ddpm(), ncsn()):
        params, extras = jax.jit(experiment.init)(jax.random.key(0), images())
        made = jax.jit(experiment.outputs["generate"])(
            params, extras, images(), jax.random.key(3)
        )["image"]
        assert np.mean(made) == np.clip(np.mean(made), 0.49, 0.51)
        assert 0.85 < np.std(made) / SPREAD < 1.15


def test_the_exact_network_has_the_least_loss():
    """A gain of 1 is where the gradient of the loss is 0, on average over levels."""
    batch = images(512)
    for experiment in (ddpm(), ncsn()):

        def value(gain, key, loss=experiment.loss):
            return loss({"gain": gain}, {}, batch, key, 0)[0]

        keys = jax.random.split(jax.random.key(5), 20)
        slope = jax.jit(jax.vmap(jax.grad(value), in_axes=(None, 0)))
        at_1, above, below = (slope(g, keys) for g in (1.0, 1.2, 0.8))
        error = np.std(at_1) / 20**0.5
        assert np.abs(np.mean(at_1)) < 4 * error
        assert np.mean(below) < -4 * error and np.mean(above) > 4 * error
