"""Networks that denoise, and what they generate, from nothing or from a measurement.

DDPM with DDRM, and NCSN with annealed Langevin dynamics. A batch has `image`, [batch,
height, width, channels] in [0, 1], and may have `where`. The output `restore` takes
also `y`, a measurement by `config.operator` of images in [0, 1]; without it that of
`image` is taken. Samples differ from row to row and with the key.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.autoencoder import observed
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.ops import ddrm, diffusion, langevin
from repr_jax.ops.batch import row_keys


def keys_of(key, batch):
    """[batch] keys, one a row."""
    return row_keys(key, jnp.ones(batch["image"].shape[0], bool))


def measured(operator, batch):
    """y of the batch, of images in [0, 1]."""
    return batch["y"] if "y" in batch else operator.forward(batch["image"])


def _init(network, key, batch):
    """Parameters of a network of images and a level."""
    x, _ = observed(batch)
    return network.init(key, x, jnp.zeros(len(x)), train=False)["params"], {}


def make_ddpm(config) -> Experiment:
    """Reads network, loss, alpha_bars, sampler, operator and restorer.

    `config.network` is called as network(x, level [batch], train=...), x in [-1, 1] and
    the level a time from 0 to T - 1; `config.loss` as loss(predictions, noise,
    where=...). `config.alpha_bars` gives [T] of the times. `config.sampler` has the
    num_steps and eta of `diffusion.sample`, `config.restorer` those of `ddrm.sample`
    and eta_b. Measurements are without noise.
    """
    network = bind(config.network, "config.network")()
    loss_fn = bind(config.loss, "config.loss")
    alpha_bars = bind(config.alpha_bars, "config.alpha_bars")()
    operator = bind(config.operator, "config.operator")()
    sampler, restorer = dict(config.sampler), dict(config.restorer)
    levels = np.asarray(alpha_bars, np.float32)

    def predict(params, train=False):
        def of_batch(x, time):
            level = jnp.broadcast_to(time, (len(x),))
            return network.apply({"params": params}, x, level, train=train)

        return of_batch

    def loss(params, extras, batch, key, step):
        x, where = observed(batch)
        time_key, noise_key = jax.random.split(key)
        time = jax.random.randint(time_key, (len(x),), 0, len(levels))
        noise = jax.random.normal(noise_key, x.shape)
        noisy = diffusion.add_noise(2 * x - 1, noise, jnp.asarray(levels)[time])
        predictions = predict(params, train=True)(noisy, time)
        return loss_fn(predictions, noise, where=where), (extras, {})

    def generate(params, extras, batch, key):
        x = diffusion.sample(
            keys_of(key, batch),
            predict(params),
            batch["image"].shape[1:],
            alpha_bars=alpha_bars,
            **sampler,
        )
        return {"image": jnp.clip((x + 1) / 2, 0, 1)}

    def restore(params, extras, batch, key):
        y = measured(operator, batch)
        ones = operator.forward(jnp.ones_like(batch["image"]))
        x = ddrm.sample(
            keys_of(key, batch),
            predict(params),
            operator,
            2 * y - ones,  # of 2 x - 1, for any linear operator
            alpha_bars=alpha_bars,
            **restorer,
        )
        return jnp.clip((x + 1) / 2, 0, 1)

    outputs = {"generate": generate, "restore": restore}
    return Experiment(functools.partial(_init, network), loss, outputs)


def make_ncsn(config) -> Experiment:
    """Reads network, loss, levels, sampler and operator.

    `config.network` is called as network(x, level [batch], train=...), x in [0, 1] with
    noise and the level 100 log sigma; the score is what it returns over sigma.
    `config.loss` is called as loss(scores, noise, sigma, where=...). `config.levels`
    gives the standard deviations, falling. `config.sampler` has the num_inner and
    step_size of `langevin.sample`. Measurements are without noise.
    """
    network = bind(config.network, "config.network")()
    loss_fn = bind(config.loss, "config.loss")
    levels = bind(config.levels, "config.levels")()
    operator = bind(config.operator, "config.operator")()
    sampler = dict(config.sampler)

    def scores(params, x, sigma, *, train):
        level = 100 * jnp.log(sigma)
        wide = sigma[:, None, None, None]
        shrunk = (x - 0.5) / jnp.sqrt(wide**2 + 0.25)  # of about one size at all levels
        return network.apply({"params": params}, shrunk, level, train=train) / wide

    def loss(params, extras, batch, key, step):
        x, where = observed(batch)
        level_key, noise_key = jax.random.split(key)
        index = jax.random.randint(level_key, (len(x),), 0, len(levels))
        sigma = jnp.asarray(levels, jnp.float32)[index]
        noise = jax.random.normal(noise_key, x.shape)
        found = scores(
            params, x + sigma[:, None, None, None] * noise, sigma, train=True
        )
        return loss_fn(found, noise, sigma, where=where), (extras, {})

    def sample(params, batch, key, **given):
        start_key, key = jax.random.split(key)
        shape = batch["image"].shape[1:]
        start = jax.vmap(lambda k: jax.random.uniform(k, shape))(
            keys_of(start_key, batch)
        )

        def score(x, sigma):
            return scores(params, x, jnp.broadcast_to(sigma, (len(x),)), train=False)

        found = langevin.sample(
            keys_of(key, batch), score, start, levels=levels, **sampler, **given
        )
        return jnp.clip(found.x, 0, 1)

    def generate(params, extras, batch, key):
        return {"image": sample(params, batch, key)}

    def restore(params, extras, batch, key):
        y = measured(operator, batch)
        return sample(params, batch, key, operator=operator, y=y)

    outputs = {"generate": generate, "restore": restore}
    return Experiment(functools.partial(_init, network), loss, outputs)
