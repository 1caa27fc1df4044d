"""A style-based GAN, and PULSE: images of it whose measurement is a given one.

Trained as `experiments.adversarial` trains. The output `restore` takes `y`, or else
what `config.operator` measures of `image`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments import adversarial
from experiments.diffusion import keys_of, measured
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.models import style_gan
from repr_jax.ops import latent_search

NUM_STATISTICS = 10_000  # latents that the law of styles is estimated from


def make(config) -> Experiment:
    """Reads what `adversarial.make` reads, operator and search.

    `config.generator` is a `style_gan.Generator`, `config.latent_dim` follows from it,
    and `config.search` has the keywords of `latent_search.search`.
    """
    found = adversarial.make(config)
    generator = bind(config.generator, "config.generator")()
    operator = bind(config.operator, "config.operator")()
    options = dict(config.search)

    def styles_of(params, z):
        return generator.apply({"params": params}, z, method="styles_of")

    def law_of(params):
        """Mean and deviation of styles before the last rectifier, [style_dim] each."""
        z = jax.random.normal(jax.random.key(0), (NUM_STATISTICS, generator.style_dim))
        before = nn.leaky_relu(styles_of(params, z), 1 / style_gan.SLOPE)
        return jnp.mean(before, axis=0), jnp.std(before, axis=0)

    def restore(params, extras, batch, key):
        y = measured(operator, batch)
        params = params["generator"]
        mean, deviation = law_of(params)
        shape = (style_gan.num_styles(generator.size), generator.style_dim)
        sizes = style_gan.noise_sizes(generator.size)

        def start(key):
            latent_key, *keys = jax.random.split(key, len(sizes) + 1)
            noise = [jax.random.normal(k, (n, n)) for k, n in zip(keys, sizes)]
            return jax.random.normal(latent_key, shape), (*noise[:-1], 0 * noise[-1])

        def generate(latents, noise):
            styles = deviation[None, None] * latents + mean[None, None]
            styles = nn.leaky_relu(styles, style_gan.SLOPE)
            return generator.apply(
                {"params": params}, styles, noise, train=False, method="synthesize"
            )

        places = jax.vmap(start)(keys_of(key, batch))
        best = latent_search.search(generate, operator.forward, y, *places, **options)
        return jnp.clip(best.image, 0, 1)

    return found._replace(outputs={**found.outputs, "restore": restore})
