"""PULSE as an output of a GAN: draws differ, and the search comes nearer to y."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from experiments import style_gan as experiment
from repr_jax import losses
from repr_jax.models import style_gan
from repr_jax.ops import measurement

POOL = measurement.average_pool(4)


def made(num_steps):
    config = ml_collections.ConfigDict()
    widths = dict(width=2, max_width=4)
    config.generator = dict(fn=style_gan.Generator, size=8, style_dim=4, **widths)
    config.discriminator = dict(fn=style_gan.Discriminator, **widths)
    config.losses = dict(
        discriminator=dict(fn=losses.gan_discriminator),
        generator=dict(fn=losses.gan_generator),
    )
    config.entry, config.penalty_weight = "image", 0.0
    config.latent_dim = style_gan.latent_dim(8, 4)
    config.operator = dict(fn=measurement.average_pool, factor=4)
    config.search = dict(num_steps=num_steps, tolerance=0.0, cross_weight=0.0)
    return experiment.make(config)


def test_the_search_comes_nearer_to_what_was_measured():
    batch = {"image": jnp.full((4, 8, 8, 3), 0.5)}
    params, extras = jax.jit(made(1).init)(jax.random.key(0), batch)
    for name, part in params["generator"].items():
        if name.startswith("to_color"):  # so that images are within [0, 1]
            part["kernel"] = 0.1 * part["kernel"]
    generate = jax.jit(made(1).outputs["generate"])
    image = generate(params, extras, batch, jax.random.key(5))["image"]
    batch["y"], found = POOL.forward(jnp.roll(image, 1, axis=0)), {}
    for steps in (1, 40):
        restore = jax.jit(made(steps).outputs["restore"])
        found[steps] = np.asarray(restore(params, extras, batch, jax.random.key(1)))
    assert found[40].shape == (4, 8, 8, 3)
    assert found[40].min() >= 0 and found[40].max() <= 1
    first, last = (
        np.mean((POOL.forward(x) - batch["y"]) ** 2, axis=(1, 2, 3))
        for x in found.values()
    )
    assert np.all(last <= first + 1e-9) and np.mean(last) < 0.3 * np.mean(first)
    other = restore(params, extras, batch, jax.random.key(2))
    assert np.abs(other - found[40]).max(axis=(1, 2, 3)).min() > 1e-3
    assert np.abs(found[40][0] - found[40][1]).max() > 1e-3
    part = {name: x[:2] for name, x in batch.items()}
    fewer = restore(params, extras, part, jax.random.key(1))
    np.testing.assert_allclose(fewer, found[40][:2], atol=1e-3)
